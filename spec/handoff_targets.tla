---------------------------- MODULE handoff_targets ----------------------------
(***************************************************************************)
(* One row whose targets change: a newcomer takes the place of a replica   *)
(* that leaves, and the table is truncated, while a coordinator writes,    *)
(* owes hints, and learns of all this later than others (HANDOFF.R7).      *)
(*                                                                         *)
(* As in handoff.tla messages are not variables: what was ever sent may    *)
(* arrive at any time, again and again, unless its target refuses the      *)
(* setting under which it was sent. A coordinator that crashes takes no    *)
(* step for a while, and what it said before is durable. A write or a      *)
(* truncation asks its read quorum at one moment, and a repair hears all   *)
(* that it needs at one moment: quorum.tla and handoff.tla have them apart.*)
(***************************************************************************)
EXTENDS Integers, FiniteSets

CONSTANTS
    \* @type: Set(Int);
    OldOwners,
    \* @type: Int;
    Leaver,        \* one of them
    \* @type: Int;
    Newcomer,      \* none of them
    \* @type: Int;
    W,
    \* @type: Int;
    R,
    \* @type: Set(Int);
    Operation,     \* the writes
    \* @type: Set(Int);
    Version,       \* what writes and a truncation may take; positive
    \* @type: Set(Str);
    Ways,          \* in which the shard may move: "drain", "replace"
    \* @type: Int;
    Truncations,   \* at most one
    \* @type: Int;
    Damages        \* how many hints may turn out to be unreadable

VARIABLES
    \* The replicas.
    \* @type: Int -> Int;
    held,          \* the version of the row, 0 if it is absent
    \* @type: Set(Int);
    fenced,        \* who refuses what is sent under the setting from before the move
    \* @type: Set(Int);
    told,          \* who said that it has truncated the table
    \* The catalog.
    \* @type: Str;
    way,           \* in which the shard moves, "none" before
    \* @type: Str;
    stage,         \* of the move: still, moving, copied or moved
    \* @type: Int;
    truncation,    \* the version at which the table is truncated, 0 if it is not
    \* @type: Bool;
    truncated,     \* and its client was told so
    \* @type: Set(Int);
    before,        \* the writes that were done when it began
    \* The writes.
    \* @type: Int -> Str;
    phase,         \* idle, sending, done or failed
    \* @type: Int -> Int;
    version,       \* what it took, 0 if nothing yet
    \* @type: Int -> Set(Int);
    acked,         \* who holds it or something newer, as the coordinator was told
    \* The coordinator, and its disk.
    \* @type: Str;
    setting,       \* that it works under: old, joint or new
    \* @type: Bool;
    handedOver,    \* what it owed the leaver it owes the newcomer
    \* @type: Set(Int);
    intended,      \* writes whose intent is durable
    \* @type: Int -> Set(Int);
    hinted,        \* by write: targets that are owed it
    \* @type: Set(Int);
    marked,        \* targets that are owed a repair
    \* @type: Int;
    damaged

replicas == <<held, fenced, told>>
catalog == <<way, stage, truncation, truncated, before>>
writes == <<phase, version, acked>>
coordinator == <<setting, handedOver, intended, hinted, marked, damaged>>
vars == <<held, fenced, told, way, stage, truncation, truncated, before, phase, version, acked,
          setting, handedOver, intended, hinted, marked, damaged>>

Replica == OldOwners \union {Newcomer}
NewOwners == (OldOwners \ {Leaver}) \union {Newcomer}
N == Cardinality(OldOwners)

\* @type: (Int, Int) => Int;
Max(a, b) == IF a >= b THEN a ELSE b

-------------------------------------------------------------------------------
(* The rules.  A variant replaces one of these operators and nothing else.    *)

\* Under which settings the coordinator hands over what it owes the leaver, as it learns of them.
HandsOverAt == {"joint", "new"}

\* Whether a write that is open then names the newcomer, though the leaver has acknowledged it.
NamesInOpenWrites == TRUE

\* Whether the newcomer is owed a repair because the leaver is.
MarksFollow == TRUE

\* Whom a write names while the shard moves.
NamedWhileMoving == OldOwners \union {Newcomer}

\* Whether a replica may be copied from.
\* @type: Bool => Bool;
MayBeCopied(isFenced) == isFenced

\* Whether the newcomer copies the truncation with the rows.
CopiesTruncation == TRUE

