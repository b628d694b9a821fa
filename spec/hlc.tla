--------------------------------- MODULE hlc ---------------------------------
(***************************************************************************)
(* The hybrid logical clock of spec/hlc.md on every node of a cluster,     *)
(* under all faults at once: wall clocks drift, jump and are set back;     *)
(* messages are lost, doubled and reordered; nodes crash and start again.  *)
(*                                                                         *)
(* The module has four sections: the rules (one operator each, named as in *)
(* the reference), the world, the steps, and the promises.  Promises are   *)
(* stated on what can be seen from outside, kept in the ghost variables    *)
(* own, past, before, sick and broken; no rule reads a ghost.              *)
(*                                                                         *)
(* A timestamp is the whole number  millisecond * C + counter.             *)
(***************************************************************************)
EXTENDS Integers

CONSTANTS
    \* @type: Set(Str);
    Node,
    \* @type: Int;
    C,            \* counters in a millisecond: 4096 in production, few here
    \* @type: Int;
    MaxDrift,     \* a message whose clock lies further past ours is refused
    \* @type: Int;
    MaxAhead,     \* the farthest an issued timestamp may lie past our wall clock
    \* @type: Int;
    MaxSkew,      \* how far the wall clocks of healthy nodes differ at most
    \* @type: Int;
    ReserveMs,    \* how far ahead the durable bound is reserved
    \* @type: Int;
    Base,         \* the wall clock of an unshifted node at time 0
    \* @type: Int;
    Horizon,      \* time passes up to here
    \* @type: Set(Int);
    Offsets,      \* what a wall clock can be off by
    \* @type: { shifts: Int, crashes: Int, ticks: Int, sends: Int, early: Int, confirms: Int };
    Limits        \* how often each may happen: what keeps an instance finite

VARIABLES
    \* The world.
    \* @type: Int;
    now,          \* true time, and every monotonic clock
    \* @type: Str -> Int;
    off,          \* wall clock less Base + now
    \* @type: Set({ from: Str, at: Int, past: Int });
    messages,     \* every message ever sent: one that is never delivered is lost,
                  \* one delivered twice is doubled, and any order is possible
    \* @type: { shifts: Int, crashes: Int, ticks: Int, sends: Int, early: Int, confirms: Int };
    budget,       \* how often each may still happen
    \* The nodes: the durable half ...
    \* @type: Str -> Int;
    bound,        \* no timestamp above it was ever issued or merged
    \* ... and the volatile half.
    \* @type: Str -> Bool;
    up,
    \* @type: Str -> Int;
    last,         \* the greatest timestamp issued or merged
    \* @type: Str -> Int;
    anchor,       \* off when the wall clock was last trusted
    \* @type: Str -> Int;
    promised,     \* the bound that is being written, 0 if none is
    \* @type: Str -> Bool;
    suspended,    \* a forward jump was seen and is not confirmed
    \* Ghosts.
    \* @type: Str -> Int;
    own,          \* the id that the node issued last
    \* @type: Str -> Int;
    past,         \* the greatest id that happened before the node's present
    \* @type: Str -> Int;
    before,       \* past, when the node last started
    \* @type: Set(Str);
    sick,         \* nodes whose wall clock has been wrong by more than MaxSkew
    \* @type: Set(Str);
    broken        \* names of the promises that were broken

world == <<now, off, messages, budget>>
node == <<bound, up, last, anchor, promised, suspended>>
ghost == <<own, past, before, sick, broken>>
vars == <<now, off, messages, budget, bound, up, last, anchor, promised, suspended,
          own, past, before, sick, broken>>

ConfigurationIsSound ==                                        \* HLC.R8
    /\ C > 0 /\ MaxDrift > 0 /\ MaxAhead > 0 /\ MaxSkew > 0 /\ ReserveMs > 0
    /\ MaxAhead + MaxSkew <= MaxDrift

-------------------------------------------------------------------------------
(* The rules.  A variant replaces one of these operators and nothing else.    *)

\* @type: (Int, Int) => Int;
Max(a, b) == IF a >= b THEN a ELSE b

\* @type: Int => Int;
Ms(t) == t \div C

\* HLC.R2: a full counter carries.
\* @type: Int => Int;
Successor(t) == IF t % C < C - 1 THEN t + 1 ELSE (Ms(t) + 1) * C

\* HLC.R3
\* @type: (Int, Int) => Int;
Candidate(l, wall) == Max(Successor(l), wall * C)

