# cython: freethreading_compatible=True
"""Version ids: a hybrid logical clock's timestamp inside a UUIDv8 (rules UUID8.R1 to UUID8.R6).

**Byte order is the order of the clock**: every field that decides the order stands before every field that
decides it less, and the constants that RFC 9562 demands are the same in every id. The layout is in
``uuid8.pxd``. A value is two 64-bit words: comparing two ids compares at most two numbers, and nothing is
allocated for one beyond the object itself, which comes from a free list.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.object cimport Py_EQ, Py_GT, Py_LE, Py_LT, Py_NE

import sys
import uuid

from scratchbird.errors import CallerError
from scratchbird.timestamp import (
    MAX_COUNTER, MAX_MS, MAX_NODE_ID, MAX_RANDOM, Timestamp, shown,
)

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object value, int *overflow) except? -1
    unsigned long long PyLong_AsUnsignedLongLongMask(object value) except? <unsigned long long> -1
    object PyUnicode_New(Py_ssize_t size, int greatest)
    unsigned char *PyUnicode_1BYTE_DATA(object text)
    bint PyUnicode_IS_ASCII(object text)

cdef object StandardUuid = uuid.UUID
cdef bint WIDE_HASH = sys.hash_info.modulus == (1 << 61) - 1

cdef const char *DIGITS = b"0123456789abcdef"


# --- checks that every module uses --------------------------------------------------------------------------


cdef int64_t whole(object value, object name, int64_t least, int64_t most) except? -1:
    """``value`` as a number from ``least`` to ``most``; :class:`CallerError` that names it otherwise."""
    cdef int overflow = 0
    cdef int64_t number
    if not isinstance(value, int) or isinstance(value, bool):
        raise CallerError(f"{name} {shown(value)} is no whole number: pass an int from {least} to {most}")
    number = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow or number < least or number > most:
        raise CallerError(f"{name} {shown(value)} is out of range: it must be from {least} to {most}")
    return number


cdef uint64_t pack(object timestamp) except? 0:
    """A pair (milliseconds, counter) as one word (rule HLC.R1)."""
    if not isinstance(timestamp, tuple) or len(timestamp) != 2:
        raise CallerError(f"{shown(timestamp)} is no timestamp: pass (milliseconds, counter)")
    cdef uint64_t ms = whole(timestamp[0], "milliseconds", 0, MAX_MS_C)
    cdef uint64_t counter = whole(timestamp[1], "counter", 0, 4095)
    return ms << 12 | counter


cdef object unpack(uint64_t packed):
    return Timestamp(packed >> 12, packed & 0xFFF)


# --- the id -------------------------------------------------------------------------------------------------


@cython.final
@cython.freelist(256)
cdef class UuidV8:
    """One version id. Immutable; sorts, hashes and compares like the ``uuid.UUID`` of the same bits.

    :raises CallerError: if a part is out of range.
    """

    def __init__(self, timestamp, node_id, random):
        if self.high:
            raise TypeError("a UuidV8 can not be changed: make a new one")
        cdef uint64_t packed = pack(timestamp)
        cdef uint64_t node = whole(node_id, "node id", 1, 0xFFFF)
        cdef uint64_t bits = whole(random, "random", 0, <int64_t> RANDOM_MASK)
        self.high = high_word(packed)
        self.low = low_word(node, bits)

    # Parts.

    @property
    def ms(self):
        """Milliseconds since the Unix epoch."""
        return self.high >> 16

    @property
    def counter(self):
        """Position within the millisecond, 0 to 4095."""
        return self.high & 0xFFF

    @property
    def timestamp(self):
        """The clock's part, as a pair (milliseconds, counter)."""
        return unpack(packed_of(self.high))

    @property
    def node_id(self):
        """Who issued it, 1 to 65535."""
        return self.low >> 46 & 0xFFFF

    @property
    def random(self):
        """The 46 random bits. They are no secret: see :class:`scratchbird.hlc.Clock`."""
        return self.low & RANDOM_MASK

    # Forms, named as in uuid.UUID.

    @property
    def int(self):
        """The 128 bits as one number."""
        return (<object> self.high << 64) | self.low

    @property
    def bytes(self):
        """The 16 bytes in network order: the form in which ids are stored and compared (rule UUID8.R3)."""
        cdef object out = PyBytes_FromStringAndSize(NULL, 16)
        store_word(<unsigned char *> PyBytes_AS_STRING(out), self.high)
        store_word(<unsigned char *> PyBytes_AS_STRING(out) + 8, self.low)
        return out

    @property
    def hex(self):
        """The 32 hexadecimal digits."""
        cdef object text = PyUnicode_New(32, 127)
        cdef unsigned char *out = PyUnicode_1BYTE_DATA(text)
        _digits(out, self.high, 16)
        _digits(out + 16, self.low, 16)
        return text

    @property
    def urn(self):
        """The text form as a URN."""
        return "urn:uuid:" + str(self)

    @property
    def version(self):
        """Always 8 (RFC 9562 section 5.8)."""
        return 8

    @property
    def variant(self):
        """Always that of RFC 9562, under the standard library's older name for it."""
        return uuid.RFC_4122

    def __int__(self):
        return self.int

    def __bytes__(self):
        return self.bytes

    def __str__(self):
        cdef object text = PyUnicode_New(36, 127)
        cdef unsigned char *out = PyUnicode_1BYTE_DATA(text)
        out[8] = out[13] = out[18] = out[23] = c"-"
        _digits(out, self.high >> 32, 8)
        _digits(out + 9, self.high >> 16, 4)
        _digits(out + 14, self.high, 4)
        _digits(out + 19, self.low >> 48, 4)
        _digits(out + 24, self.low, 12)
        return text

    def __repr__(self):
        return f"UuidV8('{self}')"

    def to_uuid(self):
        """The same 128 bits as a standard library UUID."""
        return StandardUuid(int=self.int)

    # Order. The words are compared as unsigned numbers, which is the order of the bytes (rule UUID8.R3).

    def __richcmp__(self, other, int operation):
        cdef uint64_t high, low
        cdef UuidV8 mine = self
        cdef int order
        if type(other) is UuidV8:
            high = (<UuidV8> other).high
            low = (<UuidV8> other).low
        elif isinstance(other, StandardUuid):
            number = other.int
            high = PyLong_AsUnsignedLongLongMask(number >> 64)
            low = PyLong_AsUnsignedLongLongMask(number)
        else:
            return NotImplemented
        if mine.high != high:
            order = 1 if mine.high > high else -1
        else:
            order = (mine.low > low) - (mine.low < low)
        if operation == Py_EQ:
            return order == 0
        if operation == Py_NE:
            return order != 0
        if operation == Py_LT:
            return order < 0
        if operation == Py_LE:
            return order <= 0
        if operation == Py_GT:
            return order > 0
        return order >= 0

    def __hash__(self):
        # Python hashes an int modulo 2**61 - 1, and uuid.UUID hashes as its int: 2**64 is 8 in that field.
        cdef uint64_t prime = (<uint64_t> 1 << 61) - 1
        if not WIDE_HASH:
            return hash(self.int)
        return <Py_hash_t> ((self.high % prime * 8 % prime + self.low % prime) % prime)

    def __reduce__(self):
        return _from_bytes, (self.bytes,)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    # Reading. Version, variant and node id are checked, whatever the form (rule UUID8.R4).

    @staticmethod
    def from_int(value):
        """Read 128 bits; :class:`CallerError` if they are no UUIDv8 of this layout (rule UUID8.R4)."""
        if not isinstance(value, int) or isinstance(value, bool):
            raise CallerError(f"{shown(value)} is no whole number: pass the 16 bytes of a UUID as an int")
        if value < 0 or value >> 128:
            raise CallerError(
                f"{shown(value)} does not fit into 128 bits: pass the 16 bytes of a UUID as an int"
            )
        return _checked(PyLong_AsUnsignedLongLongMask(value >> 64), PyLong_AsUnsignedLongLongMask(value))

    @staticmethod
    def from_bytes(value):
        """Read 16 bytes in network order; :class:`CallerError` if there are not 16 or they are foreign."""
        return _from_bytes(value)

    @staticmethod
    def from_uuid(value):
        """Read a standard library UUID; :class:`CallerError` if it is foreign."""
        if not isinstance(value, StandardUuid):
            raise CallerError(f"{shown(value)} is no uuid.UUID: use parse() for text, from_bytes() for bytes")
        return UuidV8.from_int(value.int)

    @staticmethod
    def parse(text):
        """Read the 36-character text form; :class:`CallerError` if it is malformed or foreign."""
        cdef unsigned char *data
        cdef uint64_t words[2]
        cdef int position, digit, count = 0
        words[0] = words[1] = 0
        if not isinstance(text, str) or len(text) != 36 or not PyUnicode_IS_ASCII(text):
            raise _no_text(text)
        data = PyUnicode_1BYTE_DATA(text)
        for position in range(36):
            if position == 8 or position == 13 or position == 18 or position == 23:
                if data[position] != c"-":
                    raise _no_text(text)
                continue
            digit = _digit(data[position])
            if digit < 0:
                raise _no_text(text)
            words[count >> 4] = words[count >> 4] << 4 | <uint64_t> digit
            count += 1
        return _checked(words[0], words[1])


