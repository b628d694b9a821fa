----------------------------- MODULE MC_merkle_forest_apart -----------------------------
(***************************************************************************)
(* Exchanges whose messages are under way. In merkle_forest.tla an         *)
(* exchange begins in one step, and a row is dealt with in one.  Here the  *)
(* two sides show what they show at two moments, as each comes to it; a    *)
(* row is sent as it was held when the message left, and that may arrive   *)
(* late, twice or never, also after the exchange has failed or one of the  *)
(* two has crashed.  What was sent before a floor was closed is taken by   *)
(* nobody (R16).                                                           *)
(***************************************************************************)
EXTENDS MC_merkle_forest

VARIABLES
    \* @type: Int -> { by: Int, entries: Int -> Int, told: Int -> Set(<<Int, Int>>), at: Int, past: Bool };
    offered,      \* by who drives: what another one showed that answered
    \* @type: Int -> Int;
    through,      \* by who drives: the stable time of its exchange
    \* To whom, the row, the entry, as what it was held (0 if it was not sent), and whether it has arrived.
    \* @type: Set(<<Int, Int, Int, Int, Bool>>);
    given

NoOffer == [by |-> 0, entries |-> [row \in Row |-> 0], told |-> [w \in Window |-> {}], at |-> 0, past |-> FALSE]

ApartInit ==
    /\ Init
    /\ offered = [r \in Replica |-> NoOffer]
    /\ through = [r \in Replica |-> 0]
    /\ given = {}

\* Four rows in three windows, written, deleted and written again around a floor: for runs at random.
\* @type: Int -> Int;
FourRows == [v \in 1..12 \ {7} |-> 1 + (v % 4)]
\* @type: Int -> Int;
ThreeWindows == [v \in 1..12 |-> IF v <= 4 THEN 1 ELSE IF v <= 8 THEN 2 ELSE 3]
\* @type: Int -> Int;
ThreeSeals == [w \in 1..3 |-> 4 * w + 2]

\* @type: (Int, Int) => Bool;
Offer(r, q) ==
    /\ r # q /\ \A w \in Window : MayTell(w \in dirty[q])
    /\ offered' = [offered EXCEPT ![r] =
          [by |-> q, entries |-> entry[q], told |-> shown[q], at |-> stable[q], past |-> q \in settled]]
    /\ UNCHANGED <<vars, through, given>>