\* HLC.R5
\* @type: (Int, Int) => Int;
Merge(l, remote) == Max(l, remote)

\* HLC.R4
\* @type: (Int, Int) => Bool;
TooFarAhead(t, wall) == Ms(t) > wall + MaxAhead

\* HLC.R6
\* @type: (Int, Int) => Bool;
TooFarRemote(remote, believed) == Ms(remote) > believed + MaxDrift

\* HLC.R6: it may be merged, but not yet. A millisecond is left for the next tick.
\* @type: (Int, Int) => Bool;
TooEarly(remote, present) == Ms(remote) >= present + MaxAhead

\* HLC.R7
\* @type: (Int, Int) => Bool;
TooFarToCarry(l, believed) == Ms(l) > believed + MaxAhead

\* HLC.R13
\* @type: (Int, Int) => Bool;
TooFarToReserve(t, wall) == TooFarAhead(t, wall)

\* HLC.R12
\* @type: (Int, Int) => Bool;
CoversIssue(b, t) == t <= b

\* HLC.R12
\* @type: (Int, Int) => Bool;
CoversMerge(b, t) == t <= b

\* HLC.R13
\* @type: Int => Int;
Reservation(ms) == (ms + ReserveMs) * C

\* HLC.R14
\* @type: Int => Int;
FirstLast(b) == b

\* HLC.R7: what a hop that forwards a message does with its clock.
\* @type: (Int, Int) => Int;
Carried(l, lastIssued) == l

-------------------------------------------------------------------------------
(* What a node reads.                                                         *)

\* @type: Str => Int;
Wall(n) == Base + now + off[n]

\* HLC.R10: looked at on every reading.
\* @type: Str => Bool;
Suspends(n) == suspended[n] \/ off[n] - anchor[n] > MaxDrift

\* HLC.R6
\* @type: Str => Int;
Believed(n) ==
    IF Suspends(n) THEN Base + now + anchor[n] ELSE Base + now + Max(off[n], anchor[n])

\* HLC.R6: by which a node judges what is early.
\* @type: Str => Int;
Present(n) ==
    IF Suspends(n) \/ Believed(n) - Wall(n) > MaxSkew THEN Believed(n) ELSE Wall(n)

ReadsClocks(n) ==
    /\ up[n]
    /\ suspended' = [suspended EXCEPT ![n] = Suspends(n)]

-------------------------------------------------------------------------------
(* The world.                                                                 *)

\* Which offsets a healthy wall clock may have: any two of them differ by at most MaxSkew.
\* @type: Int => Bool;
Healthy(o) == 0 <= o /\ o <= MaxSkew

Init ==
    /\ now = 0
    /\ off = [n \in Node |-> 0]
    /\ messages = {}
    /\ budget = Limits
    /\ bound = [n \in Node |-> 0]
    /\ up = [n \in Node |-> FALSE]
    /\ last = [n \in Node |-> 0]
    /\ anchor = [n \in Node |-> 0]
    /\ promised = [n \in Node |-> 0]
    /\ suspended = [n \in Node |-> FALSE]
    /\ own = [n \in Node |-> 0]
    /\ past = [n \in Node |-> 0]
    /\ before = [n \in Node |-> 0]
    /\ sick = {}
    /\ broken = {}

Pass ==
    /\ now < Horizon
    /\ now' = now + 1
    /\ UNCHANGED <<off, messages, budget, node, ghost>>

\* A wall clock drifts, jumps or is set back; the node notices only when it reads.
Shift(n) ==
    /\ budget.shifts > 0
    /\ budget' = [budget EXCEPT !.shifts = budget.shifts - 1]
    /\ \E o \in Offsets :
        /\ o # off[n]
        /\ off' = [off EXCEPT ![n] = o]
        /\ sick' = IF Healthy(o) THEN sick ELSE sick \union {n}
    /\ UNCHANGED <<now, messages, node, own, past, before, broken>>

\* A node that is down keeps its durable half alone.
DropVolatile(n) ==
    /\ up' = [up EXCEPT ![n] = FALSE]
    /\ last' = [last EXCEPT ![n] = 0]
    /\ anchor' = [anchor EXCEPT ![n] = 0]
    /\ promised' = [promised EXCEPT ![n] = 0]
    /\ suspended' = [suspended EXCEPT ![n] = FALSE]

\* A write that is under way when the node crashes may have been done or not.
Crash(n) ==
    /\ up[n]
    /\ budget.crashes > 0
    /\ budget' = [budget EXCEPT !.crashes = budget.crashes - 1]
    /\ DropVolatile(n)
    /\ UNCHANGED <<now, off, messages, bound, ghost>>