\* Whether a truncation may take a version when a replica that it asked answered with this one.
\* @type: (Int, Int) => Bool;
MayTruncateAt(v, answered) == v > answered

\* As which version a truncated replica answers for rows that are absent, and compares with what comes.
\* @type: Int => Int;
Remembered(v) == v

\* Whether a hint is paid by a truncation.
\* @type: (Int, Int) => Bool;
PaidBy(v, t) == v <= t

\* Who gets a mark when a hint can not be read.
\* @type: Int => Set(Int);
MarkedFor(r) == {r}

-------------------------------------------------------------------------------

\* A row that a replica hears of, as it keeps it when it knows of this truncation.
\* @type: (Int, Int) => Int;
Kept(v, t) == IF v > t THEN v ELSE 0

\* What is deleted at a replica, whatever row it is.
\* @type: Int => Int;
Deleted(r) == IF r \in told THEN Remembered(truncation) ELSE 0

\* @type: Int => Int;
Effective(r) == Max(held[r], Deleted(r))

\* The versions that were ever sent, or taken by the truncation.
Taken == {version[o] : o \in Operation} \union {truncation}

Done == {o \in Operation : phase[o] = "done"}

\* Who holds the row now, as the catalog says: what is promised is promised of these.
Owners == IF stage = "moved" THEN NewOwners ELSE OldOwners

\* Whether these are a write quorum: under one setting, or under two.
\* @type: (Set(Int), Bool, Bool) => Bool;
Quorum(who, underOld, underNew) ==
    /\ underOld => Cardinality(who \intersect OldOwners) >= W
    /\ underNew => Cardinality(who \intersect NewOwners) >= W

\* Whom the coordinator names.
Targets ==
    IF setting = "old" THEN OldOwners ELSE IF setting = "new" THEN NewOwners ELSE NamedWhileMoving

\* Whether a replica takes what the coordinator sends: it serves the row, under this setting.
\* @type: Int => Bool;
Hears(r) ==
    /\ r = Newcomer => stage # "still" /\ setting # "old"
    /\ r \in fenced => setting # "old"

\* Whether this is the newest that these hold.
\* @type: (Int, Set(Int)) => Bool;
NewestRow(v, who) == (\E r \in who : v = held[r]) /\ \A r \in who : held[r] <= v

Init ==
    /\ held = [r \in Replica |-> 0]
    /\ fenced = {}
    /\ told = {}
    /\ way = "none"
    /\ stage = "still"
    /\ truncation = 0
    /\ truncated = FALSE
    /\ before = {}
    /\ phase = [o \in Operation |-> "idle"]
    /\ version = [o \in Operation |-> 0]
    /\ acked = [o \in Operation |-> {}]
    /\ setting = "old"
    /\ handedOver = FALSE
    /\ intended = {}
    /\ hinted = [o \in Operation |-> {}]
    /\ marked = {}
    /\ damaged = 0

-------------------------------------------------------------------------------
(* Writes.                                                                    *)

\* @type: Int => Bool;
Begin(o) ==
    /\ phase[o] = "idle"
    /\ \E asked \in SUBSET (IF setting = "new" THEN NewOwners ELSE OldOwners), v \in Version \ Taken :
        /\ Cardinality(asked) = R
        /\ \A r \in asked : Hears(r)
        /\ \A r \in asked : v > Effective(r)
        /\ version' = [version EXCEPT ![o] = v]
    /\ phase' = [phase EXCEPT ![o] = "sending"]
    /\ UNCHANGED <<replicas, catalog, acked, coordinator>>

\* @type: Int => Bool;
RecordIntent(o) ==
    /\ phase[o] = "sending"
    /\ o \notin intended
    /\ intended' = intended \union {o}
    /\ hinted' = [hinted EXCEPT ![o] = Targets \ acked[o]]
    /\ UNCHANGED <<replicas, catalog, writes, setting, handedOver, marked, damaged>>

\* The write or its hint reaches a replica, which keeps what is newer and says so; or its answer is lost.
\* @type: (Int, Int) => Bool;
Deliver(o, r) ==
    /\ version[o] # 0
    /\ Hears(r)
    /\ held' = [held EXCEPT ![r] = Max(held[r], Kept(version[o], Deleted(r)))]
    /\ \/ UNCHANGED <<acked, hinted>>
       \/ /\ r \in Targets \ acked[o]
          /\ acked' = [acked EXCEPT ![o] = acked[o] \union {r}]
          /\ hinted' = [hinted EXCEPT ![o] = hinted[o] \ {r}]
    /\ UNCHANGED <<fenced, told, catalog, phase, version, setting, handedOver, intended, marked, damaged>>

