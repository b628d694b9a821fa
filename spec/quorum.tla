-------------------------------- MODULE quorum --------------------------------
(***************************************************************************)
(* One row on its replicas, written and read by coordinators at once under *)
(* all faults at once: messages are lost, doubled and reordered;           *)
(* coordinators crash or give up; replicas crash, start again and lose     *)
(* their disks; clocks are skewed; W and R are changed on the run.         *)
(*                                                                         *)
(* The module has four sections: the rules (one operator each, named as in *)
(* the reference), the world, the steps, and the promises. What is         *)
(* promised to clients is stated in quorum_history.tla.                    *)
(*                                                                         *)
(* Messages are not variables of their own:                                *)
(* - A request goes to every replica, and may arrive once, never, often or *)
(*   late. So a replica may take its step at any time after the request    *)
(*   was sent, also when the coordinator is long gone.                     *)
(* - An answer that is lost was never taken note of. One that comes late   *)
(*   is one on which the coordinator acts late: what it would know between *)
(*   changes nothing before it acts.                                       *)
(* - What replicas hold is durable before they answer. So a replica that   *)
(*   crashes and starts again is one that was not heard for a while, and a *)
(*   coordinator that crashes is one that takes no further step.           *)
(*                                                                         *)
(* An operation is what one coordinator does for one client. The value of  *)
(* a write is the number of its operation.                                 *)
(***************************************************************************)
EXTENDS Integers, FiniteSets, quorum_history

\* @typeAlias: setting = { w: Int, r: Int, linearizable: Bool };
\* @type: Bool;
quorum_aliases == TRUE

CONSTANTS
    \* @type: Set(Int);
    Replica,
    \* @type: Int -> { kind: Str, of: Int };
    Operations,   \* write, read: by the client for whom OF was done, 0 if a new one; retry, look: of OF
    \* @type: Int -> $setting;
    Settings,     \* by epoch: 1, 2, ...
    \* @type: Int;
    MaxVersion,
    \* @type: Int;
    Losses        \* how many disks may be lost

VARIABLES
    \* The replicas.
    \* @type: Int -> Int;
    held,         \* the version that a replica holds, 0 if none
    \* @type: Int -> Int;
    epoch,        \* the highest it has seen
    \* @type: Int -> Int;
    incarnation,  \* raised whenever it loses its disk
    \* @type: Int -> Int -> Int;
    knows,        \* the incarnations that it knows of
    \* @type: Int -> Int;
    recovering,   \* 0, or the epoch as whose setting demands it recovers from the loss of its disk
    \* @type: Int -> Set(Int);
    heard,        \* from whom it has got all they hold since
    \* The operations and their coordinators.
    \* @type: Int -> Str;
    phase,        \* idle, asking, sending, done or failed
    \* @type: Int -> Int;
    setting,      \* the epoch of the setting that it uses, 0 before it begins
    \* @type: Int -> Int;
    version,      \* what it writes, writes back or has returned
    \* @type: Int -> Set(Int);
    answered,     \* replicas that answered its query
    \* @type: Int -> Int;
    best,         \* the highest version among the answers
    \* @type: Int -> Int -> Int;
    holder,       \* the incarnation in which a replica said that it holds the version, 0 if it did not
    \* @type: Int -> Int -> Int;
    told,         \* the incarnations of which answers and acknowledgements told
    \* @type: Set(Int);
    durable,      \* operations whose intent is durable
    \* @type: Int -> Int;
    author,       \* by version: the write that took it, 0 if none did
    \* What clients see.
    \* @type: Set(Int);
    returned,     \* writes and reads that are done, as a client was told
    \* @type: Int -> Set(Int);
    after,        \* those that had returned when an operation was invoked
    \* @type: Int;
    lost          \* how many disks were lost

replicas == <<held, epoch, incarnation, knows, recovering, heard, lost>>
operations == <<phase, setting, version, answered, best, holder, told, durable, author, returned, after>>
vars == <<held, epoch, incarnation, knows, recovering, heard, phase, setting, version, answered,
          best, holder, told, durable, author, returned, after, lost>>

