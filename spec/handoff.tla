-------------------------------- MODULE handoff --------------------------------
(***************************************************************************)
(* One row on its replicas, written and deleted through one coordinator    *)
(* that keeps hints, under all faults at once: messages are lost, doubled, *)
(* late and overtaken; the coordinator gives up writes and targets;        *)
(* replicas are silent for as long as they like and lose their disks; and  *)
(* the past is purged up to a floor.                                       *)
(*                                                                         *)
(* As in quorum.tla messages are not variables: what was ever sent may     *)
(* arrive at any time, whoever sends it again: its coordinator, a hint, a  *)
(* retry or the write-back of an old read. A node that crashes takes no    *)
(* step for a while, and forgets what Crash and Restart name; all else is  *)
(* durable before it says so. Quorums are those of quorum.tla, in linearizable     *)
(* mode; reads are not operations here: what any read quorum would find is *)
(* a promise about every state.                                            *)
(***************************************************************************)
EXTENDS Integers, FiniteSets

CONSTANTS
    \* @type: Set(Int);
    Replica,
    \* @type: Int;
    W,
    \* @type: Int;
    R,
    \* @type: Int -> Str;
    Operations,   \* "write" or "delete"
    \* @type: Set(Int);
    Version,      \* what writes may take; positive
    \* @type: Int;
    Floor,        \* no write takes it
    \* @type: Int;
    Losses,       \* how many disks may be lost
    \* @type: Int;
    GivenUp       \* how often a target may be given up

VARIABLES
    \* The replicas.
    \* @type: Int -> Int;
    held,         \* the version of the row, 0 if it is absent
    \* @type: Int -> Bool;
    closed,       \* at the floor
    \* @type: Int -> Set(Int);
    merged,       \* of whom it has merged all at or below the floor since it closed
    \* @type: Int -> Bool;
    converged,    \* and has said so, in its present incarnation
    \* @type: Int -> Bool;
    settled,
    \* @type: Int -> Bool;
    recovering,
    \* What the catalog knows: all replicas were closed, and all had converged.
    \* @type: Bool;
    allClosed,
    \* @type: Bool;
    allConverged,
    \* @type: Int;
    lost,
    \* The operations.
    \* @type: Int -> Str;
    phase,        \* idle, asking, sending, done or failed
    \* @type: Int -> Int;
    version,      \* what it took, 0 if nothing yet
    \* @type: Int -> Set(Int);
    answered,
    \* @type: Int -> Int;
    best,
    \* @type: Int -> Set(Int);
    acked,        \* who holds it, as was told while it is sent; what lost its disk is not counted
    \* The coordinator's disk.
    \* @type: Set(Int);
    intended,     \* operations whose intent is durable
    \* @type: Int -> Set(Int);
    hinted,       \* by operation: targets that are owed it
    \* @type: Int -> Set(Int);
    leftOut,      \* by operation that sends: targets that lack a hint, because an open mark covers it
    \* @type: Int -> Str;
    owed,         \* by target: none, open, returning (open, and hints are kept again) or closed
    \* @type: Int -> Set(Int);
    heard,        \* by target: whom it heard since its mark was closed
    \* @type: Int;
    givenUp

replicas == <<held, closed, merged, converged, settled, recovering>>
catalog == <<allClosed, allConverged, lost>>
operations == <<phase, version, answered, best, acked>>
hints == <<intended, hinted, leftOut, owed, heard, givenUp>>
vars == <<held, closed, merged, converged, settled, recovering, allClosed, allConverged, lost,
          phase, version, answered, best, acked, intended, hinted, leftOut, owed, heard, givenUp>>

N == Cardinality(Replica)
Operation == DOMAIN Operations

\* @type: (Int, Int) => Int;
Max(a, b) == IF a >= b THEN a ELSE b

-------------------------------------------------------------------------------
(* The rules.  A variant replaces one of these operators and nothing else.    *)

\* As which version an absent row of a replica answers and compares.
\* @type: Bool => Int;
AbsentAs(isSettled) == IF isSettled THEN Floor ELSE 0

