# What two replicas say to each other in an exchange, how it becomes bytes, and the two machines that say it.
# ``spec/merkle_forest.md`` states the rules; the classes are in merkle_forest_exchange.pyx and the .pxi files that it
# includes.
#
# On the wire a message is
#
#     format (1 byte, 1)   kind (1 byte)   number of the exchange (16)   body, which ends where the message does
#
#     kind 1   OPEN         setting: four numbers   stable time (16)   floor (16)
#          2   OPENED       stable time (16)   floor (16)
#          3   REFUSED      reason, UTF-8
#          4   ASK_WINDOWS  number of the last window that was told, and 1
#          5   WINDOWS      is that all? (1)   windows in order: number (8) and digest (32) each
#          6   ASK_NODES    in full? (1)   places
#          7   NODES        how many   nodes   rows held in a newer version, in order: place (16) and version (16) each
#          8   ASK_ROWS     places of rows (16 each)
#          9   ROWS         rows
#         10   GIVE         what is given
#         11   TOOK         places of rows (16 each)
#
# A number without a width is below 2^63 and written in groups of seven bits, the lowest first, in as few bytes as can
# be; of each byte but the last the highest bit is set. Versions and words are in network byte order.
#
#     place   window, as its distance d from the one before (0 before the first): 2d, or -1 - 2d if it is below 0
#             how many digits (1)   the digits, two to a byte, the first one higher; 0 fills the last byte
#     node    place   what it is: 0 inner, 1 inner in full, 2 + n leaf of n entries
#             inner: which children there are (2; the first child is the highest bit)   6 or 32 bytes for each
#             leaf of at least one: which bytes all versions have in common (2; the first byte is the highest bit)   those
#                 in order, each entry: place without the bytes that the digits fill, version without those, digest (16)
#     row     place (16)   version (16)   value: 0 none, 1 + its length   length of the key   key   value
#     given   entry (48)   row: 0 none, 1 deleted, 2 + length of its value   and if there is one:
#             version (16)   length of the key   key   value
#
# One message has one such form, so that bytes that are read and written again are the same. Whoever reads allocates
# for what is there, never for what a length promises.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from scratchbird.merkle_forest cimport ForestCore, Inner, Leaf, Shape, Snapshot, WindowTree
from scratchbird.quorum cimport Held, Value, Version

cdef enum:
    FORMAT = 1
    HEAD = 18               # bytes of format, kind and exchange
    SHORT = 6               # bytes of a short digest (rule MERKLE_FOREST.R19)
    WINDOW = 40             # bytes of a window's number and digest
    NEWER = 32              # bytes of a row's place and version
    KEY = 25                # bytes of a node's place among those to be asked for


cdef enum MessageKind:
    OPEN = 1
    OPENED
    REFUSED
    ASK_WINDOWS
    WINDOWS
    ASK_NODES
    NODES
    ASK_ROWS
    ROWS
    GIVE
    TOOK


cdef enum NodeKind:
    INNER                   # digests of children as short as they are told
    IN_FULL
    LEAF                    # and how many entries are in it


# --- bytes --------------------------------------------------------------------------------------------------


cdef struct Reader:
    const unsigned char *at
    const unsigned char *end
    const unsigned char *start


cdef class Writer:
    cdef unsigned char *room
    cdef Py_ssize_t used
    cdef Py_ssize_t size

    cdef unsigned char *more(self, Py_ssize_t count) except NULL
    cdef int byte(self, int value) except -1
    cdef int raw(self, const void *source, Py_ssize_t count) except -1
    cdef int number(self, uint64_t value) except -1
    cdef int version(self, Version version) except -1
    cdef bytes done(self)


cdef struct Spot:
    # Of a node: its window and the digits below which it is, two to a byte, 0 behind the last.
    int64_t window
    uint8_t depth
    uint8_t digits[16]


# --- messages -----------------------------------------------------------------------------------------------
# What has many items of one size, or many nodes, holds them packed, as they are on the wire.


cdef class Message(Value):
    cdef readonly object exchange

    cdef int body(self, Writer writer) except -1


cdef class Row(Value):
    cdef readonly bytes place
    cdef readonly bytes key
    cdef readonly Held held


cdef class Open(Message):
    cdef readonly Shape shape
    cdef Version stable_at
    cdef Version floor_at


cdef class Opened(Message):
    cdef Version stable_at
    cdef Version floor_at


cdef class Refused(Message):
    cdef readonly str reason


cdef class AskWindows(Message):
    cdef readonly int64_t after


cdef class Windows(Message):
    cdef readonly bytes packed
    cdef readonly bint last


cdef class AskNodes(Message):
    cdef readonly bytes packed
    cdef readonly bint in_full


cdef class Nodes(Message):
    cdef readonly bytes packed
    cdef readonly bytes newer
    cdef readonly Py_ssize_t count


cdef class AskRows(Message):
    cdef readonly bytes packed


cdef class Rows(Message):
    cdef readonly tuple rows


cdef class Give(Message):
    cdef readonly tuple given       # (record, Row or None) pairs


cdef class Took(Message):
    cdef readonly bytes packed


# --- events and effects -------------------------------------------------------------------------------------


cdef class Bounds(Value):
    cdef readonly int64_t items
    cdef readonly int64_t size


