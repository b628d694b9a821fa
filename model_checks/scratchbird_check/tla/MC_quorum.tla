------------------------------- MODULE MC_quorum -------------------------------
(***************************************************************************)
(* Instances of quorum.tla for TLC and Apalache, and the rules that are    *)
(* known to be wrong: a configuration MC_quorum__NAME.cfg puts one of them *)
(* in the place of the right one and names the promise that must break.    *)
(***************************************************************************)
EXTENDS quorum

\* @type: Set(Int);
OneReplica == 1..1
\* @type: Set(Int);
TwoReplicas == 1..2
\* @type: Set(Int);
ThreeReplicas == 1..3

\* What an operation is: the writes first, then the reads, then what is done for a write.
\* @type: (Str, Int) => { kind: Str, of: Int };
Op(kind, of) == [kind |-> kind, of |-> of]
\* @type: Int -> { kind: Str, of: Int };
WriteRead == [o \in 1..2 |-> IF o = 1 THEN Op("write", 0) ELSE Op("read", 0)]
\* @type: Int -> { kind: Str, of: Int };
WriteWrite == [o \in 1..2 |-> Op("write", 0)]
\* @type: Int -> { kind: Str, of: Int };
WriteReadRead ==
    [o \in 1..3 |-> IF o = 1 THEN Op("write", 0) ELSE Op("read", IF o = 2 THEN 0 ELSE 2)]
\* @type: Int -> { kind: Str, of: Int };
WriteWriteRead == [o \in 1..3 |-> IF o <= 2 THEN Op("write", 0) ELSE Op("read", 0)]
\* @type: Int -> { kind: Str, of: Int };
WriteWriteReadRead ==
    [o \in 1..4 |-> IF o <= 2 THEN Op("write", 0) ELSE Op("read", IF o = 3 THEN 0 ELSE 3)]
\* @type: Int -> { kind: Str, of: Int };
WriteReadRetry ==
    [o \in 1..3 |-> IF o = 1 THEN Op("write", 0) ELSE IF o = 2 THEN Op("read", 0) ELSE Op("retry", 1)]
\* @type: Int -> { kind: Str, of: Int };
WriteReadLook ==
    [o \in 1..3 |-> IF o = 1 THEN Op("write", 0) ELSE IF o = 2 THEN Op("read", 0) ELSE Op("look", 1)]
\* @type: Int -> { kind: Str, of: Int };
WriteWriteReadRetry ==
    [o \in 1..4 |-> IF o <= 2 THEN Op("write", 0) ELSE IF o = 3 THEN Op("read", 0) ELSE Op("retry", 1)]
\* One client writes, reads, reads and writes; another writes.
\* @type: Int -> { kind: Str, of: Int };
Session ==
    [o \in 1..5 |-> IF o = 1 \/ o = 5 THEN Op("write", 0)
                    ELSE Op(IF o = 4 THEN "write" ELSE "read", o - 1)]

\* @type: (Int, Int) => $setting;
Quorums(w, r) == [w |-> w, r |-> r, linearizable |-> TRUE]
\* @type: Int -> $setting;
Majorities == [e \in 1..1 |-> Quorums(2, 2)]
\* @type: Int -> $setting;
WriteAllReadOne == [e \in 1..1 |-> Quorums(N, 1)]
\* @type: Int -> $setting;
WriteOneReadAll == [e \in 1..1 |-> Quorums(1, N)]
\* @type: Int -> $setting;
WriteThreeReadTwo == [e \in 1..1 |-> Quorums(3, 2)]
\* @type: Int -> $setting;
EventualOneOne == [e \in 1..1 |-> [w |-> 1, r |-> 1, linearizable |-> FALSE]]
\* W + R = N.
\* @type: Int -> $setting;
Disjoint == [e \in 1..1 |-> Quorums(1, N - 1)]
\* By way of a setting that is compatible with both.
\* @type: Int -> $setting;
WithBarrier ==
    [e \in 1..3 |-> IF e = 1 THEN Quorums(1, N) ELSE IF e = 2 THEN Quorums(N, N) ELSE Quorums(N, 1)]
\* And the other way.
\* @type: Int -> $setting;
WithBarrierBack ==
    [e \in 1..3 |-> IF e = 1 THEN Quorums(N, 1) ELSE IF e = 2 THEN Quorums(N, N) ELSE Quorums(1, N)]
