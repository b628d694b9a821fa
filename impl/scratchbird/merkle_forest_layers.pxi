# Part of merkle_forest.pyx: records in layers, what is read from all of them together, and its digests. All of it
# works without the interpreter.
#
# The lowest layer is the base. What a layer above it has of a place counts instead of all that is below, and it says
# what it does to that: so records can be counted without looking below, and two layers be made one.

cdef enum:
    UNAMENDED = 256         # so few records, of which none is amended, are told apart one by one
    LEAST_AMENDMENTS = 64
    LEAST_IN_MIDDLE = 4096  # so many may be in one
    LARGE = 65536           # rows of a base that has a middle: to such a one a sixteenth would be too many amendments
    ABOVE_A_MIDDLE = 1024   # amendments: an insertion moves half of them
    TO_THE_MIDDLE = 64      # rows of the base for each of the middle
    TOO_FEW = 5             # rows for each node of the deepest dense level: with fewer a level is given up


# --- how large they may be ----------------------------------------------------------------------------------


cdef inline Py_ssize_t most_amendments(Py_ssize_t rows) noexcept nogil:
    """How many there may be above a base of so many rows, until they are merged: each merge pays for that many."""
    if rows >= LARGE:
        return ABOVE_A_MIDDLE
    return max(<Py_ssize_t> LEAST_AMENDMENTS, rows // 16)


cdef inline Py_ssize_t most_in_middle(Py_ssize_t rows) noexcept nogil:
    """How many the middle above a base of so many rows may have. A small base has none.

    The larger the middle, the more is copied when amendments are merged into it, and the less often the base is: both
    together cost least where the middle is about the root of the base times twice the amendments.
    """
    return 0 if rows < LARGE else max(<Py_ssize_t> LEAST_IN_MIDDLE, rows // TO_THE_MIDDLE)


# --- two layers as one --------------------------------------------------------------------------------------


cdef inline int kind_of(const Layer *layer, size_t at) noexcept nogil:
    """What a record of a layer does to what is below; the base is one of which all is added to nothing."""
    return ADDED if layer.kinds == NULL else layer.kinds[at]


cdef inline int composed(int lower, int upper) noexcept nogil:
    """What two amendments of a place do together, one to what the other one left.

    Only the ends count: whether there was a record below both, which the lower one says, and whether there is one
    above both, which the upper one says. What stands in the middle is gone.

        lower, upper    ADDED       CHANGED     REMOVED
        ADDED           (ADDED)     ADDED       NOTHING
        CHANGED         (CHANGED)   CHANGED     REMOVED
        REMOVED         CHANGED     (CHANGED)   (REMOVED)

    Those in brackets do not occur: nothing is added where a record is, or changed or removed where none is.
    """
    if lower == ADDED:
        return NOTHING if upper == REMOVED else ADDED
    return REMOVED if upper == REMOVED else CHANGED


cdef inline size_t leap(const unsigned char *records, size_t rows, const unsigned char *place) noexcept nogil:
    """The first record that is not before this place, as :func:`search` finds it, if it is not far."""
    cdef size_t low = 0, step = 1
    while step <= rows and compare_places(records + RECORD * (step - 1), place) < 0:
        low = step
        step *= 2
    return low + search(records + RECORD * low, min(step - 1, rows) - low, place)


cdef size_t fold(
    const Layer *lower, const Layer *upper, unsigned char *records, uint8_t *kinds, size_t room
) noexcept nogil:
    """Two layers as one: how many records it has, at most as many as both. What is between two of the upper one is
    copied in one piece. Onto the base kinds are not written: pass NULL. Of more records than there is room for, the last
    ones are counted, and not written."""
    cdef const unsigned char *record
    cdef size_t at = 0, until, each, count = 0, many
    cdef int kind
    for each in range(upper.rows + 1):
        record = upper.records + RECORD * each
        until = lower.rows
        if each < upper.rows:
            until = at + leap(lower.records + RECORD * at, lower.rows - at, record)
        many = min(until - at, room - min(count, room))
        if many:
            memcpy(records + RECORD * count, lower.records + RECORD * at, RECORD * many)
            if kinds != NULL:
                memcpy(kinds + count, lower.kinds + at, many)
        count += until - at
        at = until
        if each == upper.rows:
            break
        kind = upper.kinds[each]
        if at < lower.rows and compare_places(lower.records + RECORD * at, record) == 0:
            kind = composed(kind_of(lower, at), kind)
            at += 1
        if kind != NOTHING:
            if count < room:
                memcpy(records + RECORD * count, record, RECORD)
                if kinds != NULL:
                    kinds[count] = kind
            count += 1
    return count


@cython.final
@cython.no_gc
cdef class Middle:
    """Amendments to a base, which nobody changes any more."""

    def __dealloc__(self):
        PyMem_RawFree(<void *> self.layer.records)


cdef Middle folded(const Layer *lower, const Layer *upper):
    """Two layers as one, neither of them the base."""
    cdef Middle made = Middle.__new__(Middle)
    cdef size_t rows = lower.rows + upper.rows
    cdef unsigned char *records
    made.size = (RECORD + 1) * rows
    records = raw(max(<size_t> 1, made.size))
    made.layer.records = records
    made.layer.kinds = records + RECORD * rows
    with nogil:
        made.layer.rows = fold(lower, upper, records, records + RECORD * rows, rows)
    return made


cdef Base merged(View *view, Py_ssize_t count):
    """All layers as one, which shows so many records.

    :raises CallerError: if it does not: a base is not in the order of its places, which somebody else holds.
    """
    cdef unsigned char *records = raw(max(<Py_ssize_t> 1, RECORD * count))
    cdef Base base = owned_base(records, count)
    cdef Layer above = view.layers[AMENDED]
    cdef Middle both
    cdef size_t rows
    if view.layers[MIDDLE].rows:
        both = folded(&view.layers[MIDDLE], &above)
        above = both.layer
    with nogil:
        rows = fold(&view.layers[BASE], &above, records, NULL, count)
    check_shown(view, rows, count)
    return base


cdef int check_shown(View *view, size_t found, size_t expected) except -1:
    """Whether as many records are found as there are said to be: else what is written for so many overflows."""
    if found != expected:
        raise CallerError(
            f"{view.layers[BASE].rows} entries that were borrowed are not in the order of their places, each once: "
            f"build the tree from its rows again"
        )
    return 0


# --- all layers ---------------------------------------------------------------------------------------------


cdef inline const unsigned char *shown_by(View *view, int layers, const unsigned char *place) noexcept nogil:
    """What so many layers, the lowest ones, show of a place; NULL if nothing."""
    cdef const Layer *layer
    cdef size_t at
    cdef int each
    for each in range(layers - 1, -1, -1):
        layer = &view.layers[each]
        at = search(layer.records, layer.rows, place)
        if at < layer.rows and compare_places(layer.records + RECORD * at, place) == 0:
            if kind_of(layer, at) == REMOVED:
                return NULL
            return layer.records + RECORD * at
    return NULL


cdef inline bint is_amended(Range *range_) noexcept nogil:
    """Whether a layer above the base has anything here. Mostly none has, and what is done often takes a shorter way."""
    return range_.low[MIDDLE] < range_.high[MIDDLE] or range_.low[AMENDED] < range_.high[AMENDED]


cdef inline Range child_of(View *view, Range *parent, Range *left, int level, int digit) noexcept nogil:
    """The part of a range with this digit. ``left`` is what is left of the range, and loses all up to there: the
    digits are asked for in their order."""
    cdef Range child
    cdef const unsigned char *records
    cdef size_t low, high
    cdef int each
    for each in range(LAYERS):
        records = view.layers[each].records
        low = left.low[each]
        high = parent.high[each]
        if low < high and digit_at(records + RECORD * low, level) < digit:
            low = edge(records, low, high, level, digit)
        child.low[each] = low
        if low < high:
            low = edge(records, low, high, level, digit + 1)
        child.high[each] = left.low[each] = low
    return child


cdef Range range_below(View *view, const uint8_t *path, int level) noexcept nogil:
    """The range of the subtree below these digits."""
    cdef Range found = view.everything, left
    cdef int depth
    for depth in range(level):
        left = found
        found = child_of(view, &found, &left, depth, path[depth])
    return found


cdef inline int64_t records_of(Range *range_, int each) noexcept nogil:
    """How many a layer has in a range, whatever they do."""
    return range_.high[each] - range_.low[each]


cdef int64_t entries_in(View *view, Range *range_) noexcept nogil:
    """How many a range has."""
    cdef int64_t count = records_of(range_, BASE)
    cdef const uint8_t *kinds
    cdef size_t at
    cdef int each
    for each in range(MIDDLE, LAYERS):
        kinds = view.layers[each].kinds
        for at in range(range_.low[each], range_.high[each]):
            count += (kinds[at] == ADDED) - (kinds[at] == REMOVED)
    return count


cdef inline bint is_small(View *view, Range *range_, int depth) noexcept nogil:
    """Whether a subtree is one leaf (rule MERKLE_FOREST.R4). Mostly it is plain without counting that it is not."""
    cdef int64_t least = records_of(range_, BASE)
    if not is_amended(range_):
        return is_leaf(view.most_in_leaf, least, depth)
    least -= records_of(range_, MIDDLE) + records_of(range_, AMENDED)
    if depth < DIGITS and least > view.most_in_leaf:
        return False
    return is_leaf(view.most_in_leaf, entries_in(view, range_), depth)


cdef inline const unsigned char *next_record(View *view, Range *left) noexcept nogil:
    """The next record of a range in the order of places, which is left out of it; NULL if there is none."""
    cdef const unsigned char *first
    cdef const unsigned char *record
    cdef int each, order, top, same_place
    while is_amended(left):
        # Of the layers that have the lowest place the topmost one counts, and all of them have had it then.
        first = NULL
        top = same_place = 0
        for each in range(LAYERS):
            if left.low[each] < left.high[each]:
                record = view.layers[each].records + RECORD * left.low[each]
                order = -1 if first == NULL else compare_places(record, first)
                if order <= 0:
                    first = record
                    top = each
                    same_place = (same_place if order == 0 else 0) | 1 << each
        for each in range(LAYERS):
            left.low[each] += same_place >> each & 1
        if kind_of(&view.layers[top], left.low[top] - 1) != REMOVED:
            return first
    if left.low[BASE] < left.high[BASE]:
        left.low[BASE] += 1
        return view.layers[BASE].records + RECORD * (left.low[BASE] - 1)
    return NULL


cdef bytes records_in(View *view, Range range_):
    """The records of a range, packed."""
    cdef Py_ssize_t count = entries_in(view, &range_), found = 0
    cdef bytes out = PyBytes_FromStringAndSize(NULL, count * RECORD)
    cdef unsigned char *into = <unsigned char *> PyBytes_AS_STRING(out)
    cdef const unsigned char *record = next_record(view, &range_)
    while record != NULL:
        if found < count:
            memcpy(into + RECORD * found, record, RECORD)
        found += 1
        record = next_record(view, &range_)
    check_shown(view, found, count)
    return out


# --- digests ------------------------------------------------------------------------------------------------


cdef void leaf_digest(View *view, Range *range_, int64_t entries, unsigned char *into) noexcept nogil:
    """The digest of a leaf: of its entries, in their order (rule MERKLE_FOREST.R5)."""
    cdef Message message
    cdef Range left
    cdef const unsigned char *record
    cdef size_t at
    begin(&message, &view.hasher, b"leaf", 4, entries)
    if not is_amended(range_):
        for at in range(range_.low[BASE], range_.high[BASE]):
            add_part(&message, view.layers[BASE].records + RECORD * at, RECORD)
        end(&message, into)
        return
    left = range_[0]
    record = next_record(view, &left)
    while record != NULL:
        add_part(&message, record, RECORD)
        record = next_record(view, &left)
    end(&message, into)


cdef void subtree_digest(View *view, Range *range_, int level, unsigned char *into) noexcept nogil:
    """The digest of a subtree, from its entries; all zeros if there are none. Nothing is remembered."""
    cdef unsigned char children[FAN_OUT * DIGEST]
    cdef int64_t entries
    if is_small(view, range_, level):
        entries = entries_in(view, range_)
        if entries == 0:
            memset(into, 0, DIGEST)
        else:
            leaf_digest(view, range_, entries, into)
        return
    children_digests(view, range_, level, children)
    inner_digest(&view.hasher, children, into)


cdef void children_digests(View *view, Range *range_, int level, unsigned char *children) noexcept nogil:
    """Of 16 subtrees."""
    cdef Range left = range_[0], child
    cdef const unsigned char *records = view.layers[BASE].records
    cdef size_t at, high = range_.high[BASE]
    cdef int digit, each
    memset(children, 0, FAN_OUT * DIGEST)
    if not is_amended(range_) and records_of(range_, BASE) <= UNAMENDED:
        child = left
        at = left.low[BASE]
        while at < high:
            child.low[BASE] = at
            digit = digit_at(records + RECORD * at, level)
            at += 1
            while at < high and digit_at(records + RECORD * at, level) == digit:
                at += 1
            child.high[BASE] = at
            subtree_digest(view, &child, level + 1, children + DIGEST * digit)
        return
    while True:
        digit = FAN_OUT
        for each in range(LAYERS):
            if left.low[each] < range_.high[each]:
                digit = min(digit, digit_at(view.layers[each].records + RECORD * left.low[each], level))
        if digit == FAN_OUT:
            return
        child = child_of(view, range_, &left, level, digit)
        subtree_digest(view, &child, level + 1, children + DIGEST * digit)


cdef inline size_t width(int level) noexcept nogil:
    """How many nodes a dense level has."""
    return <size_t> 1 << (4 * level)


cdef inline size_t nodes_above(int level) noexcept nogil:
    """How many nodes the dense levels above this one have, so where it begins."""
    return (width(level) - 1) // (FAN_OUT - 1)


cdef inline size_t node_at(const uint8_t *path, int level) noexcept nogil:
    """Where a node of a dense level is. Its children are from 16 times as far on, and one more."""
    cdef size_t node = 0
    cdef int depth
    for depth in range(level):
        node = node * FAN_OUT + 1 + path[depth]
    return node


cdef inline int depth_for(size_t rows) noexcept nogil:
    """The deepest dense level of so many rows: the nodes of it are at most a sixth as many."""
    cdef int depth = 0
    while width(depth + 1) <= rows // TO_A_NODE:
        depth += 1
    return depth


cdef inline size_t dirty_words(int depth) noexcept nogil:
    return (width(depth) + 63) // 64


cdef inline bint any_dirty(const uint64_t *dirty, size_t start, size_t count) noexcept nogil:
    """Whether any of these nodes is; there are 16**k of them, and ``start`` is a multiple of that."""
    cdef size_t word
    if count < 64:
        return (dirty[start >> 6] >> (start & 63)) & ((<uint64_t> 1 << count) - 1) != 0
    for word in range(start >> 6, (start + count) >> 6):
        if dirty[word]:
            return True
    return False


cdef void copy_dirty(const uint64_t *source, int source_depth, uint64_t *into, int depth) noexcept nogil:
    """What is dirty, told of the nodes of a level above; none is so far."""
    cdef size_t node, below_each = width(source_depth - depth)
    for node in range(width(depth)):
        if any_dirty(source, node * below_each, below_each):
            into[node >> 6] |= <uint64_t> 1 << (node & 63)


cdef void hash_dirty(View *view, Range *range_, int level, size_t index) noexcept nogil:
    """Hash a node of a dense level and, before it, all that is dirty below it."""
    cdef unsigned char *node = view.nodes + DIGEST * (nodes_above(level) + index)
    cdef size_t below_each, child
    cdef Range left = range_[0], child_range
    cdef int digit
    if level == view.depth:
        subtree_digest(view, range_, level, node)
        return
    below_each = width(view.depth - level - 1)
    for digit in range(FAN_OUT):
        child = index * FAN_OUT + digit
        if any_dirty(view.dirty, child * below_each, below_each):
            child_range = child_of(view, range_, &left, level, digit)
            hash_dirty(view, &child_range, level + 1, child)
    if is_small(view, range_, level):
        subtree_digest(view, range_, level, node)
    else:
        inner_digest(&view.hasher, view.nodes + DIGEST * (nodes_above(level + 1) + index * FAN_OUT), node)
