# Part of merkle_forest.pyx: what is hashed. A message is put together in a buffer of the stack, so that hashing a
# leaf, a node or a row of a usual size is one call of libcrypto each to begin, to hash and to end.

cdef extern from *:
    """
    #include <openssl/evp.h>

    #if defined(_MSC_VER)
    #include <intrin.h>
    #define SB_TAKE_SLOT(slot) _InterlockedExchangePointer((slot), NULL)
    #define SB_FILL_SLOT(slot, context) (_InterlockedCompareExchangePointer((slot), (context), NULL) == NULL)
    #else
    #define SB_TAKE_SLOT(slot) __atomic_exchange_n((slot), NULL, __ATOMIC_ACQ_REL)
    static inline int sb_fill_slot(void **slot, void *context) {
        void *nothing = NULL;
        return __atomic_compare_exchange_n(slot, &nothing, context, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
    }
    #define SB_FILL_SLOT(slot, context) sb_fill_slot((slot), (context))
    #endif

    /* Contexts that nobody uses just now: as many threads as there are slots hash without making new ones. */
    #define SB_SLOTS 16
    static void *sb_slots[SB_SLOTS];

    /* A context that is ready to begin. To copy it is quicker than to make one ready, and only reads it. */
    static EVP_MD_CTX *sb_ready = NULL;

    static int sb_prepare(void) {
        EVP_MD *sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
        EVP_MD_CTX *made = sha256 != NULL ? EVP_MD_CTX_new() : NULL;
        if (made != NULL && EVP_DigestInit_ex2(made, sha256, NULL) == 1) sb_ready = made;
        return sb_ready != NULL;
    }
    static void *sb_take_context(void) {
        for (int i = 0; i < SB_SLOTS; i++) {
            void *context = SB_TAKE_SLOT(&sb_slots[i]);
            if (context != NULL) return context;
        }
        return EVP_MD_CTX_new();
    }
    static void sb_give_context(void *context) {
        if (context == NULL) return;
        for (int i = 0; i < SB_SLOTS; i++)
            if (SB_FILL_SLOT(&sb_slots[i], context)) return;
        EVP_MD_CTX_free((EVP_MD_CTX *)context);
    }
    static inline int sb_begin(void *context) {
        return EVP_MD_CTX_copy_ex((EVP_MD_CTX *)context, sb_ready) == 1;
    }
    static inline int sb_update(void *context, const void *from, size_t size) {
        return EVP_DigestUpdate((EVP_MD_CTX *)context, from, size) == 1;
    }
    static inline int sb_end(void *context, unsigned char *into) {
        return EVP_DigestFinal_ex((EVP_MD_CTX *)context, into, NULL) == 1;
    }
    """
    bint prepare_hash "sb_prepare"()
    void *take_context "sb_take_context"() noexcept nogil
    void give_context "sb_give_context"(void *context) noexcept nogil
    bint begin_hash "sb_begin"(void *context) noexcept nogil
    bint update_hash "sb_update"(void *context, const void *source, size_t size) noexcept nogil
    bint end_hash "sb_end"(void *context, unsigned char *into) noexcept nogil


cdef struct Message:
    Hasher *hasher
    size_t used
    unsigned char room[MESSAGE]


cdef inline void open_hasher(Hasher *hasher) noexcept nogil:
    hasher.context = take_context()
    hasher.done = 0
    hasher.failed = hasher.context == NULL


cdef inline void close_hasher(Hasher *hasher) noexcept nogil:
    give_context(hasher.context)


cdef int check_hashed(Hasher *hasher) except -1:
    """Whether each digest is one; the hasher is closed."""
    close_hasher(hasher)
    if hasher.context == NULL:
        raise MemoryError
    if hasher.failed:
        raise BugError("libcrypto refused to hash with SHA-256: look whether this process may use it (FIPS mode?)")
    return 0


# --- messages -----------------------------------------------------------------------------------------------


cdef inline void add(Message *message, const void *source, size_t size) noexcept nogil:
    if size > MESSAGE - message.used:
        flush(message)
        if size > MESSAGE:
            if not update_hash(message.hasher.context, source, size):
                message.hasher.failed = True
            return
    memcpy(message.room + message.used, source, size)
    message.used += size


cdef void flush(Message *message) noexcept nogil:
    if not update_hash(message.hasher.context, message.room, message.used):
        message.hasher.failed = True
    message.used = 0


cdef inline void add_length(Message *message, size_t length) noexcept nogil:
    """In LEB128 (rule MERKLE_FOREST.R5): most lengths take one byte."""
    cdef unsigned char written[10]
    cdef int size = 0
    while length >= 0x80:
        written[size] = <unsigned char> (length & 0x7F | 0x80)
        length >>= 7
        size += 1
    written[size] = <unsigned char> length
    add(message, written, size + 1)