cdef class Begin(Value):
    cdef readonly object exchange
    cdef readonly int32_t other


cdef class Deliver(Value):
    cdef readonly Message reply


cdef class Again(Value):
    pass


cdef class Stop(Value):
    pass


cdef class Amended(Value):
    cdef readonly tuple windows


cdef class Hashed(Value):
    cdef readonly tuple digests


cdef class Ask(Value):
    cdef readonly int32_t other
    cdef readonly Message question


cdef class Tell(Value):
    cdef readonly Message reply


cdef class Succeeded(Value):
    cdef readonly object exchange
    cdef readonly int32_t other
    cdef Version stable_at
    cdef Version floor_at
    cdef readonly int64_t moved


cdef class Failed(Value):
    cdef readonly object exchange
    cdef readonly int32_t other
    cdef readonly str reason


# --- the machines -------------------------------------------------------------------------------------------


cdef class Side:
    # What both machines stand beside.
    cdef readonly ForestCore forest
    cdef readonly object rows
    cdef readonly Bounds bounds
    cdef bint is_busy               # a step is under way: ``rows`` is asked within it
    cdef list untold                # effects of steps that failed

    cdef int enter(self) except -1
    cdef Version closed(self) except *
    cdef bytes versions(self, bytes places)
    cdef list held(self, bytes places)
    cdef Version effective(self, const unsigned char *version) noexcept
    cdef Snapshot show(self, Version stable, list out)
    cdef bint is_still_shown(self, WindowTree tree, const unsigned char *record) except -1
    cdef int meet(self, list entries, list out) except -1
    cdef bint meet_waiting(self, const unsigned char *record, set windows) except -1


cdef class Answering:
    cdef Snapshot snapshot
    cdef Version closed_at          # the floor that was closed when it began


cdef class ExchangeAnswerer(Side):
    cdef readonly Py_ssize_t most_exchanges
    cdef dict exchanges             # Answering by number, the newest last

    cdef Message answer(self, object question, list out)
    cdef Message open(self, Open question, list out)
    cdef Windows windows(self, Snapshot snapshot, AskWindows question)
    cdef Nodes nodes(self, Snapshot snapshot, AskNodes question)
    cdef int add_changed(self, WindowTree tree, bytes records, list changed) except -1
    cdef bytes newer(self, list records)
    cdef Rows rows_as_held(self, AskRows question)
    cdef Took give(self, Give question, list out)


cdef class Driving:
    cdef object exchange
    cdef int32_t other
    cdef Snapshot snapshot
    cdef Version closed_at          # the floor that was closed when it began
    cdef Version stable_at
    cdef Version floor_at
    cdef bint is_open
    cdef bint windows_done
    cdef int64_t after              # the last window that was told
    cdef list theirs                # windows and digests, packed, as far as they were told
    cdef dict told                  # by window that differs: their digest, nothing if they have none
    cdef dict nodes                 # keys of nodes to be asked for, in their order
    cdef dict in_full               # the same, to be asked for once more: short digests were the same of what differs
    cdef dict left                  # how many of both there are, by window
    cdef dict heard                 # by window that is not confirmed, by key: a leaf's digest, or ours below the node
    cdef set again                  # windows that are, or were, asked for in full
    cdef list damaged               # windows whose digest is not that of what the other side shows
    cdef dict shown                 # by place: theirs that differ from ours
    cdef dict wanted                # by place: of theirs, whose rows are to be asked for
    cdef dict giving                # by place: of ours, to be given
    cdef set sent                   # places of those that the other side is known to hold as new: the entry is given
    cdef int64_t moved              # rows, in either direction


cdef class Heard:
    cdef list done                  # keys of nodes
    cdef list below                 # (key, whether in full) of nodes that differ
    cdef list told                  # (window, key, what is kept in ``Driving.heard``)
    cdef dict shown                 # by place, as in ``Driving``
    cdef list newer                 # theirs that ours are not newer than
    cdef dict giving
    cdef set sent
    cdef dict held                  # by place: the newer version that the other side holds, 16 bytes


cdef class ExchangeDriver(Side):
    cdef Driving driving

    cdef int take(self, object event, list out) except -1
    cdef int ask(self, list out) except -1
    cdef Message question(self)
    cdef Give give(self)
    cdef int fail(self, str reason, list out) except -1
    cdef int deliver(self, Message reply, list out) except -1
    cdef int opened(self, Opened reply, list out) except -1
    cdef int windows(self, Windows reply, list out) except -1
    cdef int nodes(self, Nodes reply, list out) except -1
    cdef int inner(
        self, Heard heard, WindowTree tree, Spot *spot, bytes key, const unsigned char **children, bint is_full
    ) except -1
    cdef int leaf(self, Heard heard, WindowTree tree, Spot *spot, bytes key, bytes records) except -1
    cdef int differ(self, Heard heard, const unsigned char *ours, const unsigned char *theirs) except -1
    cdef int look(self, Heard heard, list out) except -1
    cdef int add_node(self, dict queue, bytes key) except -1
    cdef int confirm(self, int64_t window) except -1
    cdef int choose(self) except -1
    cdef int rows_came(self, Rows reply, list out) except -1
    cdef int took(self, Took reply, list out) except -1