N == Cardinality(Replica)
Operation == DOMAIN Operations
Epoch == DOMAIN Settings
Version == 1..MaxVersion

\* @type: (Int, Int) => Int;
Max(a, b) == IF a >= b THEN a ELSE b

-------------------------------------------------------------------------------
(* The rules.  A variant replaces one of these operators and nothing else.    *)

\* Whether a replica that holds OLD is to hold NEW instead.
\* @type: (Int, Int) => Bool;
Supersedes(new, old) == new > old

\* Whether a write asks a read quorum before it takes its version.
\* @type: $setting => Bool;
LooksFirst(s) == s.linearizable

\* Whether a winner may be chosen among so many answers.
\* @type: ($setting, Int) => Bool;
EnoughAnswers(s, answers) == answers >= s.r

\* Whether so many replicas that are known to hold a version make it one that lasts.
\* @type: ($setting, Int) => Bool;
EnoughHolders(s, holders) == holders >= s.w

\* Whether a read may reply whose winner is known to be held by these replicas.
\* @type: ($setting, Set(Int), Set(Int)) => Bool;
ReadMayReply(s, answers, holders) == ~s.linearizable \/ EnoughHolders(s, Cardinality(holders))

\* Whether a write may be acknowledged.
\* @type: ($setting, Int, Bool) => Bool;
WriteMayReply(s, holders, intentIsDurable) == EnoughHolders(s, holders) /\ intentIsDurable

\* Whether a read may take this winner for a client that carries this token.
\* @type: (Int, Int) => Bool;
FreshEnough(winner, token) == winner >= token

\* What the version of a write must be above.
\* @type: (Int, Int) => Int;
StampAbove(highest, token) == Max(highest, token)

\* Whether what a replica said in one incarnation still binds it.
\* @type: (Int, Int) => Bool;
Current(saidAs, known) == saidAs >= known

\* Whether a replica may answer a query or an exchange.
\* @type: Bool => Bool;
HasVote(isRecovering) == ~isRecovering

\* Whether a replica that lost its disk has heard from enough others.
\* @type: ($setting, Int) => Bool;
HasRecovered(s, others) == others >= N - s.w + 1

\* Whether a replica that loses its disk is to recover as the setting of this epoch demands, when
\* these are the epochs in force: the smallest W among them demands the most.
\* @type: (Int, Set(Int)) => Bool;
RecoversAs(e, inForce) == \A d \in inForce : Settings[e].w <= Settings[d].w

\* Whether a replica serves a request of this epoch.
\* @type: (Int, Int) => Bool;
AcceptsEpoch(own, requested) == requested >= own

\* Whether every write quorum of one setting meets every read quorum of the other.
\* @type: ($setting, $setting) => Bool;
AlwaysMeet(write, read) == write.w + read.r > N

\* Whether coordinators may use two settings side by side.
\* @type: ($setting, $setting) => Bool;
Compatible(s, t) == AlwaysMeet(s, t) /\ AlwaysMeet(t, s)

\* Whether a read is a barrier between two settings: it is compatible with both.
\* @type: (Int, Int, Int) => Bool;
IsBarrier(d, b, e) ==
    /\ d < b /\ b < e
    /\ Compatible(Settings[d], Settings[b]) /\ Compatible(Settings[b], Settings[e])

\* Whether a coordinator may use the setting of this epoch, when a read is done in each of these.
\* @type: (Int, Set(Int)) => Bool;
MayUse(e, barriers) ==
    \A d \in Epoch :
        \/ d >= e
        \/ Compatible(Settings[d], Settings[e])
        \/ \E b \in barriers : IsBarrier(d, b, e)

\* Whether a retry takes a version of its own.
RetryTakesNewVersion == FALSE

\* Whether a write that meets a newer version takes a new version and sends again.
StampsAgain == FALSE

\* Whether a coordinator that gives up after it sent takes back what it wrote.
RollsBack == FALSE

\* Whether a coordinator that gives up says that the write was not applied and never will be.
\* @type: Bool => Bool;
SaysNotApplied(wasSent) == ~wasSent

