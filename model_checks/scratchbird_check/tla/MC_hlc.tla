-------------------------------- MODULE MC_hlc --------------------------------
(***************************************************************************)
(* Instances of hlc.tla for TLC and Apalache, and the rules that are known *)
(* to be wrong: a configuration MC_hlc__NAME.cfg puts one of them in the   *)
(* place of the right one and names the promise that must break.           *)
(***************************************************************************)
EXTENDS hlc

\* @type: Set(Str);
OneNode == {"n1"}
\* @type: Set(Str);
TwoNodes == {"n1", "n2"}
\* @type: Set(Str);
ThreeNodes == {"n1", "n2", "n3"}

\* What a wall clock may be off by: 0 and 1 are healthy, the others are a step back and a jump.
\* @type: Set(Int);
NoOffsets == {0}
\* @type: Set(Int);
HealthyOffsets == {0, 1}
\* @type: Set(Int);
SickOffsets == {-2, 0, 4}
\* Fast by less than the remote bound.
\* @type: Set(Int);
FastOffsets == {0, 2}
\* @type: Set(Int);
MixedOffsets == {-2, 0, 1, 4}

\* @type: (Int, Int, Int, Int, Int, Int) =>
\*   { shifts: Int, crashes: Int, ticks: Int, sends: Int, early: Int, confirms: Int };
Budget(shifts, crashes, ticks, sends, early, confirms) ==
    [shifts |-> shifts, crashes |-> crashes, ticks |-> ticks, sends |-> sends,
     early |-> early, confirms |-> confirms]

FullLimits == Budget(1, 1, 2, 2, 0, 0)
QuickLimits == Budget(1, 1, 2, 1, 1, 1)
TiePairLimits == Budget(1, 1, 1, 1, 0, 0)
TieOneLimits == Budget(1, 1, 3, 0, 1, 1)
SimulateLimits == Budget(4, 3, 12, 6, 4, 2)
\* What each wrong rule needs in order to go wrong.
TicksAlone == Budget(0, 0, 3, 0, 0, 0)
ClockSteps == Budget(2, 0, 3, 0, 0, 0)
OneMessage == Budget(0, 0, 4, 1, 0, 0)
TwoHops == Budget(0, 0, 2, 2, 0, 0)
SickSender == Budget(1, 0, 1, 1, 0, 0)
Burst == Budget(1, 0, 6, 1, 0, 0)
CrashAndStep == Budget(1, 1, 2, 0, 0, 0)
MergeAndCrash == Budget(1, 1, 2, 1, 0, 0)
SetBack == Budget(2, 0, 1, 1, 0, 0)
CrashLoop == Budget(0, 5, 0, 0, 6, 0)
RestartAndSend == Budget(1, 1, 2, 1, 1, 0)

\* Every node runs, has a bound, and all but two counters of the millisecond are used up:
\* where behaviours at random begin, so that they do not spend their steps on getting there.
RunningInit ==
    /\ now = 0
    /\ off = [n \in Node |-> 0]
    /\ messages = {}
    /\ budget = Limits
    /\ bound = [n \in Node |-> Reservation(Base)]
    /\ up = [n \in Node |-> TRUE]
    /\ last = [n \in Node |-> Base * C + C - 3]
    /\ anchor = [n \in Node |-> 0]
    /\ promised = [n \in Node |-> 0]
    /\ suspended = [n \in Node |-> FALSE]
    /\ own = [n \in Node |-> 0]
    /\ past = [n \in Node |-> 0]
    /\ before = [n \in Node |-> 0]
    /\ sick = {}
    /\ broken = {}

-------------------------------------------------------------------------------
(* Wrong rules.                                                               *)

\* HLC-2 with the counter wrapping in place.
\* @type: Int => Int;
NoCarrySuccessor(t) == IF t % C < C - 1 THEN t + 1 ELSE Ms(t) * C

\* HLC-2 as published: a full counter sleeps 1 ms, then takes the wall clock and counter 0.
\* @type: (Int, Int) => Int;
StallAndResetCandidate(l, wall) ==
    IF l % C = C - 1 /\ Ms(l) >= wall THEN (wall + 1) * C ELSE Max(Successor(l), wall * C)

\* @type: (Int, Int) => Int;
MergeIgnoresCounter(l, remote) == IF Ms(remote) > Ms(l) THEN remote ELSE l

\* @type: (Int, Int) => Int;
MergeResetsCounter(l, remote) == Max(l, Ms(remote) * C)

\* @type: (Int, Int) => Bool;
NeverTooFar(t, clock) == FALSE

\* @type: (Int, Int) => Bool;
AlwaysCovers(b, t) == TRUE

\* @type: Str => Int;
BelievesWall(n) == Wall(n)

\* @type: (Int, Int) => Bool;
EarlyByBelief(remote, present) == Ms(remote) > present + MaxAhead

\* @type: Str => Int;
PresentByBelief(n) == Believed(n)

\* A hop that forwards what it received under the clock of its own last id.
\* @type: (Int, Int) => Int;
BlindHopCarried(l, lastIssued) == lastIssued

-------------------------------------------------------------------------------
(* Interesting states. Each must be reached: its negation is checked as an    *)
(* invariant, and the run is as expected when that is violated.               *)

\* A counter was full and carried: with no clock shifted and no message sent, nothing else
\* puts an id past the wall clock.
NeverCarried ==
    \A n \in Node :
        up[n] /\ budget.shifts = Limits.shifts /\ messages = {} => Ms(own[n]) <= Wall(n)
\* A wall clock was set back so far that ticks are refused.
NeverSetBack == \A n \in Node : up[n] => ~TooFarAhead(last[n], Wall(n)) \/ own[n] = 0
\* A node saw its own wall clock jump.
NeverSuspended == \A n \in Node : ~suspended[n]
\* A node restarted and went on above what it had issued before.
NeverRestarted == \A n \in Node : before[n] = 0 \/ own[n] <= before[n]
\* A healthy node merged the clock of a sick one.
NeverMergedFromSick ==
    \A n \in Node \ sick, m \in messages :
        ~(up[n] /\ m.from \in sick /\ m.at > 0 /\ last[n] = m.at /\ own[n] < m.at)
\* A clock went through a proxy: three nodes hold one id in their past.
NeverForwarded ==
    \A m \in messages : m.past = own[m.from] \/ \A n \in Node : n = m.from \/ past[n] # m.past \/ own[n] = m.past
===============================================================================
