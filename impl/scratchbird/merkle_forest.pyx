# cython: freethreading_compatible=True
"""The forest in production form: what a replica shows of its rows, so that two can find out what they do not share.

:class:`WindowTree` is the tree of one window, :class:`ForestCore` the forest of a replica whose rows are kept
elsewhere, :class:`Snapshot` what it showed at one moment. None of it reads, writes or waits for anything. An entry is
a record of 48 bytes: place, version and digest, 16 bytes each; :func:`entry_of` and :func:`entries_of` make them. The
rules themselves are in ``merkle_forest.pxd``; ``spec/merkle_forest.md`` states them.

All may be used from many threads at once. Digests are SHA-256, of libcrypto.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_SIZE
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from cpython.pythread cimport (
    NOWAIT_LOCK, WAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_release_lock,
)
from libc.string cimport memcpy, memmove, memset

from scratchbird.quorum cimport bytes_of, check_is, check_number, number_of, read_version
from scratchbird.uuid8 cimport MAX_MS_C, store_word, whole

from concurrent.futures import ThreadPoolExecutor
from weakref import ref

from scratchbird.errors import BugError, CallerError, TooManyWaitingError
from scratchbird.timestamp import shown

cdef enum:
    MOST_WAITING = 0x40000000

cdef int64_t MAX_NUMBER = 0x7FFFFFFFFFFFFFFF
cdef Version NEVER
NEVER.high = NEVER.low = 0

PLACE_BYTES = PLACE
RECORD_BYTES = RECORD
DIGEST_BYTES = DIGEST


# --- settings and nodes -------------------------------------------------------------------------------------


@cython.final
@cython.no_gc
cdef class Shape(Value):
    """What two forests must have in common to be compared (rule MERKLE_FOREST.R7).

    :param number: of this setting; each change gets a higher one.
    :param window_ms: the length of a window, in ms.
    :param most_in_leaf: entries of a subtree that is still one leaf.
    :param encoding: the version of the encoding of rows.
    :raises ConfigurationError: if a value is no whole number of at least 1 (0 for ``number``).
    """

    __match_args__ = ("number", "window_ms", "most_in_leaf", "encoding")

    def __init__(self, number=0, window_ms=3_600_000, most_in_leaf=8, encoding=1):
        self.number = check_number("number", number, 0, MAX_NUMBER)
        self.window_ms = check_number("window_ms", window_ms, 1, MAX_NUMBER)
        self.most_in_leaf = check_number("most_in_leaf", most_in_leaf, 1, MAX_NUMBER)
        self.encoding = check_number("encoding", encoding, 1, MAX_NUMBER)

    @property
    def identity(self):
        """What goes into each digest of a window, so that no two settings have one in common: 32 bytes."""
        return b"".join([
            number.to_bytes(8, "big")
            for number in (<object> self.number, self.window_ms, self.most_in_leaf, self.encoding)
        ])

    def window_of(self, version):
        """The window of a version (rule MERKLE_FOREST.R3).

        :raises CallerError: if it is no version.
        """
        cdef Version at
        read_version(version, "version", 0, &at)
        return window_of(self, at)


@cython.final
@cython.no_gc
cdef class Leaf(Value):
    """A subtree of few entries: they are told themselves.

    :param records: packed, in the order of their places.
    """

    __match_args__ = ("records",)

    def __init__(self, bytes records not None=b""):
        self.records = records


@cython.final
@cython.no_gc
cdef class Inner(Value):
    """A subtree of many: the digests of its children.

    :param children: 16 digests, nothing for one that is empty.
    """

    __match_args__ = ("children",)

    def __init__(self, tuple children not None):
        self.children = children


cdef Leaf leaf_with(bytes records):
    cdef Leaf made = Leaf.__new__(Leaf)
    made.records = records
    return made


cdef Inner inner_with(tuple children):
    cdef Inner made = Inner.__new__(Inner)
    made.children = children
    return made


include "merkle_forest_hash.pxi"
include "merkle_forest_base.pxi"
include "merkle_forest_layers.pxi"
include "merkle_forest_checks.pxi"
include "merkle_forest_tree.pxi"
include "merkle_forest_purge.pxi"
include "merkle_forest_waiting.pxi"
include "merkle_forest_snapshot.pxi"
include "merkle_forest_core.pxi"
include "merkle_forest_grouping.pxi"


# --- records ------------------------------------------------------------------------------------------------


def version_of(bytes record not None):
    """The version of an entry, a 128-bit number.

    :raises CallerError: if it is no record.
    """
    return number_of(version_at(record_of(record)))


def is_tombstone(bytes record not None):
    """Whether the version of an entry is a delete.

    :raises CallerError: if it is no record.
    """
    return bool(deletes(record_of(record)))


# --- several threads ----------------------------------------------------------------------------------------


def _hash_all(ForestCore core not None, list left not None, list done not None):
    """Hash windows until none is left; several threads may share the lists."""
    while True:
        try:
            window = left.pop()
        except IndexError:
            return
        if core.rehash_window(window):
            done.append(window)