-------------------------------------------------------------------------------
(* The world.                                                                 *)

\* @type: Int => Str;
Kind(o) == Operations[o].kind
\* @type: Int => Bool;
Writes(o) == Kind(o) \in {"write", "retry"}
\* The operation as clients count: a retry is the write that it retries.
\* @type: Int => Int;
Of(o) == IF Kind(o) \in {"retry", "look"} THEN Operations[o].of ELSE o
\* @type: Int => $setting;
SettingOf(o) == Settings[setting[o]]

\* What the client carries: the version that it wrote or read last. A linearizable operation
\* keeps its promise without.
\* @type: Int => Int;
Token(o) ==
    IF Of(o) = o /\ Operations[o].of # 0 /\ ~SettingOf(o).linearizable
    THEN version[Operations[o].of] ELSE 0

\* @type: Int -> Int;
Nobody == [r \in Replica |-> 0]
\* @type: (Int -> Int, Int -> Int) => (Int -> Int);
Newest(a, b) == [r \in Replica |-> Max(a[r], b[r])]

\* The replicas that count as holding the version of an operation.
\* @type: Int => Set(Int);
Holders(o) == {r \in Replica : holder[o][r] > 0 /\ Current(holder[o][r], told[o][r])}

\* The epochs in which a linearizable read of the row is done.
Barriers == {setting[o] : o \in {p \in Operation : Kind(p) = "read" /\ phase[p] = "done"}}

\* The epochs up to the newest in use of which something may be left that no barrier has seen.
InForce ==
    {e \in Epoch :
        /\ e = 1 \/ \E o \in Operation : setting[o] >= e
        /\ ~\E b \in Barriers : e < b /\ Compatible(Settings[e], Settings[b])}

Init ==
    /\ held = [r \in Replica |-> 0]
    /\ epoch = [r \in Replica |-> 1]
    /\ incarnation = [r \in Replica |-> 1]
    /\ knows = [r \in Replica |-> [q \in Replica |-> 1]]
    /\ recovering = [r \in Replica |-> 0]
    /\ heard = [r \in Replica |-> {}]
    /\ lost = 0
    /\ phase = [o \in Operation |-> "idle"]
    /\ setting = [o \in Operation |-> 0]
    /\ version = [o \in Operation |-> 0]
    /\ answered = [o \in Operation |-> {}]
    /\ best = [o \in Operation |-> 0]
    /\ holder = [o \in Operation |-> Nobody]
    /\ told = [o \in Operation |-> Nobody]
    /\ durable = {}
    /\ author = [v \in Version |-> 0]
    /\ returned = {}
    /\ after = [o \in Operation |-> {}]

-------------------------------------------------------------------------------
(* The steps of a coordinator.                                                *)

\* A retry goes on with the version that was reserved, and asks nobody.
\* @type: Int => Bool;
Begin(o) ==
    /\ phase[o] = "idle"
    /\ IF Of(o) = o THEN Operations[o].of = 0 \/ Operations[o].of \in returned
       ELSE version[Operations[o].of] # 0
    /\ \E e \in Epoch :
        /\ MayUse(e, Barriers)
        /\ setting' = [setting EXCEPT ![o] = e]
    /\ LET resumes == Kind(o) = "retry" /\ ~RetryTakesNewVersion IN
        /\ phase' = [phase EXCEPT ![o] = IF resumes THEN "sending" ELSE "asking"]
        /\ version' = [version EXCEPT ![o] = IF resumes THEN version[Of(o)] ELSE 0]
    /\ after' = [after EXCEPT ![o] = IF Of(o) = o THEN returned ELSE {}]
    /\ UNCHANGED <<replicas, answered, best, holder, told, durable, author, returned>>

\* A coordinator hears a replica that serves its request, and what that knows of incarnations.
\* @type: (Int, Int) => Bool;
Hears(o, r) ==
    /\ AcceptsEpoch(epoch[r], setting[o])
    /\ epoch' = [epoch EXCEPT ![r] = Max(epoch[r], setting[o])]
    /\ told' = [told EXCEPT ![o] = Newest(told[o], knows[r])]

