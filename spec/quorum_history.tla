---------------------------- MODULE quorum_history ----------------------------
(***************************************************************************)
(* What linearizable means: stated on what clients see of one register,    *)
(* and on nothing else. No replica, quorum or version occurs here.         *)
(*                                                                         *)
(* An operation of a history is a record:                                  *)
(*   op        its number, not 0                                           *)
(*   write     whether it writes (its own number) or reads                 *)
(*   value     of a read that returned: the number of the write whose      *)
(*             value it returned, 0 if it found the register empty         *)
(*   returned  whether a client was told that it is done                   *)
(*   after     the operations that had returned when it was invoked        *)
(* Reads that did not return and writes that a client was told will never  *)
(* be applied are left out: nobody may see an effect of them.              *)
(***************************************************************************)
EXTENDS Integers, FiniteSets

\* @typeAlias: event = { op: Int, write: Bool, value: Int, returned: Bool, after: Set(Int) };
\* @type: Bool;
quorum_history_aliases == TRUE

\* The operations happened one after the other, each at its place: 0 if it never happens.
\* @type: (Set($event), $event -> Int) => Bool;
IsOrder(history, place) ==
    /\ \A e \in history : e.returned => place[e] > 0
    /\ \A e \in history, f \in history :
        e.op # f.op /\ place[e] > 0 /\ place[f] > 0 =>
            /\ place[e] # place[f]
            /\ e.op \in f.after => place[e] < place[f]

\* Every read returned the value of the last write before it.
\* @type: (Set($event), $event -> Int) => Bool;
ReadsTheLastWrite(history, place) ==
    \A e \in history :
        ~e.write =>
            /\ \A f \in history :
                f.write /\ 0 < place[f] /\ place[f] < place[e] =>
                    \E g \in history :
                        /\ g.write /\ g.op = e.value
                        /\ place[f] <= place[g] /\ place[g] < place[e]
            /\ e.value # 0 =>
                \E g \in history :
                    g.write /\ g.op = e.value /\ 0 < place[g] /\ place[g] < place[e]

\* A write that did not return may have happened or not. As places serve the numbers of the
\* operations: there are as many as are needed.
\* @type: Set($event) => Bool;
LinearizableHistory(history) ==
    \E place \in [history -> {0} \union {e.op : e \in history}] :
        IsOrder(history, place) /\ ReadsTheLastWrite(history, place)

-------------------------------------------------------------------------------
(* The same, said of the order of the writes alone, which is much quicker to  *)
(* check. MC_quorum_history shows that the two agree on all small histories.  *)

\* An operation stands where the write stands that it is or whose value it returned, a read
\* behind it; before all of them if it found the register empty.
\* @type: ($event, $event) => Bool;
StandsAt(e, w) == w.write /\ w.op = (IF e.write THEN e.op ELSE e.value)

\* Of two operations, E had returned before F was invoked.
\* @type: ($event, $event, $event, $event, $event) => Bool;
KeepsOrder(first, second, third, e, f) ==
    LET \* @type: $event => Int;
        place(x) ==
            IF StandsAt(x, first) THEN 1 ELSE IF StandsAt(x, second) THEN 2
            ELSE IF StandsAt(x, third) THEN 3 ELSE 0
    IN place(e) < place(f) \/ (place(e) = place(f) /\ ~f.write)

\* At most three writes.
\* @type: Set($event) => Bool;
LinearizableByWrites(history) ==
    LET writes == {e \in history : e.write} IN
    /\ \A e \in history : ~e.write /\ e.value # 0 => \E w \in writes : w.op = e.value
    /\ writes = {} \/ \E first \in writes, second \in writes, third \in writes :
        /\ writes = {first, second, third}
        /\ \A e \in history, f \in history : e.op \in f.after => KeepsOrder(first, second, third, e, f)
===============================================================================