\* Whether a replica that is closed takes a version that it does not hold.
\* @type: (Bool, Int) => Bool;
Takes(isClosed, v) == ~isClosed \/ v > Floor

\* Whether a replica may merge for the floor what others hold.
\* @type: Bool => Bool;
MayConverge(allAreClosed) == allAreClosed

\* Whether what is above the floor is told as well, where it stands in the place of what was below.
TellsWhatIsNewer == TRUE

\* Whether a replica may settle.
\* @type: (Bool, Bool) => Bool;
MaySettle(itself, everybody) == itself /\ everybody

\* Whether a tombstone may be purged without a floor: when it is old, or when all hold it.
\* @type: (Bool, Bool) => Bool;
PurgesAnyhow(isOld, allHoldIt) == FALSE

\* Whether the hints that are kept are votes.
HintsCount == FALSE

\* Whether a hint goes when it is sent.
RemovedOnSend == FALSE

\* Whether hints may be dropped for a target with this mark.
\* @type: Str => Bool;
MayDrop(mark) == mark \in {"open", "returning"}

\* Whether a mark is paid by an exchange with so many.
\* @type: Int => Bool;
Pays(others) == others >= N - W

\* Whether a mark may be closed, when operations are open that it has to cover.
\* @type: Bool => Bool;
MayClose(someAreOpen) == ~someAreOpen

\* Whether an exchange counts for a mark in this state.
\* @type: Str => Bool;
CountsFor(mark) == mark = "closed"

\* Whether a replica that lost its disk is closed from its start.
StartsClosed == TRUE

\* Whether a disk that is lost before all have converged voids what anybody has merged for the floor, or has
\* said of converging at it.
VoidsRound == TRUE

\* Whether who had closed a floor that is void has closed the next, when that is proposed.
\* @type: Bool => Bool;
ClosedAnew(had) == had

\* Whether a backup's row is taken over, beside what others hold.
\* @type: Int => Bool;
BelievesBackup(v) == v > Floor

-------------------------------------------------------------------------------

\* @type: Int => Int;
Effective(r) == IF held[r] = 0 THEN AbsentAs(settled[r]) ELSE held[r]