-------------------------------------------------------------------------------
(* The steps of a node.                                                       *)

\* HLC.R14
Start(n) ==
    /\ ~up[n]
    /\ up' = [up EXCEPT ![n] = TRUE]
    /\ last' = [last EXCEPT ![n] = FirstLast(bound[n])]
    /\ anchor' = [anchor EXCEPT ![n] = off[n]]
    /\ before' = [before EXCEPT ![n] = past[n]]
    /\ UNCHANGED <<world, bound, promised, suspended, own, past, sick, broken>>

\* HLC.R15: stores the exact timestamp. One write at a time.
Stop(n) ==
    /\ up[n]
    /\ promised[n] = 0
    /\ budget.crashes > 0
    /\ budget' = [budget EXCEPT !.crashes = budget.crashes - 1]
    /\ bound' = [bound EXCEPT ![n] = last[n]]
    /\ DropVolatile(n)
    /\ UNCHANGED <<now, off, messages, ghost>>

Persisted(n) ==
    /\ promised[n] # 0
    /\ bound' = [bound EXCEPT ![n] = promised[n]]
    /\ promised' = [promised EXCEPT ![n] = 0]
    /\ UNCHANGED <<world, up, last, anchor, suspended, ghost>>

\* The event needs a bound that is not durable: ask for one, unless a write is under way.
Defer(n, t) ==
    /\ promised' = IF promised[n] # 0 THEN promised
                   ELSE [promised EXCEPT ![n] = Reservation(Ms(t))]
    /\ UNCHANGED <<world, bound, up, last, anchor, ghost>>

Refuse == UNCHANGED <<world, bound, up, last, anchor, promised, ghost>>

Issue(n, t) ==
    /\ last' = [last EXCEPT ![n] = t]
    /\ own' = [own EXCEPT ![n] = t]
    /\ past' = [past EXCEPT ![n] = Max(past[n], t)]
    /\ broken' = broken \union
        (IF t <= before[n] THEN {"HLC-5"} ELSE
         IF t <= own[n] THEN {"HLC-1"} ELSE
         IF t <= past[n] THEN {"HLC-3"} ELSE {}) \union
        (IF Ms(t) > Wall(n) + MaxAhead THEN {"HLC-4 own"} ELSE {})
    /\ budget' = [budget EXCEPT !.ticks = budget.ticks - 1]
    /\ UNCHANGED <<now, off, messages, bound, up, anchor, promised, before, sick>>

Tick(n) ==
    /\ ReadsClocks(n)
    /\ budget.ticks > 0
    /\ LET t == Candidate(last[n], Wall(n)) IN
        IF Suspends(n) \/ TooFarAhead(t, Wall(n)) THEN Refuse
        ELSE IF ~CoversIssue(bound[n], t) THEN Defer(n, t)
        ELSE Issue(n, t)

\* HLC.R13: ask for a new bound early.
Reserve(n) ==
    /\ ReadsClocks(n)
    /\ budget.early > 0
    /\ LET t == Candidate(last[n], Wall(n)) IN
        IF \/ Suspends(n)
           \/ TooFarToReserve(t, Wall(n))
           \/ promised[n] # 0
           \/ Reservation(Ms(t)) <= bound[n]
        THEN Refuse
        ELSE
            /\ promised' = [promised EXCEPT ![n] = Reservation(Ms(t))]
            /\ budget' = [budget EXCEPT !.early = budget.early - 1]
            /\ UNCHANGED <<now, off, messages, bound, up, last, anchor, ghost>>

\* HLC.R11: only a wall clock that is right is confirmed.
Confirm(n) ==
    /\ up[n]
    /\ budget.confirms > 0
    /\ Healthy(off[n])
    /\ suspended' = [suspended EXCEPT ![n] = FALSE]
    /\ budget' = [budget EXCEPT !.confirms = budget.confirms - 1]
    /\ anchor' = [anchor EXCEPT ![n] = off[n]]
    /\ UNCHANGED <<now, off, messages, bound, up, last, promised, ghost>>

\* HLC.R7: an acknowledgement, a read, a write, a hop of a proxy.
Send(n) ==
    /\ ReadsClocks(n)
    /\ budget.sends > 0
    /\ IF TooFarToCarry(last[n], Believed(n)) THEN Refuse
       ELSE
        /\ budget' = [budget EXCEPT !.sends = budget.sends - 1]
        /\ messages' = messages \union
            {[from |-> n, at |-> Carried(last[n], own[n]), past |-> past[n]]}
        /\ UNCHANGED <<now, off, bound, up, last, anchor, promised, ghost>>

