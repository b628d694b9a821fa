----------------------------- MODULE MC_handoff_late -----------------------------
(***************************************************************************)
(* Exchanges whose answers are under way: what a replica held when it      *)
(* answered arrives later, also when that replica has lost its disk since. *)
(* In handoff.tla an exchange is one step.                                 *)
(***************************************************************************)
EXTENDS MC_handoff

VARIABLE
    \* @type: Int -> Set(Int);
    underWay      \* by replica: what was answered to it

\* Whether a replica that closes a floor drops the answers that it asked for before.
DropsEarlier == TRUE

\* A replica that loses its disk, or recovers, has asked in another life. So has one that closes the next
\* floor, after a lost disk made the last one void.
\* @type: Int => Bool;
Forgets(r) ==
    \/ recovering'[r] # recovering[r]
    \/ lost' # lost /\ held'[r] = 0 /\ recovering'[r]
    \/ DropsEarlier /\ (closed'[r] # closed[r] \/ (lost' # lost /\ ~allConverged))

LateInit == Init /\ underWay = [r \in Replica |-> {}]

\* @type: (Int, Int) => Bool;
Tell(r, q) ==
    /\ r # q /\ ~recovering[q] /\ ~recovering[r]
    /\ held[q] # 0 /\ held[q] \notin underWay[r]
    /\ underWay' = [underWay EXCEPT ![r] = underWay[r] \union {held[q]}]
    /\ UNCHANGED vars

\* @type: Int => Bool;
TakeLate(r) ==
    \E v \in underWay[r] :
        /\ v > Effective(r) /\ ~recovering[r]
        /\ held' = [held EXCEPT ![r] = v]
        /\ UNCHANGED <<closed, merged, converged, settled, recovering, catalog, operations, hints, underWay>>

LateNext ==
    \/ Next /\ underWay' = [r \in Replica |-> IF Forgets(r) THEN {} ELSE underWay[r]]
    \/ \E r \in Replica : TakeLate(r) \/ \E q \in Replica : Tell(r, q)
===============================================================================