\* @type: (Int, Int) => Bool;
Answer(o, r) ==
    /\ phase[o] = "asking"
    /\ r \notin answered[o]
    /\ HasVote(recovering[r] # 0)
    /\ Hears(o, r)
    /\ answered' = [answered EXCEPT ![o] = answered[o] \union {r}]
    /\ best' = [best EXCEPT ![o] = Max(best[o], held[r])]
    /\ holder' =
        IF Writes(o) \/ held[r] < best[o] THEN holder
        ELSE IF held[r] = best[o] THEN [holder EXCEPT ![o][r] = incarnation[r]]
        ELSE [holder EXCEPT ![o] = [Nobody EXCEPT ![r] = incarnation[r]]]
    /\ UNCHANGED <<held, incarnation, knows, recovering, heard, lost,
                   phase, setting, version, durable, author, returned, after>>

\* A write takes its version: any that its clock, however skewed, may make above what it must be.
\* @type: Int => Bool;
Stamp(o) ==
    /\ phase[o] = "asking"
    /\ Writes(o)
    /\ ~LooksFirst(SettingOf(o)) \/ EnoughAnswers(SettingOf(o), Cardinality(answered[o]))
    /\ \E v \in Version :
        /\ v > StampAbove(best[o], Token(o))
        /\ author[v] = 0
        /\ author' = [author EXCEPT ![v] = Of(o)]
        /\ version' = [version EXCEPT ![o] = v]
    /\ phase' = [phase EXCEPT ![o] = "sending"]
    /\ answered' = [answered EXCEPT ![o] = {}]
    /\ best' = [best EXCEPT ![o] = 0]
    /\ UNCHANGED <<replicas, setting, holder, told, durable, returned, after>>

\* A read and a look-up take the highest version and write it back.
\* A look-up that finds less than it looks for learns nothing.
\* @type: Int => Bool;
Choose(o) ==
    /\ phase[o] = "asking"
    /\ ~Writes(o)
    /\ EnoughAnswers(SettingOf(o), Cardinality(answered[o]))
    /\ FreshEnough(best[o], Token(o))
    /\ LET learns == Kind(o) = "read" \/ best[o] >= version[Of(o)] IN
        /\ phase' = [phase EXCEPT ![o] = IF learns THEN "sending" ELSE "done"]
        /\ holder' = [holder EXCEPT ![o] = IF learns THEN holder[o] ELSE Nobody]
        /\ told' = [told EXCEPT ![o] = IF learns THEN told[o] ELSE Nobody]
        /\ answered' = [answered EXCEPT ![o] = IF learns THEN answered[o] ELSE {}]
    /\ version' = [version EXCEPT ![o] = best[o]]
    /\ best' = [best EXCEPT ![o] = 0]
    /\ UNCHANGED <<replicas, setting, durable, author, returned, after>>

\* @type: Int => Bool;
RecordIntent(o) ==
    /\ phase[o] = "sending"
    /\ Writes(o)
    /\ o \notin durable
    /\ durable' = durable \union {o}
    /\ UNCHANGED <<replicas, phase, setting, version, answered, best, holder, told, author,
                   returned, after>>

\* A replica gets what an operation sends, and says that it holds that or a newer version.
\* @type: (Int, Int) => Bool;
Acknowledge(o, r) ==
    /\ phase[o] = "sending"
    /\ r \notin Holders(o)
    /\ ~StampsAgain \/ ~Writes(o) \/ held[r] <= version[o]
    /\ Hears(o, r)
    /\ held' = [held EXCEPT ![r] = IF Supersedes(version[o], held[r]) THEN version[o] ELSE held[r]]
    /\ holder' = [holder EXCEPT ![o][r] = incarnation[r]]
    /\ UNCHANGED <<incarnation, knows, recovering, heard, lost,
                   phase, setting, version, answered, best, durable, author, returned, after>>

\* Only a variant refuses what is stale.
\* @type: (Int, Int) => Bool;
RefuseStale(o, r) ==
    /\ StampsAgain
    /\ phase[o] = "sending"
    /\ Writes(o)
    /\ held[r] > version[o]
    /\ Hears(o, r)
    /\ phase' = [phase EXCEPT ![o] = "asking"]
    /\ best' = [best EXCEPT ![o] = held[r]]
    /\ holder' = [holder EXCEPT ![o] = Nobody]
    /\ UNCHANGED <<held, incarnation, knows, recovering, heard, lost,
                   setting, version, answered, durable, author, returned, after>>

\* What is kept of the holders of a write that is done: who need not be named in its intent.
\* @type: Int => Bool;
Reply(o) ==
    /\ phase[o] = "sending"
    /\ IF Writes(o)
       THEN WriteMayReply(SettingOf(o), Cardinality(Holders(o)), o \in durable)
       ELSE ReadMayReply(SettingOf(o), answered[o], Holders(o))
    /\ phase' = [phase EXCEPT ![o] = "done"]
    /\ holder' = [holder EXCEPT ![o] =
        IF Writes(o) THEN [r \in Replica |-> IF r \in Holders(o) THEN 1 ELSE 0] ELSE Nobody]
    /\ told' = [told EXCEPT ![o] = Nobody]
    /\ answered' = [answered EXCEPT ![o] = {}]
    /\ returned' = returned \union {Of(o)}
    /\ UNCHANGED <<replicas, setting, version, best, durable, author, after>>