cdef inline void add_part(Message *message, const void *part, size_t size) noexcept nogil:
    add_length(message, size)
    add(message, part, size)


cdef inline void begin(Message *message, Hasher *hasher, const char *what, size_t length, size_t parts) noexcept nogil:
    """What is hashed is said to be this, of so many parts (rule MERKLE_FOREST.R5)."""
    message.hasher = hasher
    message.used = 0
    if hasher.failed or not begin_hash(hasher.context):
        hasher.failed = True
    add_part(message, what, length)
    add_length(message, parts)


cdef inline void end(Message *message, unsigned char *into) noexcept nogil:
    cdef Hasher *hasher = message.hasher
    hasher.done += 1
    if hasher.failed or not update_hash(hasher.context, message.room, message.used):
        hasher.failed = True
    elif not end_hash(hasher.context, into):
        hasher.failed = True


# --- what is hashed -----------------------------------------------------------------------------------------


cdef void hash_place(Hasher *hasher, const unsigned char *key, size_t size, unsigned char *place) noexcept nogil:
    """Where a row is in its tree (rule MERKLE_FOREST.R4)."""
    cdef Message message
    cdef unsigned char digest[DIGEST]
    begin(&message, hasher, b"key", 3, 1)
    add_part(&message, key, size)
    end(&message, digest)
    memcpy(place, digest, PLACE)


cdef void hash_entry(
    Hasher *hasher, const unsigned char *key, size_t size, Version version, const unsigned char *value, size_t length,
    unsigned char *record,
) noexcept nogil:
    """How a forest shows a version of a row, after its place."""
    cdef Message message
    cdef unsigned char digest[DIGEST]
    store_word(record + PLACE, version.high)
    store_word(record + PLACE + 8, version.low)
    begin(&message, hasher, b"row", 3, 4)
    add_part(&message, key, size)
    add_part(&message, record + PLACE, 16)
    if value == NULL:
        add_part(&message, b"deleted", 7)
    else:
        add_part(&message, b"value", 5)
    if length:  # A compiler may take for certain that what is copied is not NULL, and so that nothing deletes.
        add_part(&message, value, length)
    else:
        add_length(&message, 0)
    end(&message, digest)
    memcpy(record + 32, digest, 16)
    record[RECORD - 1] = (record[RECORD - 1] & 0xFE) | (value == NULL)


cdef void inner_digest(Hasher *hasher, const unsigned char *children, unsigned char *into) noexcept nogil:
    """The digest of an inner node: of its children's (rule MERKLE_FOREST.R5). One that is empty is all zeros here."""
    cdef Message message
    cdef int digit
    begin(&message, hasher, b"node", 4, FAN_OUT)
    for digit in range(FAN_OUT):
        add_part(&message, children + DIGEST * digit, 0 if is_nothing(children + DIGEST * digit) else DIGEST)
    end(&message, into)


cdef inline bint is_nothing(const unsigned char *digest) noexcept nogil:
    """Whether a node that is kept in a dense level is empty."""
    return (load_word(digest) | load_word(digest + 8) | load_word(digest + 16) | load_word(digest + 24)) == 0


cdef bytes window_digest(Shape shape, int64_t window, bytes tree):
    """The digest of a window, which covers the setting and its number; nothing if there is nothing in it.

    Rules MERKLE_FOREST.R5, MERKLE_FOREST.R7.
    """
    cdef Message message
    cdef Hasher hasher
    cdef unsigned char into[DIGEST]
    cdef unsigned char number[8]
    cdef bytes identity
    if not tree:
        return b""
    identity = shape.identity
    open_hasher(&hasher)
    begin(&message, &hasher, b"window", 6, 3)
    add_part(&message, PyBytes_AS_STRING(identity), PyBytes_GET_SIZE(identity))
    store_word(number, window)
    add_part(&message, number, 8)
    add_part(&message, PyBytes_AS_STRING(tree), PyBytes_GET_SIZE(tree))
    end(&message, into)
    check_hashed(&hasher)
    return into[:DIGEST]


# --- rows ---------------------------------------------------------------------------------------------------


def place_of(bytes key not None):
    """Where a row is in its tree: 16 bytes, from its key (rule MERKLE_FOREST.R4).

    :param key: the encoded key, as long as may be.
    """
    cdef Hasher hasher
    cdef unsigned char place[PLACE]
    open_hasher(&hasher)
    hash_place(&hasher, <const unsigned char *> PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key), place)
    check_hashed(&hasher)
    return place[:PLACE]


def entry_of(bytes key not None, version, bytes value):
    """How a forest shows a version of a row: its record, 48 bytes (rules MERKLE_FOREST.R1, MERKLE_FOREST.R5).

    :param key: the encoded key.
    :param version: an ``int`` or a :class:`UuidV8`, at least 1.
    :param value: the encoded row; ``None`` if the version is a delete.
    :raises CallerError: if the version is out of range.
    """
    cdef Version at
    read_version(version, "version", 1, &at)
    return bytes(entries_of((key,), bytes_of(at), (value,)))


