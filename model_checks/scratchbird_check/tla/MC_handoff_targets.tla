-------------------------- MODULE MC_handoff_targets --------------------------
(***************************************************************************)
(* Instances of handoff_targets.tla for TLC and Apalache, the rules that   *)
(* are known to be wrong (MC_handoff_targets__NAME.cfg), and the states    *)
(* that must be among those explored.                                      *)
(***************************************************************************)
EXTENDS handoff_targets

\* @type: Set(Int);
ThreeOwners == 1..3
\* @type: Set(Int);
OneWrite == 1..1
\* @type: Set(Int);
TwoWrites == 1..2
\* @type: Set(Int);
OneVersion == 1..1
\* @type: Set(Int);
TwoVersions == 1..2
\* @type: Set(Int);
ThreeVersions == 1..3
\* @type: Set(Str);
Stays == {}
\* @type: Set(Str);
Drain == {"drain"}
\* @type: Set(Str);
BothWays == {"drain", "replace"}

-------------------------------------------------------------------------------
(* Wrong rules.                                                               *)

\* @type: Set(Str);
Never == {}

\* @type: Set(Str);
WhenMoved == {"new"}

\* @type: Set(Int);
OldOwnersOnly == OldOwners

\* @type: Bool => Bool;
AnybodyIsCopied(isFenced) == TRUE

No == FALSE

\* @type: (Int, Int) => Bool;
ByTheClock(v, answered) == TRUE

\* @type: Int => Int;
ForgetsIt(v) == 0

\* @type: (Int, Int) => Bool;
WhateverIsThere(v, t) == TRUE

\* @type: Int => Set(Int);
NobodyIsMarked(r) == {}

-------------------------------------------------------------------------------
(* What must be reached: each says that it never happens.                     *)

\* The shard has moved, and the newcomer is owed what the leaver was owed.
NeverFollowed == ~(stage = "moved" /\ setting = "new" /\ \E o \in Done : Newcomer \in hinted[o])

\* It has moved, and a coordinator that does not know yet owes the leaver something.
NeverBehind == ~(stage = "moved" /\ setting = "old" /\ \E o \in Done : Leaver \in hinted[o])

\* A write was acknowledged while the shard moved, and the newcomer was among those who hold it.
NeverJoint == ~(stage = "moving" /\ \E o \in Done : Newcomer \in acked[o])

\* It has moved, and the newcomer is owed a repair.
NeverMarked == ~(stage = "moved" /\ setting = "new" /\ Newcomer \in marked)

\* A repair brought an acknowledged write to one whose hint could not be read.
NeverRepaired ==
    ~(damaged > 0 /\ marked = {} /\ \E o \in Done, r \in Owners :
        r \notin acked[o] /\ r \notin hinted[o] /\ held[r] = version[o])

\* The table is truncated, and a newer version is owed.
NeverAbove == ~(truncated /\ \E o \in Done : version[o] > truncation /\ hinted[o] # {})

\* A hint went as paid before its target was told of the truncation.
NeverPaid ==
    ~(damaged = 0 /\ \E o \in Done, r \in Owners :
        version[o] < truncation /\ r \notin hinted[o] /\ r \notin acked[o] /\ r \notin told)
===============================================================================