\* @type: Int => Bool;
Reply(o) ==
    /\ phase[o] = "sending"
    /\ o \in intended
    /\ Quorum(acked[o], setting # "new", setting # "old")
    /\ phase' = [phase EXCEPT ![o] = "done"]
    /\ UNCHANGED <<replicas, catalog, version, acked, coordinator>>

\* @type: Int => Bool;
GiveUp(o) ==
    /\ phase[o] = "sending"
    /\ phase' = [phase EXCEPT ![o] = "failed"]
    /\ UNCHANGED <<replicas, catalog, version, acked, coordinator>>

-------------------------------------------------------------------------------
(* A hint that can not be read, and how its mark is paid (HANDOFF.R6).        *)

\* @type: (Int, Int) => Bool;
Damage(o, r) ==
    /\ damaged < Damages
    /\ r \in hinted[o]
    /\ damaged' = damaged + 1
    /\ marked' = marked \union MarkedFor(r)
    /\ hinted' = [hinted EXCEPT ![o] = hinted[o] \ {r}]
    /\ UNCHANGED <<replicas, catalog, writes, setting, handedOver, intended>>

\* @type: Int => Bool;
Repair(r) ==
    /\ r \in marked \intersect Owners
    /\ Hears(r)
    /\ \A o \in intended : phase[o] # "sending"
    /\ \E others \in SUBSET (Owners \ {r}), row \in Version \union {0} :
        /\ Cardinality(others) = N - W
        /\ \A q \in others : Hears(q)
        /\ NewestRow(row, others \union {r})
        /\ held' = [held EXCEPT ![r] = Kept(row, Deleted(r))]
    /\ marked' = marked \ {r}
    /\ UNCHANGED <<fenced, told, catalog, writes, setting, handedOver, intended, hinted, damaged>>

-------------------------------------------------------------------------------
(* A newcomer takes the place of one that leaves.                             *)

BeginMove ==
    /\ stage = "still"
    /\ way' \in Ways
    /\ stage' = "moving"
    /\ UNCHANGED <<replicas, truncation, truncated, before, writes, coordinator>>

\* @type: Int => Bool;
Fence(r) ==
    /\ stage # "still"
    /\ r \in OldOwners \ fenced
    /\ fenced' = fenced \union {r}
    /\ UNCHANGED <<held, told, catalog, writes, coordinator>>

\* The newcomer copies from the one that is drained, or from N - W + 1 others of one that is dead.
Copy ==
    /\ stage = "moving"
    /\ \E sources \in SUBSET OldOwners, row \in Version \union {0} :
        /\ IF way = "drain" THEN sources = {Leaver}
           ELSE Leaver \notin sources /\ Cardinality(sources) = N - W + 1
        /\ \A q \in sources : MayBeCopied(q \in fenced)
        /\ NewestRow(row, sources \union {Newcomer})
        /\ LET tells == CopiesTruncation /\ sources \intersect told # {} IN
            /\ told' = IF tells THEN told \union {Newcomer} ELSE told
            /\ held' = [held EXCEPT ![Newcomer] = Kept(row, IF tells THEN truncation ELSE Deleted(Newcomer))]
    /\ stage' = "copied"
    /\ UNCHANGED <<fenced, way, truncation, truncated, before, writes, coordinator>>

Switch ==
    /\ stage = "copied"
    /\ stage' = "moved"
    /\ UNCHANGED <<replicas, way, truncation, truncated, before, writes, coordinator>>

\* The coordinator learns of the move, or that it is done, which may be at once. What it owes the leaver
\* it owes the newcomer from then on, durably, and each open write names it; nothing is owed the leaver
\* when the move is done.
\* @type: Str => Bool;
Learn(next) ==
    /\ \/ setting = "old" /\ next = "joint" /\ stage # "still"
       \/ setting # "new" /\ next = "new" /\ stage = "moved"
    /\ LET hands == next \in HandsOverAt /\ ~handedOver
           gone == IF next = "new" THEN {Leaver} ELSE {}
           with(owed, follows) == (owed \union (IF hands /\ follows THEN {Newcomer} ELSE {})) \ gone
           open(o) == NamesInOpenWrites /\ phase[o] = "sending" /\ o \in intended IN
        /\ hinted' = [o \in Operation |-> with(hinted[o], Leaver \in hinted[o] \/ open(o))]
        /\ marked' = with(marked, MarksFollow /\ Leaver \in marked)
        /\ handedOver' = (handedOver \/ hands)
    /\ setting' = next
    /\ UNCHANGED <<replicas, catalog, writes, intended, damaged>>

-------------------------------------------------------------------------------
(* A truncation.                                                              *)

\* It asks what is newest, as a write does, and the catalog keeps its version.
Truncate ==
    /\ truncation = 0
    /\ Truncations > 0
    /\ \E asked \in SUBSET Owners, v \in Version \ Taken :
        /\ Cardinality(asked) = R
        /\ \A r \in asked : MayTruncateAt(v, Effective(r))
        /\ truncation' = v
    /\ before' = Done
    /\ UNCHANGED <<replicas, way, stage, truncated, writes, coordinator>>

\* A replica removes what is at or below it, and remembers it.
\* @type: Int => Bool;
Tell(r) ==
    /\ truncation # 0
    /\ r \notin told
    /\ r = Newcomer => stage # "still"
    /\ told' = told \union {r}
    /\ held' = [held EXCEPT ![r] = Kept(held[r], truncation)]
    /\ UNCHANGED <<fenced, catalog, writes, coordinator>>

ReplyTruncated ==
    /\ truncation # 0
    /\ ~truncated
    /\ Quorum(told, stage # "moved", stage # "still")
    /\ truncated' = TRUE
    /\ UNCHANGED <<replicas, way, stage, truncation, before, writes, coordinator>>

\* The coordinator learns of it: what is at or below is paid.
DropHints ==
    /\ truncation # 0
    /\ \E o \in intended : hinted[o] # {} /\ PaidBy(version[o], truncation)
    /\ hinted' = [o \in Operation |-> IF PaidBy(version[o], truncation) THEN {} ELSE hinted[o]]
    /\ UNCHANGED <<replicas, catalog, writes, setting, handedOver, intended, marked, damaged>>

Next ==
    \/ BeginMove \/ Copy \/ Switch \/ Truncate \/ ReplyTruncated \/ DropHints
    \/ \E next \in {"joint", "new"} : Learn(next)
    \/ \E r \in Replica : Repair(r) \/ Fence(r) \/ Tell(r)
    \/ \E o \in Operation :
        \/ Begin(o) \/ RecordIntent(o) \/ Reply(o) \/ GiveUp(o)
        \/ \E r \in Replica : Deliver(o, r) \/ Damage(o, r)

Spec == Init /\ [][Next]_vars

-------------------------------------------------------------------------------
(* The promises.                                                              *)

ConfigurationIsSound ==
    /\ W + R > N /\ W \in 1..N /\ R \in 1..N
    /\ Leaver \in OldOwners /\ Newcomer \notin OldOwners
    /\ Truncations \in 0..1 /\ \A v \in Version : v > 0

\* What the coordinator owes the leaver and has not handed over is owed the newcomer: the leaver does not
\* take it any more, so it can not be paid before.
\* @type: Set(Int) => Set(Int);
Owed(targets) ==
    targets \union (IF ~handedOver /\ Leaver \in targets THEN {Newcomer} ELSE {})

\* What was acknowledged is at each owner, or owed to it durably, or truncated: the catalog keeps that.
TargetsAccount ==
    \A o \in Done, r \in Owners :
        \/ Effective(r) >= version[o]
        \/ r \in Owed(hinted[o])
        \/ r \in Owed(marked)
        \/ version[o] <= truncation

\* Whatever R owners answer, they know of what was acknowledged: of every write, and of the truncation.
TargetsSeen ==
    /\ \A o \in Done : Cardinality({r \in Owners : Effective(r) < version[o]}) < R
    /\ truncated => Cardinality({r \in Owners : Effective(r) < truncation}) < R

\* Who has truncated the table never has a row again that is at or below.
TruncatedStaysDeleted == \A r \in told : held[r] = 0 \/ held[r] > truncation

\* What was done before a table was truncated is truncated.
TruncatesWhatWasDone == \A o \in before : version[o] < truncation
===============================================================================
