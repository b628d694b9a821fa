--------------------------- MODULE MC_hlc_inductive ---------------------------
(***************************************************************************)
(* The inductive invariant of hlc.tla, for Apalache, in three runs:        *)
(*   Init => Inductive,  Inductive /\ Next => Inductive',                  *)
(*   Inductive => the promises.                                            *)
(* The second starts in every state that satisfies the invariant: clocks,  *)
(* timestamps and bounds are any whole numbers, so nothing depends on how  *)
(* a state was reached or on how long the run was. Three nodes, and at     *)
(* most three messages in flight before the step.                          *)
(***************************************************************************)
EXTENDS MC_hlc, Apalache

\* @type: Set(Int);
AllOffsets == Int

OneOfEach == Budget(1, 1, 1, 1, 1, 1)

InductiveInit ==
    /\ now \in Nat
    /\ off \in [Node -> Int]
    /\ messages = Gen(3)
    /\ budget = OneOfEach
    /\ bound \in [Node -> Nat]
    /\ up \in [Node -> BOOLEAN]
    /\ last \in [Node -> Nat]
    /\ anchor \in [Node -> Int]
    /\ promised \in [Node -> Nat]
    /\ suspended \in [Node -> BOOLEAN]
    /\ own \in [Node -> Nat]
    /\ past \in [Node -> Nat]
    /\ before \in [Node -> Nat]
    /\ sick \in SUBSET Node
    /\ broken = {}
    /\ \A m \in messages : m.from \in Node
    /\ Inductive
===============================================================================
