# The rules of the forest over bytes and machine words, and what they are about: settings, trees of windows, rows
# that wait, the forest of a replica. ``spec/merkle_forest.md`` states the rules; each function names the rule that
# it is, as the reference does. The classes are in merkle_forest.pyx and the .pxi files that it includes.
#
# An entry is a *record* of 48 bytes: the row's place, the version in network byte order, the digest. The lowest bit
# of the digest's last byte says whether the version is a delete. Records are compared by their places alone: a
# tree has one of each place. A number of a window is below 2**48; counts and lengths of time are below 2**63.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from scratchbird.quorum cimport Value, Version, below, same

cdef enum:
    PLACE = 16              # bytes of a place
    RECORD = 48             # bytes of a record
    DIGEST = 32             # bytes of the digest of a node or a window
    FAN_OUT = 16            # children of an inner node
    DIGITS = 32             # of a place: no path is longer
    MESSAGE = 1024          # bytes of a message that are hashed in one piece
    TO_A_NODE = 6           # there are as many nodes of the deepest dense level as rows are there, by this, or fewer
    NONE = -1               # of a window: there is none

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    /* Network byte order. */
    static inline uint64_t sb_load_word(const unsigned char *from) {
        uint64_t word;
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        memcpy(&word, from, 8);
        return __builtin_bswap64(word);
    #else
        word = 0;
        for (int i = 0; i < 8; i++) word = word << 8 | from[i];
        return word;
    #endif
    }

    /* What is needed soon comes into the caches meanwhile; a wrong address does no harm. */
    #if defined(__GNUC__)
    #define SB_PREFETCH(address) __builtin_prefetch(address)
    #define SB_PREFETCH_TO_WRITE(address) __builtin_prefetch((address), 1)
    #else
    #define SB_PREFETCH(address) ((void)(address))
    #define SB_PREFETCH_TO_WRITE(address) ((void)(address))
    #endif
    """
    void prefetch "SB_PREFETCH"(const void *address) noexcept nogil
    void prefetch_to_write "SB_PREFETCH_TO_WRITE"(const void *address) noexcept nogil
    uint64_t load_word "sb_load_word"(const unsigned char *source) noexcept nogil


# --- what everything is about -------------------------------------------------------------------------------


cdef class Shape(Value):
    cdef readonly int64_t number
    cdef readonly int64_t window_ms
    cdef readonly int64_t most_in_leaf
    cdef readonly int64_t encoding


cdef class Leaf(Value):
    cdef readonly bytes records         # packed, in the order of their places


cdef class Inner(Value):
    cdef readonly tuple children        # 16 digests, nothing for one that is empty


cdef inline Version version_at(const unsigned char *record) noexcept nogil:
    """The version of a record."""
    cdef Version version
    version.high = load_word(record + PLACE)
    version.low = load_word(record + PLACE + 8)
    return version


cdef inline bint deletes(const unsigned char *record) noexcept nogil:
    """Whether the version of a record is a delete."""
    return record[RECORD - 1] & 1


cdef inline bint is_newer(const unsigned char *one, const unsigned char *other) noexcept nogil:
    """Whether an entry is of a newer version than another one. Two digests of one version are a fault that must not
    go unnoticed, so that the digest decides then."""
    return memcmp(one + PLACE, other + PLACE, RECORD - PLACE) > 0


cdef inline int digit_at(const unsigned char *place, int level) noexcept nogil:
    """A digit of a place, the first one at level 0."""
    return place[level >> 1] & 0xF if level & 1 else place[level >> 1] >> 4


# --- the rules: digests -------------------------------------------------------------------------------------


cdef struct Hasher:
    void *context           # of libcrypto, reused from one hash to the next
    int64_t done            # hashes
    bint failed             # libcrypto refused: what was written is no digest


# Each of these is hashed with what it is and how many parts follow (rule MERKLE_FOREST.R5).
cdef void hash_place(Hasher *hasher, const unsigned char *key, size_t size, unsigned char *place) noexcept nogil
cdef void hash_entry(
    Hasher *hasher, const unsigned char *key, size_t size, Version version, const unsigned char *value, size_t length,
    unsigned char *record,
) noexcept nogil                                                                        # value: NULL if it deletes
cdef void inner_digest(Hasher *hasher, const unsigned char *children, unsigned char *into) noexcept nogil
cdef bytes window_digest(Shape shape, int64_t window, bytes tree)                       # rule MERKLE_FOREST.R7


# --- the rules: trees ---------------------------------------------------------------------------------------


cdef inline int64_t window_of(Shape shape, Version version) noexcept:
    """The window of a version (rule MERKLE_FOREST.R3)."""
    return <int64_t> (version.high >> 16) // shape.window_ms


cdef inline bint is_leaf(int64_t most_in_leaf, int64_t entries, int depth) noexcept nogil:
    """Whether a subtree of so many entries is one leaf (rule MERKLE_FOREST.R4)."""
    return entries <= most_in_leaf or depth == DIGITS


# --- the rules: entries -------------------------------------------------------------------------------------


cdef inline bint waits(Version version, Version stable) noexcept nogil:
    """Whether a version is not shown yet, and what was shown of its row before stays (rule MERKLE_FOREST.R1)."""
    return below(stable, version)


cdef inline bint is_purged(Version floor, const unsigned char *record) noexcept nogil:
    """Whether an entry is not shown, because what it deletes is gone below the floor (rule MERKLE_FOREST.R8)."""
    return deletes(record) and not below(floor, version_at(record))


cdef inline bint is_taken_out(Version floor, Version version, bint deletes, bint is_held_newer) noexcept nogil:
    """Whether a replica that settles takes out an entry of this version (rule MERKLE_FOREST.R8)."""
    return not below(floor, version) and (deletes or is_held_newer)


cdef inline bint is_sealed(Shape shape, int64_t window, Version stable, int64_t grace_ms) noexcept:
    """Whether a window takes amendments only, from this stable time on (rule MERKLE_FOREST.R9)."""
    cdef int64_t past = <int64_t> (stable.high >> 16) - grace_ms
    return past >= 0 and past // shape.window_ms > window


cdef inline bint takes_over(Version floor, const unsigned char *record) noexcept nogil:
    """Whether who has settled at this floor, and holds a newer version, takes over an entry (rule MERKLE_FOREST.R14).

    Below the floor its past is complete: what another one showed before it settled may have been purged.
    """
    return below(floor, version_at(record))


# --- trees --------------------------------------------------------------------------------------------------


cdef class Base:
    # Records in the order of their places, which nobody changes any more: trees share them.
    cdef const unsigned char *records
    cdef Py_ssize_t rows
    cdef bint is_borrowed
    cdef Py_buffer borrowed


cdef enum Amendment:
    ADDED                   # the layers below have no record of this place
    CHANGED                 # this one instead of theirs
    REMOVED                 # theirs is there no more; of this one only the place counts
    NOTHING                 # of two of one place: together they do nothing


cdef enum:
    BASE                    # the lowest layer
    MIDDLE
    AMENDED
    LAYERS


cdef struct Layer:
    const unsigned char *records    # in the order of their places
    const uint8_t *kinds            # what each does to the layers below; NULL of the base
    size_t rows


cdef struct Range:
    # The records of one subtree, in each layer.
    size_t low[LAYERS]
    size_t high[LAYERS]


cdef struct View:
    # A tree for what is done without the interpreter.
    Layer layers[LAYERS]
    Range everything
    unsigned char *nodes
    const uint64_t *dirty
    int depth
    int64_t most_in_leaf
    Hasher hasher


cdef class Middle:
    # Amendments to a base, which nobody changes any more: trees share them.
    cdef Layer layer
    cdef size_t size                    # bytes


cdef class WindowTree:
    cdef readonly Shape shape
    cdef readonly int64_t window
    cdef readonly int64_t hashes        # done for this tree and for those that it was cloned from
    cdef Py_ssize_t count
    # Its layers.
    cdef Base base
    cdef Middle middle                  # None if it has none
    cdef unsigned char *amended         # records in the order of their places
    cdef uint8_t *kinds                 # what each of them does
    cdef Py_ssize_t amendments
    cdef Py_ssize_t room                # for so many
    # Digests of the subtrees below each prefix of 0 to ``depth`` digits, level after level.
    cdef unsigned char *nodes
    cdef Base borrowed_nodes            # where they are, if they are not this tree's own
    cdef int depth
    cdef uint64_t *dirty                # a bit for each node of the deepest level; NULL if none is dirty
    # Who uses it.
    cdef void *gate                     # held for each step, and while hashing
    cdef uint64_t changes               # how often an entry came, went or changed
    cdef int64_t epoch                  # of the forest, when this tree became its own
    cdef bint is_owned                  # by a forest: nobody else changes it

    cdef int enter(self) except -1
    cdef void leave(self) noexcept
    cdef void look(self, View *view) noexcept
    cdef const unsigned char *find(self, const unsigned char *place) noexcept
    cdef const unsigned char *seek(self, const unsigned char *place, Py_ssize_t *at, bint *is_amended) noexcept
    cdef int check_free(self) except -1
    cdef int make_ready(self) except -1
    cdef int make_hashable(self) except -1
    cdef bint store(self, const unsigned char *record) noexcept
    cdef bint erase(self, const unsigned char *place) noexcept
    cdef void insert(self, Py_ssize_t at, const unsigned char *record, int kind) noexcept
    cdef int push_down(self) except -1
    cdef int merge(self) except -1
    cdef void set_base(self, Base base) noexcept
    cdef int fit(self, bint exactly) except -1
    cdef void set_nodes(self, unsigned char *nodes, uint64_t *dirty, int depth) noexcept
    cdef void touch(self, const unsigned char *place) noexcept nogil
    cdef int rehash(self) except -1
    cdef WindowTree copy(self)
    cdef int take(self, Base base) except -1
    cdef bytes digest_below(self, const uint8_t *path, int level)
    cdef int children_below(self, const uint8_t *path, int level, unsigned char *children) except -1
    cdef int compact_now(self) except -1


cdef WindowTree tree_of(Shape shape, int64_t window)
cdef Py_ssize_t take_out(WindowTree tree, Version floor) except -1
cdef int path_of(prefix, uint8_t *path) except -1       # digits into the path: how many
cdef Range range_below(View *view, const uint8_t *path, int level) noexcept nogil
cdef int64_t entries_in(View *view, Range *range) noexcept nogil
cdef bytes records_in(View *view, Range range)


# --- the forest of a replica --------------------------------------------------------------------------------


cdef struct Waiting:
    # A row that is held in a version that is not shown yet.
    unsigned char newer[RECORD]
    Version older           # of what is shown of it; 0 if nothing is
    uint32_t position       # in the heap


cdef class WaitingTable:
    cdef Waiting *slots
    cdef uint32_t *heap     # slots, by the version that is held: the lowest is first
    cdef uint32_t *index    # open addressing: a slot and 1, or 0
    cdef uint32_t count
    cdef uint32_t room      # slots there are; twice as many places in the index
    cdef uint64_t secret

    cdef Waiting *find(self, const unsigned char *place) noexcept
    cdef Waiting *first(self) noexcept
    cdef int add(self, const unsigned char *newer, Version older) except -1
    cdef void renew(self, Waiting *slot, const unsigned char *newer) noexcept
    cdef void remove(self, Waiting *slot) noexcept
    cdef int grow(self) except -1
    cdef bint comes_first(self, uint32_t one, uint32_t other) noexcept
    cdef void swap(self, uint32_t one, uint32_t other) noexcept
    cdef uint32_t seek(self, const unsigned char *place) noexcept
    cdef void rise(self, uint32_t position) noexcept
    cdef void sink(self, uint32_t position) noexcept


cdef class Snapshot:
    cdef object __weakref__
    cdef readonly Shape shape
    cdef Version stable_at
    cdef Version floor_at
    cdef readonly dict digests          # by window
    cdef dict trees                     # by window
    cdef int64_t epoch
    cdef bytes packed                   # what ``told`` gives, once it was asked for


cdef class ForestCore:
    # Durable.
    cdef readonly Shape shape
    cdef readonly int64_t grace_ms
    cdef Version stable_at
    cdef Version floor_at
    cdef dict trees                     # WindowTree by window
    cdef WaitingTable waiting_rows
    cdef dict digests                   # what was told, by window
    cdef set dirty_windows
    cdef dict amendment_counts          # by sealed window
    # Volatile.
    cdef set fresh                      # dirty windows of which nobody has heard yet
    cdef list snapshots                 # weak references
    cdef int64_t epoch                  # how many there were
    cdef void *gate                     # held for each step, and not while hashing
    # Bounds.
    cdef readonly int64_t max_waiting

    cdef int enter(self) except -1
    cdef void leave(self) noexcept
    cdef WindowTree writable(self, int64_t window)
    cdef bint is_kept(self, int64_t epoch) except -1
    cdef tuple meet(self, const unsigned char *new, Waiting *slot)
    cdef bint find_in(self, const unsigned char *place, Version version, unsigned char *into) except -1
    cdef bint shows(self, const unsigned char *place, Version version) except -1
    cdef int check_new(self, const unsigned char *record, Version older) except -1
    cdef int note(self, int64_t window, set touched) except -1
    cdef int change(
        self, const unsigned char *place, Version older, const unsigned char *record, set touched
    ) except -1
    cdef tuple changed(self, set touched)
    cdef Waiting *waiting_as(self, const unsigned char *place, Version held) except? NULL
    cdef bint rehash_window(self, int64_t window) except -1
    cdef int hash_inside(self, int64_t window) except -1
    cdef int check_restored(self) except -1
    cdef int restore_waiting(self, record, Version older) except -1