\* A coordinator gives up, and says what it knows; one that crashes says nothing.
\* @type: Int => Bool;
GiveUp(o) ==
    /\ phase[o] \in {"asking", "sending"}
    /\ Kind(o) = "write"
    /\ phase' = [phase EXCEPT ![o] = "failed"]
    /\ answered' = [answered EXCEPT ![o] = {}]
    /\ best' = [best EXCEPT ![o] = 0]
    /\ holder' = [holder EXCEPT ![o] = Nobody]
    /\ told' = [told EXCEPT ![o] = Nobody]
    /\ UNCHANGED <<replicas, setting, version, durable, author, returned, after>>

-------------------------------------------------------------------------------
(* The steps of a replica.                                                    *)

\* A write arrives: from its coordinator, from an intent, or written back by a read; nobody
\* takes note that it did. For writes that are noted, see Acknowledge.
\* @type: Int => Bool;
Store(r) ==
    \E v \in Version :
        /\ author[v] # 0
        /\ Supersedes(v, held[r])
        /\ held' = [held EXCEPT ![r] = v]
        /\ UNCHANGED <<epoch, incarnation, knows, recovering, heard, lost, operations>>

\* Only a variant takes back.
\* @type: Int => Bool;
Undo(r) ==
    /\ RollsBack
    /\ held[r] # 0
    /\ \E o \in Operation : phase[o] = "failed" /\ version[o] = held[r]
    /\ held' = [held EXCEPT ![r] = 0]
    /\ UNCHANGED <<epoch, incarnation, knows, recovering, heard, lost, operations>>

\* The catalog tells it the settings in force, and everybody's incarnation.
\* @type: Int => Bool;
LoseDisk(r) ==
    /\ lost < Losses
    /\ lost' = lost + 1
    /\ held' = [held EXCEPT ![r] = 0]
    /\ incarnation' = [incarnation EXCEPT ![r] = incarnation[r] + 1]
    /\ knows' = [knows EXCEPT ![r] = [incarnation EXCEPT ![r] = incarnation[r] + 1]]
    /\ \E e \in InForce :
        /\ \A d \in InForce : d <= e
        /\ epoch' = [epoch EXCEPT ![r] = e]
    /\ \E e \in InForce :
        /\ RecoversAs(e, InForce)
        /\ recovering' = [recovering EXCEPT ![r] = e]
    /\ heard' = [heard EXCEPT ![r] = {}]
    /\ UNCHANGED operations