\* @type: Int => Bool;
BeginOffered(r) ==
    LET o == offered[r] IN
    /\ o.by # 0 /\ (with[r] = 0 \/ r \in succeeded) /\ begun < Exchanges
    /\ stable[r] >= o.at
    /\ (r \in settled) = o.past
    /\ \A w \in Window : MayTell(w \in dirty[r])
    /\ with' = [with EXCEPT ![r] = o.by]
    /\ windows' = [windows EXCEPT ![r] =
                      {w \in Window : /\ shown[r][w] # o.told[w]
                                      /\ Compares(IsSealed(stable[r], w), shown[r][w] # {})}]
    /\ rows' = [rows EXCEPT ![r] = {}]
    /\ snapshot' = [snapshot EXCEPT ![r] =
          [x \in Replica |-> IF x = r THEN entry[r] ELSE IF x = o.by THEN o.entries ELSE NoSnapshot[x]]]
    /\ succeeded' = succeeded \ {r}
    /\ begun' = Counted(begun)
    /\ offered' = [offered EXCEPT ![r] = NoOffer]
    /\ through' = [through EXCEPT ![r] = o.at]
    /\ UNCHANGED <<written, forest, stable, floor, shown, crashed, given>>

\* Whether the newer entry is the driver's.
\* @type: (Int, Int) => Bool;
IsOurs(r, row) == Seen(r, r)[row] > Seen(r, with[r])[row]

\* What was sent arrives.
\* @type: (Int, Int, Int, Int) => Bool;
Takes(b, row, e, h) ==
    LET met == Met(b, row, e, h) IN
    IF held[b][row] = 0 /\ Effective(b, row) >= e THEN UNCHANGED forest
    ELSE Put(b, [held[b] EXCEPT ![row] = met[1]], [entry[b] EXCEPT ![row] = met[2]])

\* The driver's side takes a row as the other one held it when it answered; or nothing, because it needs it not.
\* @type: (Int, Int) => Bool;
MeetTold(r, row) ==
    /\ row \in rows[r] /\ ~IsOurs(r, row) /\ TakesPart(TRUE)
    /\ LET e == Seen(r, with[r])[row] IN
        \E h \in Version \union {0} :
            /\ IF h = 0 THEN Effective(r, row) >= e
               ELSE RowOf[h] = row /\ e <= h /\ h <= held[with[r]][row]
            /\ Takes(r, row, e, h)
    /\ rows' = [rows EXCEPT ![r] = rows[r] \ {row}]
    /\ UNCHANGED <<written, stable, floor, shown, with, windows, snapshot, succeeded, begun, crashed>>
    /\ UNCHANGED <<offered, through, given>>

\* @type: (Int, Int) => Bool;
GiveRow(r, row) ==
    /\ row \in rows[r] /\ IsOurs(r, row)
    /\ LET q == with[r]
           e == Seen(r, r)[row] IN
        \E h \in {0, held[r][row]} :
            /\ h = 0 => Effective(q, row) >= e
            /\ h # 0 => h >= e
            /\ given' = given \union {<<q, row, e, h, FALSE>>}
    /\ UNCHANGED <<vars, offered, through>>

\* @type: <<Int, Int, Int, Int, Bool>> => Bool;
TakeGiven(g) ==
    /\ TakesPart(FALSE)
    /\ Takes(g[1], g[2], g[3], g[4])
    /\ given' = given \union {<<g[1], g[2], g[3], g[4], TRUE>>}
    /\ UNCHANGED <<written, stable, floor, shown, exchange, crashed, offered, through>>

\* The driver is told that it was taken.
\* @type: (Int, Int) => Bool;
Dealt(r, row) ==
    /\ row \in rows[r] /\ IsOurs(r, row)
    /\ \E g \in given : g[5] /\ g[1] = with[r] /\ g[2] = row /\ g[3] = Seen(r, r)[row]
    /\ rows' = [rows EXCEPT ![r] = rows[r] \ {row}]
    /\ UNCHANGED <<written, forest, stable, floor, shown, with, windows, snapshot, succeeded, begun, crashed>>
    /\ UNCHANGED <<offered, through, given>>

\* All that is not an exchange's beginning, or a row of one.
Others ==
    \/ Close
    \/ \E v \in Version : Write(v)
    \/ \E r \in Replica :
        \/ Converge(r) \/ Settle(r) \/ Succeed(r) \/ Fail(r) \/ Crash(r)
        \/ \E v \in Version : Arrive(r, v)
        \/ \E s \in Times : Advance(r, s)
        \/ \E w \in Window : Rehash(r, w) \/ Compare(r, w)
        \/ \E row \in Row : Purge(r, row)

ApartNext ==
    \/ /\ Others
       /\ offered' = IF closed' = closed THEN offered ELSE [r \in Replica |-> NoOffer]
       /\ given' = IF closed' = closed THEN given ELSE {}
       /\ UNCHANGED through
    \/ \E r \in Replica :
        \/ BeginOffered(r)
        \/ \E q \in Replica : Offer(r, q)
        \/ \E row \in Row : MeetTold(r, row) \/ GiveRow(r, row) \/ Dealt(r, row)
    \/ \E g \in given : TakeGiven(g)

\* R17, of an exchange whose sides may show more than its stable time by when it begins.
ThroughApart ==
    \A r \in succeeded, row \in Row :
        \A x \in {r, with[r]}, y \in {r, with[r]} :
            LET e == snapshot[r][x][row] IN
            /\ Effective(y, row) >= e
            /\ e > through[r] \/ entry[y][row] >= e \/ (settled # {} /\ e <= Floor)
===============================================================================