Observe(n) ==
    \E m \in messages :
        /\ m.from # n
        /\ ReadsClocks(n)
        /\ IF TooFarRemote(m.at, Believed(n)) THEN
            /\ broken' = IF m.from \in sick \/ ~Healthy(anchor[n]) THEN broken
                         ELSE broken \union {"HLC-4 healthy"}
            /\ UNCHANGED <<world, bound, up, last, anchor, promised, own, past, before, sick>>
           ELSE IF TooEarly(m.at, Present(n)) THEN Refuse
           ELSE IF ~CoversMerge(bound[n], m.at) THEN
            IF Suspends(n) THEN Refuse ELSE Defer(n, m.at)
           ELSE
            /\ last' = [last EXCEPT ![n] = Merge(last[n], m.at)]
            /\ past' = [past EXCEPT ![n] = Max(past[n], m.past)]
            /\ broken' = broken \union
                (IF Ms(m.at) > Believed(n) + MaxAhead THEN {"HLC-4 remote"} ELSE {}) \union
                (IF /\ n \notin sick
                    /\ m.at > last[n]
                    /\ TooFarAhead(Successor(m.at), Wall(n))
                 THEN {"HLC-4 silenced"} ELSE {})
            /\ UNCHANGED <<world, bound, up, anchor, promised, own, before, sick>>

Next ==
    \/ Pass
    \/ \E n \in Node :
        \/ Shift(n) \/ Start(n) \/ Crash(n) \/ Stop(n) \/ Persisted(n)
        \/ Tick(n) \/ Reserve(n) \/ Confirm(n) \/ Send(n) \/ Observe(n)

Spec == Init /\ [][Next]_vars

-------------------------------------------------------------------------------
(* The promises.                                                              *)

\* Ids made by one node strictly increase, whatever its wall clock does.
HLC1 == "HLC-1" \notin broken
\* An id is above every id that happened before it.
HLC3 == "HLC-3" \notin broken
\* Nothing is issued more than MaxAhead past the wall clock ...
HLC4Own == "HLC-4 own" \notin broken
\* ... nothing is merged more than MaxAhead past the time believed in ...
HLC4Remote == "HLC-4 remote" \notin broken
\* ... nothing that a healthy node merges puts its clock where its next tick is refused ...
HLC4Silenced == "HLC-4 silenced" \notin broken
\* ... and no healthy node is refused, whatever the sick ones do, by a node whose wall
\* clock was right when it was last trusted: also if that was set back since (HLC.R9).
HLC4Healthy == "HLC-4 healthy" \notin broken
\* HLC-1 and HLC-3 hold across a restart, whatever the wall clock did meanwhile.
HLC5 == "HLC-5" \notin broken

Promises == broken = {}

\* HLC.R14: a healthy node's bound, and so its wait after a crash, stays within reach,
\* however often it crashes.
BoundWithinReach ==
    \A n \in Node \ sick :
        /\ Ms(bound[n]) <= Base + now + MaxSkew + MaxAhead + ReserveMs
        /\ Ms(promised[n]) <= Base + now + MaxSkew + MaxAhead + ReserveMs

(* Why they hold: an inductive invariant.                                     *)

\* The clock covers the causal past, and the durable bound covers the clock.
Covered ==
    \A n \in Node :
        /\ own[n] <= past[n]
        /\ before[n] <= past[n]
        /\ past[n] <= bound[n]
        /\ promised[n] # 0 => up[n] /\ bound[n] < promised[n]
        /\ suspended[n] => up[n]
        /\ up[n] => past[n] <= last[n] /\ last[n] <= bound[n]

\* So does the clock that a message carries.
MessagesCovered == \A m \in messages : m.past <= m.at

\* A message of a healthy node carries a clock that healthy nodes accept.
HealthyAccepted ==
    /\ \A n \in Node \ sick :
        /\ Healthy(off[n])
        /\ up[n] => Healthy(anchor[n]) /\ ~suspended[n]
    /\ \A m \in messages :
        m.from \notin sick => Ms(m.at) <= Base + now + MaxSkew + MaxAhead

Inductive ==
    /\ Promises
    /\ Covered
    /\ MessagesCovered
    /\ HealthyAccepted
    /\ BoundWithinReach

===============================================================================