\* A replica without a vote learns of an epoch from a query that it does not answer.
\* @type: (Int, Int) => Bool;
HearEpoch(o, r) ==
    /\ phase[o] = "asking"
    /\ ~HasVote(recovering[r] # 0)
    /\ setting[o] > epoch[r]
    /\ epoch' = [epoch EXCEPT ![r] = setting[o]]
    /\ UNCHANGED <<held, incarnation, knows, recovering, heard, lost, operations>>

\* A replica that recovers gets what another holds; the other remembers its incarnation. Both
\* know the higher epoch afterwards.
\* @type: (Int, Int) => Bool;
Exchange(r, q) ==
    /\ recovering[r] # 0
    /\ q # r /\ q \notin heard[r]
    /\ HasVote(recovering[q] # 0)
    /\ knows' = [knows EXCEPT ![q] = Newest(knows[q], knows[r])]
    /\ held' = [held EXCEPT ![r] = IF Supersedes(held[q], held[r]) THEN held[q] ELSE held[r]]
    /\ epoch' = [epoch EXCEPT ![r] = Max(epoch[r], epoch[q]), ![q] = Max(epoch[r], epoch[q])]
    /\ LET done == HasRecovered(Settings[recovering[r]], Cardinality(heard[r]) + 1) IN
        /\ recovering' = [recovering EXCEPT ![r] = IF done THEN 0 ELSE recovering[r]]
        /\ heard' = [heard EXCEPT ![r] = IF done THEN {} ELSE heard[r] \union {q}]
    /\ UNCHANGED <<incarnation, lost, operations>>

Next ==
    \/ \E o \in Operation :
        \/ Begin(o) \/ Stamp(o) \/ Choose(o) \/ RecordIntent(o) \/ Reply(o) \/ GiveUp(o)
        \/ \E r \in Replica :
            Answer(o, r) \/ HearEpoch(o, r) \/ Acknowledge(o, r) \/ RefuseStale(o, r)
    \/ \E r \in Replica :
        \/ Store(r) \/ Undo(r) \/ LoseDisk(r)
        \/ \E q \in Replica : Exchange(r, q)

Spec == Init /\ [][Next]_vars

-------------------------------------------------------------------------------
(* The promises.                                                              *)

ConfigurationIsSound ==
    \A e \in Epoch :
        /\ Settings[e].linearizable => AlwaysMeet(Settings[e], Settings[e])
        /\ Settings[e].w \in 1..N /\ Settings[e].r \in 1..N

\* A client was told that the write was not applied and never will be.
\* @type: Int => Bool;
NotApplied(o) ==
    /\ Kind(o) = "write" /\ phase[o] = "failed"
    /\ SaysNotApplied(version[o] # 0)
    /\ o \notin returned

\* What clients saw up to now.
History ==
    {[op |-> o, write |-> Kind(o) = "write",
      value |-> IF Kind(o) = "read" /\ version[o] # 0 THEN author[version[o]] ELSE 0,
      returned |-> o \in returned, after |-> after[o]] :
        o \in {p \in Operation :
            \/ Kind(p) = "write" /\ phase[p] # "idle" /\ ~NotApplied(p)
            \/ Kind(p) = "read" /\ p \in returned}}

\* Clients see one register: also those whose write was retried or looked up.
Linearizable == LinearizableByWrites(History)

\* A client reads what it wrote and read, or newer, and writes above it: whatever W and R are.
SessionKeeps ==
    \A o \in Operation :
        LET last == Operations[o].of IN
        Of(o) = o /\ last # 0 =>
            IF Kind(o) = "write" THEN version[o] = 0 \/ version[o] > version[last]
            ELSE phase[o] # "done" \/ version[o] >= version[last]

\* What was said never to be applied is nowhere.
OutcomesAreHonest ==
    \A o \in Operation, r \in Replica : NotApplied(o) /\ held[r] # 0 => author[held[r]] # o

\* Whoever does not hold a committed write is named in its durable intent, or still recovers.
IntentCovers ==
    \A o \in Operation, r \in Replica :
        Writes(o) /\ phase[o] = "done" =>
            \/ held[r] >= version[o]
            \/ recovering[r] # 0
            \/ o \in durable /\ holder[o][r] = 0

===============================================================================
