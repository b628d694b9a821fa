---------------------------- MODULE MC_handoff_live ----------------------------
(***************************************************************************)
(* What is owed is paid in the end (HANDOFF.R1), for TLC alone: Apalache   *)
(* lacks fairness.                                                         *)
(*                                                                         *)
(* Assumed is that no disk is lost, that a target is given up at most      *)
(* GivenUp times, and of each of these steps that it is taken some time if *)
(* it stays possible (weak fairness, for each operation and replica):      *)
(*   - an operation that is sent ends: its client is told, or it is given  *)
(*     up. None has to begin, and none has to succeed;                     *)
(*   - a hint that is kept of a write that is done is delivered, and       *)
(*     answered. What nobody keeps need never arrive;                      *)
(*   - a coordinator keeps hints again for a target that was given up;     *)
(*     under a mark that is closed, that target exchanges with each other  *)
(*     replica;                                                            *)
(*   - the floor goes on: replicas close it, merge, converge and settle,   *)
(*     the catalog takes note, and the coordinator pays what is below when *)
(*     all have converged. A replica that has closed the floor and         *)
(*     lacks a version below takes no hint of it, and gets it by merging.  *)
(***************************************************************************)
EXTENDS MC_handoff

CONSTANTS Limit, Shards  \* of a target's hints, in a second; and how many share it

\* Whether a hint is ever sent at this limit: shards take turns (HANDOFF.R4).
Sends(limit, shards) == limit > 0

DeliverHint(o, r) == Sends(Limit, Shards) /\ phase[o] = "done" /\ r \in hinted[o] /\ Acknowledge(o, r)

PayMark(r, q) == owed[r] = "closed" /\ q \notin heard[r] /\ Exchange(r, q)

Fairness ==
    /\ WF_vars(NoteClosed) /\ WF_vars(NoteConverged) /\ WF_vars(PayBelow)
    /\ \A o \in Operation :
        /\ WF_vars(Reply(o) \/ GiveUp(o))
        /\ \A r \in Replica : WF_vars(DeliverHint(o, r))
    /\ \A r \in Replica :
        /\ WF_vars(KeepAgain(r)) /\ WF_vars(Close(r)) /\ WF_vars(Settle(r))
        /\ \A q \in Replica : WF_vars(PayMark(r, q)) /\ WF_vars(Merge(r, q))

LiveSpec == Init /\ [][Next]_vars /\ Fairness

\* The same from where the floor has gone as far as it will: what is written is above, and nothing but hints
\* and exchanges pays it.
PastIsSettled ==
    /\ held = [r \in Replica |-> 0]
    /\ closed = [r \in Replica |-> TRUE]
    /\ merged = [r \in Replica |-> {}]
    /\ converged = [r \in Replica |-> TRUE]
    /\ settled = [r \in Replica |-> TRUE]
    /\ recovering = [r \in Replica |-> FALSE]
    /\ allClosed = TRUE /\ allConverged = TRUE
    /\ lost = 0 /\ givenUp = 0
    /\ phase = [o \in Operation |-> "idle"]
    /\ version = [o \in Operation |-> 0]
    /\ answered = [o \in Operation |-> {}]
    /\ best = [o \in Operation |-> 0]
    /\ acked = [o \in Operation |-> {}]
    /\ intended = {}
    /\ hinted = [o \in Operation |-> {}]
    /\ leftOut = [o \in Operation |-> {}]
    /\ owed = [r \in Replica |-> "none"]
    /\ heard = [r \in Replica |-> {}]

LiveSpecSettled == PastIsSettled /\ [][Next]_vars /\ Fairness

-------------------------------------------------------------------------------
(* The promises.                                                              *)

Reached(o, r) == held[r] >= version[o] \/ (settled[r] /\ version[o] <= Floor)

\* What is acknowledged comes to every replica, or it settles above it.
Reaches == \A o \in Operation, r \in Replica : phase[o] = "done" ~> Reached(o, r)

\* Every hint of what is acknowledged goes.
HintsGo == \A o \in Operation, r \in Replica : (phase[o] = "done" /\ r \in hinted[o]) ~> r \notin hinted[o]

\* Every mark goes.
MarksGo == \A r \in Replica : owed[r] # "none" ~> owed[r] = "none"

-------------------------------------------------------------------------------
(* Wrong rules.                                                               *)

\* The coordinator never takes hints for the target again.
NeverCloses(someAreOpen) == FALSE

\* The limit is divided in whole numbers.
RoundsToZero(limit, shards) == limit \div shards > 0
===============================================================================