cdef object _no_text(object text):
    value = repr(text[:60]) if isinstance(text, str) else shown(text)
    return CallerError(f"{value} is no UUID text: expected 8-4-4-4-12 hexadecimal digits")


def _from_bytes(value):
    cdef uint64_t words[2]
    cdef int position
    cdef const unsigned char *data
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise CallerError(f"{shown(value)} is no bytes: pass the 16 bytes of a UUID in network order")
    cdef bytes copy = bytes(value)
    if len(copy) != 16:
        raise CallerError(f"a UUID is 16 bytes in network order, these are {len(copy)}: {copy[:20]!r}")
    data = <const unsigned char *> PyBytes_AS_STRING(copy)
    words[0] = words[1] = 0
    for position in range(16):
        words[position >> 3] = words[position >> 3] << 8 | data[position]
    return _checked(words[0], words[1])


cdef UuidV8 _checked(uint64_t high, uint64_t low):
    cdef uint64_t version = high >> 12 & 0xF
    cdef uint64_t variant = low >> 62
    if version != 8:
        raise CallerError(
            f"{_standard(high, low)} has version {version}, not 8: it was not made by this clock, and "
            "versions of different kinds can not be compared (rule UUID8.R5)"
        )
    if variant != 2:
        raise CallerError(
            f"{_standard(high, low)} has variant bits {variant:02b}, not 10: it is no RFC 9562 UUID"
        )
    if low >> 46 & 0xFFFF == 0:
        raise CallerError(f"node id 0 is out of range: it must be from 1 to {MAX_NODE_ID}")
    return make(high, low)


cdef object _standard(uint64_t high, uint64_t low):
    return StandardUuid(int=(<object> high << 64) | low)


# --- digits -------------------------------------------------------------------------------------------------


cdef inline void _digits(unsigned char *out, uint64_t word, int count) noexcept nogil:
    """The lowest ``count`` hexadecimal digits of ``word``."""
    cdef int position
    for position in range(count - 1, -1, -1):
        out[position] = DIGITS[word & 0xF]
        word >>= 4


cdef inline int _digit(unsigned char character) noexcept nogil:
    if c"0" <= character <= c"9":
        return character - c"0"
    if c"a" <= character <= c"f":
        return character - c"a" + 10
    if c"A" <= character <= c"F":
        return character - c"A" + 10
    return -1