\* The versions that were ever sent.
Sent == {version[o] : o \in {p \in Operation : version[p] # 0}}

\* The tombstones among them.
Tombstones == {version[o] : o \in {p \in Operation : version[p] # 0 /\ Operations[p] = "delete"}}

Init ==
    /\ held = [r \in Replica |-> 0]
    /\ closed = [r \in Replica |-> FALSE]
    /\ merged = [r \in Replica |-> {}]
    /\ converged = [r \in Replica |-> FALSE]
    /\ settled = [r \in Replica |-> FALSE]
    /\ recovering = [r \in Replica |-> FALSE]
    /\ allClosed = FALSE
    /\ allConverged = FALSE
    /\ lost = 0
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
    /\ givenUp = 0

-------------------------------------------------------------------------------
(* Operations.                                                                *)

\* @type: Int => Bool;
Begin(o) ==
    /\ phase[o] = "idle"
    /\ phase' = [phase EXCEPT ![o] = "asking"]
    /\ UNCHANGED <<replicas, catalog, version, answered, best, acked, hints>>

\* @type: (Int, Int) => Bool;
Answer(o, r) ==
    /\ phase[o] = "asking"
    /\ r \notin answered[o]
    /\ ~recovering[r]
    /\ answered' = [answered EXCEPT ![o] = answered[o] \union {r}]
    /\ best' = [best EXCEPT ![o] = Max(best[o], Effective(r))]
    /\ UNCHANGED <<replicas, catalog, phase, version, acked, hints>>

\* @type: Int => Bool;
Stamp(o) ==
    /\ phase[o] = "asking"
    /\ Cardinality(answered[o]) >= R
    /\ \E v \in Version :
        /\ v > best[o] /\ v \notin Sent
        /\ version' = [version EXCEPT ![o] = v]
    /\ phase' = [phase EXCEPT ![o] = "sending"]
    /\ answered' = [answered EXCEPT ![o] = {}]
    /\ best' = [best EXCEPT ![o] = 0]
    /\ UNCHANGED <<replicas, catalog, acked, hints>>

\* The intent names all targets but those that hold it and those that are given up: these are covered by
\* their marks.
\* @type: Int => Bool;
RecordIntent(o) ==
    /\ phase[o] = "sending"
    /\ o \notin intended
    /\ intended' = intended \union {o}
    /\ LET left == {r \in Replica : owed[r] = "open"} \ acked[o] IN
        /\ leftOut' = [leftOut EXCEPT ![o] = left]
        /\ hinted' = [hinted EXCEPT ![o] = (Replica \ left) \ acked[o]]
    /\ UNCHANGED <<replicas, catalog, operations, owed, heard, givenUp>>

\* A version arrives at a replica. It is kept if it is newer and not below what is closed.
\* @type: (Int, Int) => Bool;
Keeps(r, v) == held[r] >= v \/ (AbsentAs(settled[r]) < v /\ Takes(closed[r], v))

\* What is left of the hints when a target has said that it holds a version or a newer one.
\* @type: (Int, Int) => Int -> Set(Int);
Unpaid(r, v) == [o \in Operation |-> IF version[o] <= v THEN hinted[o] \ {r} ELSE hinted[o]]

\* The write or its hint reaches a replica, which says that it holds it or a newer one, perhaps again. An
\* operation that is over counts nobody, but its hints go.
\* @type: (Int, Int) => Bool;
Acknowledge(o, r) ==
    /\ version[o] # 0
    /\ (phase[o] = "sending" /\ r \notin acked[o]) \/ Unpaid(r, version[o]) # hinted
    /\ Keeps(r, version[o])
    /\ held' = [held EXCEPT ![r] = Max(held[r], version[o])]
    /\ acked' = [acked EXCEPT ![o] = IF phase[o] = "sending" THEN acked[o] \union {r} ELSE acked[o]]
    /\ hinted' = Unpaid(r, version[o])
    /\ UNCHANGED <<closed, merged, converged, settled, recovering, catalog, phase, version, answered, best,
                   intended, leftOut, owed, heard, givenUp>>

\* Only a variant forgets a hint that was sent.
\* @type: (Int, Int) => Bool;
SendHint(o, r) ==
    /\ RemovedOnSend
    /\ r \in hinted[o]
    /\ hinted' = [hinted EXCEPT ![o] = hinted[o] \ {r}]
    /\ UNCHANGED <<replicas, catalog, operations, intended, leftOut, owed, heard, givenUp>>

\* The marks, with each closed whose target is back, and which no operation that is open needs open.
\* @type: (Int -> Str, Int -> Set(Int)) => Int -> Str;
Closing(marks, left) ==
    [r \in Replica |->
        IF marks[r] = "returning" /\ MayClose(\E o \in Operation : r \in left[o]) THEN "closed" ELSE marks[r]]

\* From now on it is not acknowledged any more, unless it was.
\* @type: (Int, Str) => Bool;
End(o, how) ==
    /\ phase' = [phase EXCEPT ![o] = how]
    /\ answered' = [answered EXCEPT ![o] = {}]
    /\ best' = [best EXCEPT ![o] = 0]
    /\ acked' = [acked EXCEPT ![o] = {}]
    /\ leftOut' = [leftOut EXCEPT ![o] = {}]
    /\ owed' = Closing(owed, [leftOut EXCEPT ![o] = {}])
    /\ UNCHANGED <<replicas, catalog, version, intended, hinted, heard, givenUp>>

\* @type: Int => Bool;
Reply(o) ==
    /\ phase[o] = "sending"
    /\ o \in intended
    /\ Cardinality(acked[o] \union (IF HintsCount THEN hinted[o] ELSE {})) >= W
    /\ End(o, "done")

\* @type: Int => Bool;
GiveUp(o) ==
    /\ phase[o] \in {"asking", "sending"}
    /\ End(o, "failed")

\* The coordinator's process ends and starts again: what is open is over, and it knows no more who is back.
Crash ==
    /\ \E o \in Operation : phase[o] \in {"asking", "sending"}
    /\ phase' = [o \in Operation |-> IF phase[o] \in {"asking", "sending"} THEN "failed" ELSE phase[o]]
    /\ answered' = [o \in Operation |-> {}]
    /\ best' = [o \in Operation |-> 0]
    /\ acked' = [o \in Operation |-> {}]
    /\ leftOut' = [o \in Operation |-> {}]
    /\ owed' = [r \in Replica |-> IF owed[r] = "returning" THEN "open" ELSE owed[r]]
    /\ UNCHANGED <<replicas, catalog, version, intended, hinted, heard, givenUp>>

\* What was sent arrives, and nobody takes note: a write-back, a retry, a message that was long under way.
\* @type: Int => Bool;
Store(r) ==
    \E v \in Sent :
        /\ v > held[r]
        /\ Keeps(r, v)
        /\ held' = [held EXCEPT ![r] = v]
        /\ UNCHANGED <<closed, merged, converged, settled, recovering, catalog, operations, hints>>

-------------------------------------------------------------------------------
(* Targets that are given up.                                                 *)

\* Too much is kept for it, or an operator says so; perhaps once more before an earlier mark is paid.
\* @type: Int => Bool;
MarkOpen(r) ==
    /\ givenUp < GivenUp
    /\ owed[r] # "open"
    /\ \E o \in Operation : r \in hinted[o]
    /\ givenUp' = givenUp + 1
    /\ owed' = [owed EXCEPT ![r] = "open"]
    /\ heard' = [heard EXCEPT ![r] = {}]
    /\ UNCHANGED <<replicas, catalog, operations, intended, hinted, leftOut>>

\* @type: Int => Bool;
DropHints(r) ==
    /\ MayDrop(owed[r])
    /\ \E o \in Operation : r \in hinted[o]
    /\ hinted' = [o \in Operation |-> hinted[o] \ {r}]
    /\ leftOut' = [o \in Operation |->
                    IF phase[o] = "sending" /\ r \in hinted[o] THEN leftOut[o] \union {r} ELSE leftOut[o]]
    /\ UNCHANGED <<replicas, catalog, operations, intended, owed, heard, givenUp>>

\* The target is back: its writes get hints again, and its mark is closed as soon as that is right.
\* @type: Int => Bool;
KeepAgain(r) ==
    /\ owed[r] = "open"
    /\ owed' = Closing([owed EXCEPT ![r] = "returning"], leftOut)
    /\ UNCHANGED <<replicas, catalog, operations, intended, hinted, leftOut, heard, givenUp>>

\* What a replica holds when it has merged what another holds.
\* @type: (Int, Int) => Int;
Newer(r, q) == IF held[q] > Effective(r) THEN held[q] ELSE held[r]

\* A replica merges what another holds, at any time. It counts for a mark that is closed; when its target
\* has heard enough, the mark goes.
\* @type: (Int, Int) => Bool;
Exchange(r, q) ==
    /\ q # r /\ ~recovering[r] /\ ~recovering[q]
    /\ held[q] > Effective(r) \/ (CountsFor(owed[r]) /\ q \notin heard[r])
    /\ held' = [held EXCEPT ![r] = Newer(r, q)]
    /\ IF CountsFor(owed[r])
       THEN LET all == heard[r] \union {q}
                paid == Pays(Cardinality(all)) /\ owed[r] = "closed" IN
            /\ owed' = [owed EXCEPT ![r] = IF paid THEN "none" ELSE owed[r]]
            /\ heard' = [heard EXCEPT ![r] = IF paid THEN {} ELSE all]
       ELSE UNCHANGED <<owed, heard>>
    /\ UNCHANGED <<closed, merged, converged, settled, recovering, catalog, operations, intended, hinted,
                   leftOut, givenUp>>

-------------------------------------------------------------------------------
(* The floor.                                                                 *)

\* @type: Int => Bool;
Close(r) ==
    /\ ~closed[r]
    /\ closed' = [closed EXCEPT ![r] = TRUE]
    /\ UNCHANGED <<held, merged, converged, settled, recovering, catalog, operations, hints>>

\* The catalog has heard from all that they are closed.
NoteClosed ==
    /\ ~allClosed
    /\ \A r \in Replica : closed[r]
    /\ allClosed' = TRUE
    /\ UNCHANGED <<replicas, allConverged, lost, operations, hints>>

\* A replica merges for the floor all that another holds; of all others, and it has converged. Where the
\* other holds what is newer than the floor, that stands for what it held below.
\* @type: (Int, Int) => Bool;
Merge(r, q) ==
    /\ closed[r] /\ ~converged[r] /\ ~recovering[r] /\ ~recovering[q]
    /\ MayConverge(allClosed)
    /\ q # r /\ q \notin merged[r]
    /\ held' = [held EXCEPT ![r] = IF TellsWhatIsNewer \/ held[q] <= Floor THEN Newer(r, q) ELSE held[r]]
    /\ LET all == merged[r] \union {q} IN
        /\ converged' = [converged EXCEPT ![r] = all = Replica \ {r}]
        /\ merged' = [merged EXCEPT ![r] = IF all = Replica \ {r} THEN {} ELSE all]
    /\ UNCHANGED <<closed, settled, recovering, catalog, operations, hints>>

\* A replica crashes and starts again: it begins anew to converge.
\* @type: Int => Bool;
Restart(r) ==
    /\ merged[r] # {}
    /\ merged' = [merged EXCEPT ![r] = {}]
    /\ UNCHANGED <<held, closed, converged, settled, recovering, catalog, operations, hints>>

NoteConverged ==
    /\ ~allConverged
    /\ \A r \in Replica : converged[r]
    /\ allConverged' = TRUE
    /\ UNCHANGED <<replicas, allClosed, lost, operations, hints>>

\* The coordinator learns of it, at once or later: what is in the past is owed to nobody any more.
PayBelow ==
    /\ allConverged
    /\ \E o \in Operation : hinted[o] # {} /\ version[o] <= Floor
    /\ hinted' = [o \in Operation |-> IF version[o] <= Floor THEN {} ELSE hinted[o]]
    /\ UNCHANGED <<replicas, catalog, operations, intended, leftOut, owed, heard, givenUp>>

\* @type: Int => Bool;
Settle(r) ==
    /\ ~settled[r] /\ ~recovering[r]
    /\ MaySettle(converged[r], allConverged)
    /\ settled' = [settled EXCEPT ![r] = TRUE]
    /\ UNCHANGED <<held, closed, merged, converged, recovering, catalog, operations, hints>>

\* @type: Int => Bool;
Purge(r) ==
    /\ held[r] \in Tombstones
    /\ \/ settled[r] /\ held[r] <= Floor
       \/ PurgesAnyhow(held[r] <= Floor, \A q \in Replica : held[q] >= held[r])
    /\ held' = [held EXCEPT ![r] = 0]
    /\ UNCHANGED <<closed, merged, converged, settled, recovering, catalog, operations, hints>>

-------------------------------------------------------------------------------
(* Disks.                                                                     *)

\* What it said before is not counted any more: neither as a holder nor as converged. Hints that were
\* paid by it are gone; that is what the recovery is for. It takes writes while it recovers, and starts
\* closed at the floor that the catalog has proposed, whoever has closed it by then. Before all have
\* converged, the round is void, and nothing counts that anybody has merged in it: the catalog proposes a
\* higher floor. Here there is one for all rounds, at the same place among the versions.
\* @type: Int => Bool;
LoseDisk(r) ==
    LET voids == VoidsRound /\ ~allConverged
        begins(q) == q = r \/ voids
        had(q) == IF q = r THEN StartsClosed ELSE closed[q] IN
    /\ lost < Losses
    /\ lost' = lost + 1
    /\ held' = [held EXCEPT ![r] = 0]
    /\ closed' = [q \in Replica |-> IF voids THEN ClosedAnew(had(q)) ELSE had(q)]
    /\ allClosed' = (allClosed /\ (voids => ClosedAnew(TRUE)))
    /\ merged' = [q \in Replica |-> IF begins(q) THEN {} ELSE merged[q]]
    /\ converged' = [q \in Replica |-> converged[q] /\ ~begins(q)]
    /\ settled' = [settled EXCEPT ![r] = FALSE]
    /\ recovering' = [recovering EXCEPT ![r] = TRUE]
    /\ acked' = [o \in Operation |-> IF phase[o] = "sending" THEN acked[o] \ {r} ELSE acked[o]]
    /\ heard' = [heard EXCEPT ![r] = {}]
    /\ UNCHANGED <<allConverged, phase, version, answered, best, intended, hinted, leftOut, owed, givenUp>>

\* A replica that lost its disk merges what N - W + 1 others hold, and learns of the floor from them. It
\* may find an old copy of its disk: some version that was sent.
\* @type: Int => Bool;
Recover(r) ==
    /\ recovering[r]
    /\ \E others \in SUBSET (Replica \ {r}) :
        /\ Cardinality(others) = N - W + 1
        /\ \A q \in others : ~recovering[q]
        /\ \E backup \in Sent \union {0}, newest \in Sent \union {0} :
            LET isSettled == \E q \in others : settled[q]
                told == {held[q] : q \in others} \union {held[r]}
                floored == IF isSettled THEN Floor ELSE 0
                kept == IF BelievesBackup(backup) /\ backup > newest THEN backup ELSE newest IN
            /\ newest \in told /\ \A v \in told : v <= newest
            /\ held' = [held EXCEPT ![r] = IF kept > floored \/ kept \in told THEN kept ELSE 0]
            /\ settled' = [settled EXCEPT ![r] = isSettled]
            /\ converged' = [converged EXCEPT ![r] = isSettled]
    /\ recovering' = [recovering EXCEPT ![r] = FALSE]
    /\ UNCHANGED <<closed, merged, catalog, operations, hints>>

Next ==
    \/ NoteClosed \/ NoteConverged \/ PayBelow \/ Crash
    \/ \E o \in Operation :
        \/ Begin(o) \/ Stamp(o) \/ RecordIntent(o) \/ Reply(o) \/ GiveUp(o)
        \/ \E r \in Replica : Answer(o, r) \/ Acknowledge(o, r) \/ SendHint(o, r)
    \/ \E r \in Replica :
        \/ Store(r) \/ MarkOpen(r) \/ DropHints(r) \/ KeepAgain(r)
        \/ Close(r) \/ Restart(r) \/ Settle(r) \/ Purge(r) \/ LoseDisk(r) \/ Recover(r)
        \/ \E q \in Replica : Exchange(r, q) \/ Merge(r, q)

Spec == Init /\ [][Next]_vars

-------------------------------------------------------------------------------
(* The promises.                                                              *)

ConfigurationIsSound ==
    W + R > N /\ W \in 1..N /\ R \in 1..N /\ Floor \notin Version /\ Floor > 0

Done == {o \in Operation : phase[o] = "done"}

\* As long as no disk was lost, what is acknowledged is at each replica, or owed to it durably, or below
\* its floor.
Account ==
    lost = 0 =>
        \A o \in Done, r \in Replica :
            \/ held[r] >= version[o]
            \/ r \in hinted[o]
            \/ owed[r] # "none"
            \/ settled[r] /\ version[o] <= Floor

\* Whatever R replicas answer a read, it finds nothing older than what was acknowledged.
Seen ==
    \A o \in Done :
        Cardinality({r \in Replica : ~recovering[r] /\ Effective(r) < version[o]}) < R

\* Where a read may find the row deleted by the floor, it was deleted: no acknowledged value goes with
\* what is purged.
NothingIsLost ==
    LET below == {r \in Replica : ~recovering[r] /\ Effective(r) <= Floor} IN
    \A o \in Done :
        /\ Operations[o] = "write" /\ version[o] < Floor
        /\ Cardinality(below) >= R /\ \E r \in below : Effective(r) = Floor
        => \E t \in Tombstones : version[o] < t /\ t < Floor

\* What is deleted does not come back: replicas that have settled and hold nothing above the floor agree.
SettledAgree ==
    \A r \in Replica, q \in Replica :
        LET past(p) == IF held[p] \in Tombstones THEN 0 ELSE held[p] IN
        settled[r] /\ settled[q] /\ held[r] < Floor /\ held[q] < Floor => past(r) = past(q)
===============================================================================
