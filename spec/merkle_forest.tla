----------------------------- MODULE merkle_forest -----------------------------
(***************************************************************************)
(* The forests of the replicas of a shard, and how they exchange, while    *)
(* versions arrive late and in any order, rows are overwritten and         *)
(* deleted, stable times rise at their own pace, the past is purged up to  *)
(* a floor, and replicas crash in the middle.                              *)
(*                                                                         *)
(* A window's digest is what is in it: no two contents have one digest.    *)
(* That is what the shape of the trees gives (R4, R5), and the descent     *)
(* within a window is the business of the proofs. Writes are versions that *)
(* are under way for as long as they like; who acknowledged them is the    *)
(* business of quorum.tla. All replicas close the floor in one step here,  *)
(* and each converges in one: handoff.tla takes these steps apart.         *)
(***************************************************************************)
EXTENDS Integers, FiniteSets

CONSTANTS
    \* @type: Set(Int);
    Replica,
    \* @type: Int -> Int;
    RowOf,        \* by version; its domain are the versions that are written
    \* @type: Set(Int);
    Tombstones,   \* the versions that delete
    \* @type: Int -> Int;
    WindowOf,     \* by version
    \* @type: Int -> Int;
    SealedAt,     \* by window: the stable time from which on it is sealed
    \* @type: Set(Int);
    Times,        \* what stable times there are; 0 is one
    \* @type: Int;
    Floor,        \* no version
    \* @type: Int;
    Crashes,
    \* @type: Int;
    Exchanges     \* how many may begin; none has to end

VARIABLES
    \* @type: Set(Int);
    written,      \* versions that were sent; each may arrive at any time
    \* @type: Int -> (Int -> Int);
    held,         \* by replica and row: the version, 0 if it is absent
    \* @type: Int -> (Int -> Int);
    entry,        \* by replica and row: what the forest shows, 0 if nothing
    \* @type: Int -> Int;
    stable,
    \* @type: Bool;
    closed,       \* all replicas, at the floor
    \* @type: Set(Int);
    converged,
    \* @type: Set(Int);
    settled,
    \* The digests that are durable, and the windows for which that is not certain.
    \* @type: Int -> (Int -> Set(<<Int, Int>>));
    shown,
    \* @type: Int -> Set(Int);
    dirty,
    \* The exchange of each replica that drives one.
    \* @type: Int -> Int;
    with,         \* the other side, 0 if there is none
    \* @type: Int -> Set(Int);
    windows,      \* that differed, and were not compared row by row yet
    \* @type: Int -> Set(Int);
    rows,         \* that differed, and were not dealt with yet
    \* @type: Int -> (Int -> (Int -> Int));
    snapshot,     \* by side and row: the entries when it began
    \* @type: Set(Int);
    succeeded,    \* whose exchange has, and was not followed by another
    \* @type: Int;
    crashed,
    \* @type: Int;
    begun

forest == <<held, entry, dirty>>
floor == <<closed, converged, settled>>
exchange == <<with, windows, rows, snapshot, succeeded, begun>>
vars == <<written, held, entry, stable, closed, converged, settled, shown, dirty, with, windows, rows, snapshot,
          succeeded, crashed, begun>>

Version == DOMAIN RowOf
Row == {RowOf[v] : v \in Version}
Window == {WindowOf[v] : v \in Version}

-------------------------------------------------------------------------------
(* The rules.  A variant replaces one of these operators and nothing else.    *)

\* What the forest shows of a row, after its entry was this and the replica holds that. Whether a
\* tombstone is purged is said of what is held.
\* @type: (Int, Int, Int, Bool) => Int;
Shows(before, now, s, isPurged) == IF now > s THEN before ELSE IF isPurged THEN 0 ELSE now

\* Whether an entry is taken out by a replica that settles: it deletes, or the row is held newer.
\* @type: (Bool, Bool) => Bool;
TakenOut(deletes, isOvertaken) == deletes \/ isOvertaken

\* Whether a replica may settle.
\* @type: (Bool, Bool) => Bool;
MaySettle(itself, everybody) == itself /\ everybody

\* Whether a window's content changes when it is, or is not, sealed.
\* @type: Bool => Bool;
MayAmend(isSealed) == TRUE

\* Whether a row is taken for a window that is, or is not, sealed.
\* @type: Bool => Bool;
TakesRow(isSealed) == TRUE

\* Whether the digest of a window may be told that is, or is not, dirty.
\* @type: Bool => Bool;
MayTell(isDirty) == ~isDirty

\* Whether that a window is dirty survives a crash.
DirtIsDurable == TRUE

\* Whether a window is compared that is, or is not, sealed, and that the driver's side has or has not.
\* @type: (Bool, Bool) => Bool;
Compares(isSealed, hasIt) == TRUE

\* Whether the side that drives an exchange, or the other one, takes rows.
\* @type: Bool => Bool;
TakesPart(drives) == TRUE

\* Whether a replica that holds a newer version takes over an entry, which is below its floor or not.
\* @type: Bool => Bool;
TakesOver(isBelow) == ~isBelow

\* How many exchanges have begun, after this many and one more.
\* @type: Int => Int;
Counted(n) == n + 1

\* Whether an exchange has succeeded with, or without, differences that are left.
\* @type: Bool => Bool;
Succeeds(someAreLeft) == ~someAreLeft

-------------------------------------------------------------------------------

\* @type: (Int, Int) => Int;
Effective(r, row) == IF held[r][row] # 0 THEN held[r][row] ELSE IF r \in settled THEN Floor ELSE 0

\* @type: (Int, Int) => Bool;
IsSealed(s, w) == s >= SealedAt[w]

\* @type: (Int -> Int, Int) => Set(<<Int, Int>>);
Content(entries, w) ==
    {<<row, entries[row]>> : row \in {p \in Row : entries[p] # 0 /\ WindowOf[entries[p]] = w}}

\* @type: (Int, Int) => Bool;
IsPurged(r, v) == r \in settled /\ v \in Tombstones /\ v <= Floor

\* The windows that change between two states of a replica's entries, as far as they may.
\* @type: (Int, Int -> Int, Int -> Int) => Set(Int);
Changed(s, before, after) ==
    {w \in Window : Content(before, w) # Content(after, w) /\ MayAmend(IsSealed(s, w))}

\* Put what a replica now holds and shows in one durable step, its windows dirty.
\* @type: (Int, Int -> Int, Int -> Int) => Bool;
Put(r, nowHeld, nowShown) ==
    /\ held' = [held EXCEPT ![r] = nowHeld]
    /\ entry' = [entry EXCEPT ![r] = nowShown]
    /\ dirty' = [dirty EXCEPT ![r] = dirty[r] \union Changed(stable[r], entry[r], nowShown)]

NoSnapshot == [x \in Replica |-> [row \in Row |-> 0]]

\* The exchanges that these replicas drive are gone.
\* @type: Set(Int) => Bool;
Drop(those) ==
    /\ with' = [r \in Replica |-> IF r \in those THEN 0 ELSE with[r]]
    /\ windows' = [r \in Replica |-> IF r \in those THEN {} ELSE windows[r]]
    /\ rows' = [r \in Replica |-> IF r \in those THEN {} ELSE rows[r]]
    /\ snapshot' = [r \in Replica |-> IF r \in those THEN NoSnapshot ELSE snapshot[r]]
    /\ succeeded' = succeeded \ those

\* What a side's entries are taken to be in an exchange: as they were, or as they are.
\* @type: (Int -> Int, Int -> Int) => (Int -> Int);
Compared(then, now) == then

Init ==
    /\ written = {}
    /\ held = [r \in Replica |-> [row \in Row |-> 0]]
    /\ entry = [r \in Replica |-> [row \in Row |-> 0]]
    /\ stable = [r \in Replica |-> 0]
    /\ closed = FALSE
    /\ converged = {}
    /\ settled = {}
    /\ shown = [r \in Replica |-> [w \in Window |-> {}]]
    /\ dirty = [r \in Replica |-> {}]
    /\ with = [r \in Replica |-> 0]
    /\ windows = [r \in Replica |-> {}]
    /\ rows = [r \in Replica |-> {}]
    /\ snapshot = [r \in Replica |-> NoSnapshot]
    /\ succeeded = {}
    /\ crashed = 0
    /\ begun = 0

-------------------------------------------------------------------------------
(* Rows.                                                                      *)

\* @type: Int => Bool;
Write(v) ==
    /\ v \notin written
    /\ closed => v > Floor
    /\ written' = written \union {v}
    /\ UNCHANGED <<forest, stable, floor, shown, exchange, crashed>>

\* @type: (Int, Int) => Bool;
Arrive(r, v) ==
    /\ v \in written
    /\ v > Effective(r, RowOf[v])
    /\ closed => v > Floor
    /\ TakesRow(IsSealed(stable[r], WindowOf[v]))
    /\ Put(r, [held[r] EXCEPT ![RowOf[v]] = v],
              [entry[r] EXCEPT ![RowOf[v]] = Shows(entry[r][RowOf[v]], v, stable[r], FALSE)])
    /\ UNCHANGED <<written, stable, floor, shown, exchange, crashed>>

\* @type: (Int, Int) => Bool;
Advance(r, s) ==
    /\ s > stable[r]
    /\ stable' = [stable EXCEPT ![r] = s]
    /\ Put(r, held[r],
              [row \in Row |-> Shows(entry[r][row], held[r][row], s, IsPurged(r, held[r][row]))])
    /\ UNCHANGED <<written, floor, shown, exchange, crashed>>

\* @type: (Int, Int) => Bool;
Rehash(r, w) ==
    /\ w \in dirty[r]
    /\ shown' = [shown EXCEPT ![r] = [shown[r] EXCEPT ![w] = Content(entry[r], w)]]
    /\ dirty' = [dirty EXCEPT ![r] = dirty[r] \ {w}]
    /\ UNCHANGED <<written, held, entry, stable, floor, exchange, crashed>>

-------------------------------------------------------------------------------
(* The floor.                                                                 *)

\* An exchange that is under way does not succeed any more (R16).
Close ==
    /\ ~closed
    /\ closed' = TRUE
    /\ Drop(Replica \ succeeded)
    /\ UNCHANGED <<written, forest, stable, converged, settled, shown, begun, crashed>>

\* @type: (Int, Int) => Int;
Newer(one, other) == IF one > other THEN one ELSE other

\* The newest that any replica holds: also of those above the floor, which may stand where one below stood.
\* One other is merged first, and what it holds may be shown where the newest is not yet. With more than
\* three replicas there is more than one order of the others.
\* @type: Int => Bool;
Converge(r) ==
    /\ closed /\ r \notin converged
    /\ \E whose \in [Row -> Replica], first \in Replica \ {r} :
        LET newest == [row \in Row |-> held[whose[row]][row]]
            middle == [row \in Row |-> Shows(entry[r][row], Newer(held[r][row], held[first][row]), stable[r], FALSE)]
            last == [row \in Row |-> Shows(middle[row], newest[row], stable[r], FALSE)] IN
        /\ \A row \in Row, q \in Replica : held[q][row] <= newest[row]
        /\ held' = [held EXCEPT ![r] = newest]
        /\ entry' = [entry EXCEPT ![r] = last]
        /\ dirty' = [dirty EXCEPT ![r] =
              dirty[r] \union Changed(stable[r], entry[r], middle) \union Changed(stable[r], middle, last)]
    /\ converged' = converged \union {r}
    /\ UNCHANGED <<written, stable, closed, settled, shown, exchange, crashed>>

\* @type: Int => Bool;
Settle(r) ==
    /\ r \notin settled
    /\ MaySettle(r \in converged, converged = Replica)
    /\ settled' = settled \union {r}
    /\ Put(r, held[r],
              [row \in Row |->
                 LET e == entry[r][row] IN
                 IF e # 0 /\ e <= Floor /\ TakenOut(e \in Tombstones, held[r][row] > e) THEN 0 ELSE e])
    /\ UNCHANGED <<written, stable, closed, converged, shown, exchange, crashed>>

\* @type: (Int, Int) => Bool;
Purge(r, row) ==
    /\ held[r][row] # 0 /\ IsPurged(r, held[r][row])
    /\ held' = [held EXCEPT ![r] = [held[r] EXCEPT ![row] = 0]]
    /\ UNCHANGED <<written, entry, dirty, stable, floor, shown, exchange, crashed>>

-------------------------------------------------------------------------------
(* Exchange.                                                                  *)

\* @type: (Int, Int) => Bool;
Begin(r, q) ==
    /\ r # q /\ (with[r] = 0 \/ r \in succeeded) /\ begun < Exchanges
    /\ stable[r] = stable[q]
    /\ (r \in settled) = (q \in settled)
    /\ \A w \in Window : MayTell(w \in dirty[r]) /\ MayTell(w \in dirty[q])
    /\ with' = [with EXCEPT ![r] = q]
    /\ windows' = [windows EXCEPT ![r] =
                      {w \in Window : /\ shown[r][w] # shown[q][w]
                                      /\ Compares(IsSealed(stable[r], w), shown[r][w] # {})}]
    /\ rows' = [rows EXCEPT ![r] = {}]
    /\ snapshot' = [snapshot EXCEPT ![r] =
                       [x \in Replica |-> IF x \in {r, q} THEN entry[x] ELSE NoSnapshot[x]]]
    /\ succeeded' = succeeded \ {r}
    /\ begun' = Counted(begun)
    /\ UNCHANGED <<written, forest, stable, floor, shown, crashed>>

\* @type: (Int, Int) => (Int -> Int);
Seen(r, x) == Compared(snapshot[r][x], entry[x])

\* Row by row, as the two sides were when the exchange began.
\* @type: (Int, Int) => Bool;
Compare(r, w) ==
    /\ w \in windows[r]
    /\ LET q == with[r] IN
        rows' = [rows EXCEPT ![r] =
            rows[r] \union {row \in Row :
                /\ Seen(r, r)[row] # Seen(r, q)[row]
                /\ \E x \in {r, q} : Seen(r, x)[row] # 0 /\ WindowOf[Seen(r, x)[row]] = w}]
    /\ windows' = [windows EXCEPT ![r] = windows[r] \ {w}]
    /\ UNCHANGED <<written, forest, stable, floor, shown, with, snapshot, succeeded, begun, crashed>>

\* What a replica holds and shows of a row after it met an entry e of one that holds h. It may hold e itself
\* by then, from elsewhere; if h is newer, it takes that.
\* @type: (Int, Int, Int, Int) => <<Int, Int>>;
Met(b, row, e, h) ==
    LET takes == Effective(b, row) <= e /\ e <= h /\ TakesRow(IsSealed(stable[b], WindowOf[h]))
        nowHeld == IF takes THEN h ELSE held[b][row]
        shows == Shows(entry[b][row], nowHeld, stable[b], IsPurged(b, nowHeld))
        refreshed == nowHeld > stable[b] /\ e > shows /\ e <= stable[b] /\ TakesOver(b \in settled /\ e <= Floor) IN
    <<nowHeld, IF refreshed THEN e ELSE IF takes THEN shows ELSE entry[b][row]>>

\* The row as one side has it newer. The other one takes it, or takes over the entry; or it is deleted
\* there below the floor, and nothing is to be done.
\* @type: (Int, Int, Int, Int) => Bool;
Give(r, row, a, b) ==
    LET e == Seen(r, a)[row]
        met == Met(b, row, e, held[a][row])
        isDeleted == held[b][row] = 0 /\ Effective(b, row) >= e IN
    IF isDeleted \/ ~TakesPart(b = r) THEN UNCHANGED forest
    ELSE Put(b, [held[b] EXCEPT ![row] = met[1]], [entry[b] EXCEPT ![row] = met[2]])

\* @type: (Int, Int) => Bool;
Meet(r, row) ==
    /\ row \in rows[r]
    /\ LET q == with[r] IN
        IF Seen(r, r)[row] > Seen(r, q)[row] THEN Give(r, row, r, q) ELSE Give(r, row, q, r)
    /\ rows' = [rows EXCEPT ![r] = rows[r] \ {row}]
    /\ UNCHANGED <<written, stable, floor, shown, with, windows, snapshot, succeeded, begun, crashed>>

\* @type: Int => Bool;
Succeed(r) ==
    /\ with[r] # 0 /\ r \notin succeeded
    /\ Succeeds(windows[r] # {} \/ rows[r] # {})
    /\ succeeded' = succeeded \union {r}
    /\ UNCHANGED <<written, forest, stable, floor, shown, with, windows, rows, snapshot, begun, crashed>>

\* @type: Int => Bool;
Fail(r) ==
    /\ with[r] # 0
    /\ Drop({r})
    /\ UNCHANGED <<written, forest, stable, floor, shown, begun, crashed>>

\* What is durable is there again. Its own exchange is gone; one that another drives ends in time.
\* @type: Int => Bool;
Crash(r) ==
    /\ crashed < Crashes
    /\ crashed' = crashed + 1
    /\ Drop({r})
    /\ dirty' = [dirty EXCEPT ![r] = IF DirtIsDurable THEN dirty[r] ELSE {}]
    /\ UNCHANGED <<written, held, entry, stable, floor, shown, begun>>

Next ==
    \/ Close
    \/ \E v \in Version : Write(v)
    \/ \E r \in Replica :
        \/ Converge(r) \/ Settle(r) \/ Succeed(r) \/ Fail(r) \/ Crash(r)
        \/ \E v \in Version : Arrive(r, v)
        \/ \E s \in Times : Advance(r, s)
        \/ \E w \in Window : Rehash(r, w) \/ Compare(r, w)
        \/ \E row \in Row : Purge(r, row) \/ Meet(r, row)
        \/ \E q \in Replica : Begin(r, q)

Spec == Init /\ [][Next]_vars

-------------------------------------------------------------------------------
(* The promises.                                                              *)

ConfigurationIsSound ==
    /\ Floor > 0 /\ Floor \notin Version /\ 0 \in Times
    /\ \A v \in Version : v > 0 /\ RowOf[v] > 0 /\ WindowOf[v] > 0
    /\ \A w \in Window : w \in DOMAIN SealedAt

\* R1: an entry is no newer than the stable time and what is held; what is held up to the stable time is
\* the entry, but for tombstones that are purged.
Entries ==
    \A r \in Replica, row \in Row :
        LET e == entry[r][row]
            h == held[r][row] IN
        /\ e <= stable[r]
        /\ e <= Effective(r, row)
        /\ h # 0 /\ h <= stable[r] => e = IF IsPurged(r, h) THEN 0 ELSE h

\* R10: what is told of a window is what is in it.
ToldIsTrue ==
    \A r \in Replica : \A w \in Window : MayTell(w \in dirty[r]) => shown[r][w] = Content(entry[r], w)

\* R17: an exchange that succeeded has brought what either side showed to the other one, as it was or
\* newer; and neither shows less of it.
Through ==
    \A r \in succeeded, row \in Row :
        \A x \in {r, with[r]}, y \in {r, with[r]} :
            LET e == snapshot[r][x][row] IN
            /\ Effective(y, row) >= e
            /\ entry[y][row] >= e \/ (settled # {} /\ e <= Floor)

\* Two replicas that tell the same hold the same, up to their stable time.
SameIsSame ==
    \A r \in Replica, q \in Replica :
        /\ stable[r] = stable[q] /\ (r \in settled) = (q \in settled)
        /\ \A w \in Window : MayTell(w \in dirty[r]) /\ MayTell(w \in dirty[q]) /\ shown[r][w] = shown[q][w]
        => \A row \in Row : held[r][row] <= stable[r] => Effective(q, row) >= held[r][row]

\* What is deleted below the floor does not come back by an exchange.
SettledAgree ==
    \A r \in settled, q \in settled, row \in Row :
        LET past(p) == IF held[p][row] \in Tombstones THEN 0 ELSE held[p][row] IN
        held[r][row] < Floor /\ held[q][row] < Floor => past(r) = past(q)

\* R8: what settled replicas show below the floor is what those hold that hold nothing newer.
ShownPastAgrees ==
    \A r \in settled, q \in settled, row \in Row :
        entry[r][row] # 0 /\ entry[r][row] < Floor /\ held[q][row] < Floor => held[q][row] = entry[r][row]
===============================================================================