\* Two settings that may be used side by side.
\* @type: Int -> $setting;
SideBySide == [e \in 1..2 |-> IF e = 1 THEN Quorums(2, 2) ELSE Quorums(2, 3)]

-------------------------------------------------------------------------------
(* Wrong rules.                                                               *)

Yes == TRUE

\* @type: $setting => Bool;
NeverLooksFirst(s) == FALSE

\* @type: (Int, Int) => Bool;
EveryAnswerIsFresh(winner, token) == TRUE

\* @type: (Int, Int) => Int;
StampsAboveAnswers(highest, token) == highest

\* A read replies as soon as R replicas have answered, and repairs what is stale afterwards.
\* @type: ($setting, Set(Int), Set(Int)) => Bool;
RepliesAtOnce(s, answers, holders) == TRUE

\* A read writes back only if the answers that it took disagree.
\* @type: ($setting, Set(Int), Set(Int)) => Bool;
RepliesIfAllAgree(s, answers, holders) ==
    answers \subseteq holders \/ EnoughHolders(s, Cardinality(holders))

\* A read replies as soon as its winner is held by enough to meet every read quorum.
\* @type: ($setting, Set(Int), Set(Int)) => Bool;
RepliesAtHittingSet(s, answers, holders) ==
    Cardinality(holders) >= N - s.r + 1 \/ EnoughHolders(s, Cardinality(holders))

\* @type: ($setting, Int, Bool) => Bool;
RepliesBeforeIntent(s, holders, intentIsDurable) == EnoughHolders(s, holders)

\* @type: Bool => Bool;
EverybodyVotes(isRecovering) == TRUE

\* @type: (Int, Int) => Bool;
EveryIncarnationCounts(saidAs, known) == TRUE

\* @type: (Int, Set(Int)) => Bool;
MayUseAtOnce(e, barriers) == TRUE

\* @type: (Int, Int) => Bool;
AcceptsEveryEpoch(own, requested) == TRUE

\* @type: Bool => Bool;
AlwaysSaysNotApplied(wasSent) == TRUE

\* @type: ($setting, Int) => Bool;
RecoversFromOne(s, others) == others >= 1

\* The newest setting is all that counts for a replica that lost its disk.
\* @type: (Int, Set(Int)) => Bool;
RecoversAsNewest(e, inForce) == \A d \in inForce : d <= e

-------------------------------------------------------------------------------
(* Interesting states. Each must be reached: its negation is checked as an    *)
(* invariant, and the run is as expected when that is violated.               *)

\* A read returned the value of a write whose coordinator had given up.
NeverReadOfTheFailed ==
    \A o \in Operation :
        Kind(o) = "read" /\ phase[o] = "done" /\ version[o] # 0 =>
            phase[author[version[o]]] # "failed" \/ author[version[o]] \in returned
\* Two writes are done, and the one that began last has ended first.
NeverOvertaken ==
    \A o \in Operation, p \in Operation :
        ~(Kind(o) = "write" /\ Kind(p) = "write" /\ phase[o] = "done" /\ phase[p] = "done"
            /\ o \notin after[p] /\ p \notin after[o] /\ version[o] > version[p])
\* A replica lost its disk, recovered, and vouches for a read again.
NeverRecovered ==
    \A r \in Replica :
        ~(incarnation[r] > 1 /\ recovering[r] = 0
            /\ \E o \in Operation : Kind(o) = "read" /\ phase[o] = "sending" /\ holder[o][r] > 1)
\* What a replica said before it lost its disk is no longer counted.
NeverDiscounted ==
    \A o \in Operation : \A r \in Replica : holder[o][r] > 0 => Current(holder[o][r], told[o][r])
\* A read wrote back before it replied.
NeverWroteBack ==
    \A o \in Operation :
        ~(Kind(o) = "read" /\ phase[o] = "sending" /\ version[o] # 0
            /\ Cardinality(Holders(o)) > Cardinality(Holders(o) \intersect answered[o]))
\* The last setting is in use, and what began in the first is under way.
NeverChanged ==
    \A o \in Operation, p \in Operation :
        ~(setting[o] = 3 /\ phase[o] = "done" /\ setting[p] = 1 /\ phase[p] = "sending")
\* All is done.
NeverAllDone == \E o \in Operation : phase[o] # "done"
===============================================================================
