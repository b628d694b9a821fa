--------------------------- MODULE MC_merkle_forest_live ---------------------------
(***************************************************************************)
(* That all replicas end the same (MERKLE_FOREST.R18). For TLC alone: Apalache    *)
(* has no fairness.                                                        *)
(*                                                                         *)
(* What is assumed: there are finitely many versions, exchanges fail and   *)
(* nodes crash finitely often (here never), stable times rise to the       *)
(* highest, dirty windows are hashed, an exchange that has begun goes on,  *)
(* and every two replicas begin one again and again. Nothing is assumed of *)
(* writes: a version that was sent may arrive at one replica alone. There  *)
(* is no floor here.                                                       *)
(***************************************************************************)
EXTENDS MC_merkle_forest

\* Exchanges without an end.
Uncounted(n) == n

LiveNext ==
    \/ \E v \in Version : Write(v)
    \/ \E r \in Replica :
        \/ Succeed(r)
        \/ \E v \in Version : Arrive(r, v)
        \/ \E s \in Times : Advance(r, s)
        \/ \E w \in Window : Rehash(r, w) \/ Compare(r, w)
        \/ \E row \in Row : Meet(r, row)
        \/ \E q \in Replica : Begin(r, q)

Fairness ==
    \A r \in Replica :
        /\ WF_vars(\E s \in Times : Advance(r, s))
        /\ WF_vars(\E w \in Window : Rehash(r, w))
        /\ WF_vars(\E w \in Window : Compare(r, w))
        /\ WF_vars(\E row \in Row : Meet(r, row))
        /\ WF_vars(Succeed(r))
        /\ \A q \in Replica : SF_vars(Begin(r, q))

LiveSpec == Init /\ [][LiveNext]_vars /\ Fairness

AllTheSame == \A r \in Replica, q \in Replica : held[r] = held[q] /\ entry[r] = entry[q]

\* They come to be the same, and stay so.
EndTheSame == <>[]AllTheSame
===============================================================================
