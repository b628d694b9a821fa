------------------------------- MODULE MC_handoff -------------------------------
(***************************************************************************)
(* Instances of handoff.tla for TLC and Apalache, and the rules that are   *)
(* known to be wrong: a configuration MC_handoff__NAME.cfg puts one of     *)
(* them in the place of the right one and names the promise that breaks.   *)
(***************************************************************************)
EXTENDS handoff

\* @type: Set(Int);
TwoReplicas == 1..2
\* @type: Set(Int);
ThreeReplicas == 1..3
\* @type: Int -> Str;
OneWrite == [o \in 1..1 |-> "write"]
\* @type: Int -> Str;
OneDelete == [o \in 1..1 |-> "delete"]
\* @type: Int -> Str;
WriteDelete == [o \in 1..2 |-> IF o = 1 THEN "write" ELSE "delete"]
\* @type: Int -> Str;
WriteDeleteWrite == [o \in 1..3 |-> IF o = 2 THEN "delete" ELSE "write"]

\* In an instance without a floor.
\* @type: Int => Bool;
NobodyCloses(r) == FALSE

\* Between a floor that is void and the next there is room for all versions that matter: nobody has closed that.
\* @type: Bool => Bool;
NobodyYet(had) == FALSE

-------------------------------------------------------------------------------
(* Wrong rules.                                                               *)

Yes == TRUE

\* @type: Bool => Int;
AbsentIsNothing(isSettled) == 0

\* @type: (Bool, Int) => Bool;
TakesWhatComes(isClosed, v) == TRUE

\* @type: Bool => Bool;
ConvergesAtOnce(allAreClosed) == TRUE

\* @type: (Bool, Bool) => Bool;
SettlesAlone(itself, everybody) == itself

\* @type: (Bool, Bool) => Bool;
PurgesByTime(isOld, allHoldIt) == isOld

\* @type: (Bool, Bool) => Bool;
PurgesByEvidence(isOld, allHoldIt) == isOld /\ allHoldIt

\* @type: Str => Bool;
DropsWithoutMark(mark) == TRUE

\* @type: Int => Bool;
OneIsEnough(others) == others >= 1

\* @type: Bool => Bool;
ClosesAtOnce(someAreOpen) == TRUE

\* @type: Str => Bool;
CountsWhileOpen(mark) == mark # "none"

No == FALSE

\* @type: Int => Bool;
BelievesAll(v) == TRUE
===============================================================================
