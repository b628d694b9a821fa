# The id as two 64-bit words, and the one place where its layout is written down (rule UUID8.R1):
#
#     high   bits  0-47  milliseconds     48-51  version, always 8     52-63  counter
#     low    bits  0-1   variant, binary 10      2-17  node id         18-63  random
from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #define SB_MAX_MS ((int64_t)281474976710655LL)
    #define SB_RANDOM_MASK ((uint64_t)70368744177663ULL)

    /* Network byte order. Compilers make one or two instructions of this. */
    static inline void sb_store_word(unsigned char *out, uint64_t word) {
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        word = __builtin_bswap64(word);
        memcpy(out, &word, 8);
    #else
        for (int i = 0; i < 8; i++) out[i] = (unsigned char)(word >> (56 - 8 * i));
    #endif
    }
    """
    const int64_t MAX_MS_C "SB_MAX_MS"
    const uint64_t RANDOM_MASK "SB_RANDOM_MASK"
    void store_word "sb_store_word"(unsigned char *out, uint64_t word) noexcept nogil


# A packed timestamp is ms << 12 | counter: its order as a number is the clock's order (rule HLC.R1).
cdef inline uint64_t high_word(uint64_t packed) noexcept nogil:
    return packed >> 12 << 16 | 0x8000 | (packed & 0xFFF)


cdef inline uint64_t low_word(uint64_t node_id, uint64_t random) noexcept nogil:
    return <uint64_t> 2 << 62 | node_id << 46 | (random & RANDOM_MASK)


cdef inline uint64_t packed_of(uint64_t high) noexcept nogil:
    return high >> 16 << 12 | (high & 0xFFF)


cdef class UuidV8:
    cdef uint64_t high
    cdef uint64_t low


cdef inline UuidV8 make(uint64_t high, uint64_t low):
    """An id from words that are known to be right: nothing is checked."""
    cdef UuidV8 made = UuidV8.__new__(UuidV8)
    made.high = high
    made.low = low
    return made


cdef int64_t whole(object value, object name, int64_t least, int64_t most) except? -1
cdef uint64_t pack(object timestamp) except? 0
cdef object unpack(uint64_t packed)
