-------------------------- MODULE MC_quorum_history --------------------------
(***************************************************************************)
(* The two definitions of quorum_history.tla agree: on every history of    *)
(* these writes and reads. A state is a history; nothing ever happens.      *)
(***************************************************************************)
EXTENDS quorum_history

CONSTANTS
    \* @type: Set(Int);
    Writes,
    \* @type: Set(Int);
    Reads

VARIABLES
    \* @type: Set($event);
    history

Init ==
    \E present \in SUBSET (Writes \union Reads) :
    \E open \in SUBSET (present \intersect Writes) :
    \E value \in [present \intersect Reads -> {0} \union Writes] :
    \E after \in [present -> SUBSET (present \ open)] :
        \* What is before what is an order.
        /\ \A o \in present : o \notin after[o] /\ \A p \in after[o] : after[p] \subseteq after[o]
        /\ history = {[op |-> o, write |-> o \in Writes,
                       value |-> IF o \in Reads THEN value[o] ELSE 0,
                       returned |-> o \notin open, after |-> after[o]] : o \in present}

Next == UNCHANGED history

Agree == LinearizableHistory(history) <=> LinearizableByWrites(history)

\* Both kinds of histories occur.
NeverLinearizable == Cardinality(history) < 4 \/ ~LinearizableByWrites(history)
AlwaysLinearizable == LinearizableByWrites(history)
===============================================================================
