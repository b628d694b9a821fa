----------------------------- MODULE MC_merkle_forest -----------------------------
(***************************************************************************)
(* Instances of merkle_forest.tla for TLC and Apalache, and the rules that *)
(* are known to be wrong: a configuration MC_merkle_forest__NAME.cfg puts  *)
(* one of them in the place of the right one and names the promise that    *)
(* breaks.                                                                 *)
(***************************************************************************)
EXTENDS merkle_forest

\* @type: Set(Int);
TwoReplicas == 1..2
\* @type: Set(Int);
ThreeReplicas == 1..3
\* A row that is written, deleted and written again, in two windows.
\* @type: Int -> Int;
OneRow == [v \in {1, 3, 5} |-> 1]
\* And another row beside it, in the first of them.
\* @type: Int -> Int;
TwoRows == [v \in {1, 2, 3, 5} |-> IF v = 2 THEN 2 ELSE 1]
\* A row that is written and deleted, both below the floor.
\* @type: Int -> Int;
OldRow == [v \in {1, 3} |-> 1]
\* @type: Int -> Int;
OneVersion == [v \in {1} |-> 1]
\* A row that is deleted below the floor.
\* @type: Int -> Int;
OneDelete == [v \in {3} |-> 1]
\* A row that is written below the floor and again above it.
\* @type: Int -> Int;
OldThenNew == [v \in {1, 5} |-> 1]
\* Two rows in one window.
\* @type: Int -> Int;
TwoBeside == [v \in {1, 2} |-> v]
\* @type: Int -> Int;
FirstThenLater == [v \in {1, 2, 3, 5} |-> IF v <= 2 THEN 1 ELSE 2]
\* @type: Int -> Int;
Seals == [w \in {1, 2} |-> IF w = 1 THEN 4 ELSE 6]
\* In an instance without a floor.
NobodyCloses == FALSE
-------------------------------------------------------------------------------
(* Wrong rules.                                                               *)

\* @type: Bool => Bool;
Immutable(isSealed) == ~isSealed

\* @type: Bool => Bool;
RefusesForSealed(isSealed) == ~isSealed

\* @type: Bool => Bool;
OneSided(drives) == drives

\* @type: (Bool, Bool) => Bool;
SealedOnly(isSealed, hasIt) == isSealed

\* @type: (Bool, Bool) => Bool;
OwnWindowsOnly(isSealed, hasIt) == hasIt

\* @type: Bool => Bool;
TellsAnyhow(isDirty) == TRUE

No == FALSE

\* @type: Bool => Bool;
TakesOverNothing(isBelow) == FALSE

\* @type: Bool => Bool;
TakesOverPurged(isBelow) == TRUE

\* @type: Bool => Bool;
SucceedsAnyhow(someAreLeft) == TRUE

\* @type: (Bool, Bool) => Bool;
KeepsOvertaken(deletes, isOvertaken) == deletes

\* @type: (Bool, Bool) => Bool;
SettlesAlone(itself, everybody) == itself

\* @type: (Int -> Int, Int -> Int) => (Int -> Int);
AsItIs(then, now) == now
===============================================================================