cdef extern from "Python.h":
    void *PyList_GET_ITEM_as_is "PyList_GET_ITEM"(object things, Py_ssize_t index)


cdef struct Row:
    const unsigned char *key
    const unsigned char *value
    size_t key_size
    size_t value_size
    Version version


cdef enum:
    ROWS_AT_ONCE = 64       # they fit into the processor's caches


def entries_of(keys, versions, values):
    """The records of many rows, in their order, packed: a ``bytearray`` of 48 bytes each.

    They are hashed without the interpreter's lock, 64 at a time.

    :param keys: the encoded keys, a list or tuple of ``bytes``.
    :param versions: as many versions; or all of them packed, 16 bytes each, in network byte order.
    :param values: the encoded rows, ``bytes`` each; ``None`` where a version is a delete.
    :raises CallerError: if there are not as many of each, or a value is none of these.
    """
    cdef bint are_packed = isinstance(versions, (bytes, bytearray))
    cdef bytes packed = bytes(versions) if are_packed else b""
    cdef Py_ssize_t rows = len(keys), start, index, many
    cdef Row batch[ROWS_AT_ONCE]
    cdef Hasher hasher
    cdef bytearray out
    cdef unsigned char *record
    given = len(packed) / 16 if are_packed else len(versions)
    if given != rows or len(values) != rows:
        raise CallerError(f"{rows} keys, {given} versions and {len(values)} values: pass one of each for each row")
    out = PyByteArray_FromStringAndSize(NULL, rows * RECORD)
    record = <unsigned char *> PyByteArray_AS_STRING(out)
    open_hasher(&hasher)
    try:
        for start in range(0, rows, ROWS_AT_ONCE):
            many = min(rows - start, <Py_ssize_t> ROWS_AT_ONCE)
            # Slices keep what is hashed alive, whatever others do to the lists meanwhile.
            kept_keys, kept_values = tuple(keys[start:start + many]), tuple(values[start:start + many])
            if len(kept_keys) != many or len(kept_values) != many or not (are_packed or len(versions) == rows):
                raise CallerError("keys, versions or values became fewer while they were hashed: leave them alone")
            for index in range(many):
                read_row(&batch[index], kept_keys[index], kept_values[index])
                if are_packed:
                    read_packed(packed, start + index, &batch[index].version)
                else:
                    read_version(versions[start + index], "version", 1, &batch[index].version)
            fetch_soon(keys, start + many)
            fetch_soon(values, start + many)
            with nogil:
                for index in range(many):
                    if index + 1 < many:
                        fetch_value(&batch[index + 1])
                    hash_row(&hasher, &batch[index], record)
                    record += RECORD
    finally:
        check_hashed(&hasher)
    return out


cdef inline void fetch_soon(things, Py_ssize_t start):
    """The objects of the next batch come into the caches while this one is hashed."""
    cdef Py_ssize_t index
    if type(things) is list:
        for index in range(start, min(start + ROWS_AT_ONCE, PyList_GET_SIZE(things))):
            prefetch(PyList_GET_ITEM_as_is(things, index))


cdef inline void fetch_value(Row *row) noexcept nogil:
    cdef size_t line
    for line in range(0, min(row.value_size, <size_t> 512), 64):
        prefetch(row.value + line)


cdef void hash_row(Hasher *hasher, Row *row, unsigned char *record) noexcept nogil:
    hash_place(hasher, row.key, row.key_size, record)
    hash_entry(hasher, row.key, row.key_size, row.version, row.value, row.value_size, record)


cdef int read_row(Row *row, key, value) except -1:
    """The lists keep both alive."""
    if type(key) is not bytes:
        raise CallerError(f"key {shown(key)} is no bytes: pass the encoded key of the row")
    if value is not None and type(value) is not bytes:
        raise CallerError(f"value {shown(value)} is neither bytes nor None (a delete)")
    row.key = <const unsigned char *> PyBytes_AS_STRING(key)
    row.key_size = PyBytes_GET_SIZE(key)
    row.value = NULL
    row.value_size = 0
    if value is not None:
        row.value = <const unsigned char *> PyBytes_AS_STRING(value)
        row.value_size = PyBytes_GET_SIZE(value)
    return 0


cdef int read_packed(bytes packed, Py_ssize_t index, Version *into) except -1:
    cdef const unsigned char *start = <const unsigned char *> PyBytes_AS_STRING(packed) + 16 * index
    into.high = load_word(start)
    into.low = load_word(start + 8)
    if not (into.high | into.low):
        raise CallerError(f"version 0 of row {index}: 0 stands for never written, and is no version")
    return 0


if not prepare_hash():
    raise ImportError("libcrypto has no SHA-256 here: the forest can not be used", name="scratchbird.merkle_forest")
