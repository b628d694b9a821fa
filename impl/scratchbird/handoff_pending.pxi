# Part of handoff.pyx: where the hints of a coordinator are kept, in two search trees whose nodes are the same.
#
# The trees are treaps: ordered by what they are searched for, and each node above those of a lower priority, which
# is drawn when the hint comes. So their depth is that of random trees, whatever comes in whatever order, and
# every step below takes a time that grows with the logarithm of the number of hints. What a part of the tree
# ORDER says of its oldest hint, and of whether anything in it waits, is kept up to date on the way back up.


cdef inline bint before(Pending *one, Pending *other, int tree) noexcept nogil:
    """Whether ``one`` comes before ``other`` in this tree."""
    if tree == ORDER:
        return one.order < other.order
    if one.row != other.row:
        return one.row < other.row
    if one.target != other.target:
        return one.target < other.target
    return below(one.at, other.at)


cdef inline void sum_up(Pending *node) noexcept nogil:
    """What its part of the tree ORDER says, from what the parts below it say."""
    cdef int side
    cdef Pending *part
    node.oldest_ns = node.since_ns
    node.waits = not (node.is_open or node.is_under_way or node.is_aside)
    for side in range(ORDER, ORDER + 2):
        part = node.link[side]
        if part != NULL:
            node.oldest_ns = min(node.oldest_ns, part.oldest_ns)
            node.waits = node.waits or part.waits


cdef Pending *with_node(Pending *root, Pending *new, int tree) noexcept nogil:
    """The tree with a node that it has not."""
    cdef int side
    if root == NULL or new.priority > root.priority:
        split(root, new, tree, &new.link[tree], &new.link[tree + 1])
        sum_up(new)
        return new
    side = tree + before(root, new, tree)
    root.link[side] = with_node(root.link[side], new, tree)
    sum_up(root)
    return root


cdef void split(Pending *root, Pending *at, int tree, Pending **left, Pending **right) noexcept nogil:
    """Those before ``at`` and those after it, as two trees."""
    if root == NULL:
        left[0] = NULL
        right[0] = NULL
        return
    if before(root, at, tree):
        left[0] = root
        split(root.link[tree + 1], at, tree, &root.link[tree + 1], right)
    else:
        right[0] = root
        split(root.link[tree], at, tree, left, &root.link[tree])
    sum_up(root)


cdef Pending *joined(Pending *left, Pending *right, int tree) noexcept nogil:
    """One tree of two of which the second comes after the first."""
    if left == NULL:
        return right
    if right == NULL:
        return left
    if left.priority > right.priority:
        left.link[tree + 1] = joined(left.link[tree + 1], right, tree)
        sum_up(left)
        return left
    right.link[tree] = joined(left, right.link[tree], tree)
    sum_up(right)
    return right


cdef Pending *without_node(Pending *root, Pending *gone, int tree) noexcept nogil:
    """The tree without a node that it has."""
    cdef int side
    if root == gone:
        return joined(root.link[tree], root.link[tree + 1], tree)
    side = tree + before(root, gone, tree)
    root.link[side] = without_node(root.link[side], gone, tree)
    sum_up(root)
    return root


cdef void sum_up_to(Pending *root, Pending *node) noexcept nogil:
    """Take note of what changed at one node of a tree ORDER."""
    if root != node:
        sum_up_to(root.link[ORDER + before(root, node, ORDER)], node)
    sum_up(root)


cdef Pending *first_waiting(Pending *root) noexcept nogil:
    """The oldest hint of a tree ORDER that waits to be sent; one there must be."""
    cdef Pending *left = root.link[ORDER]
    while True:
        if left != NULL and left.waits:
            root = left
        elif not (root.is_open or root.is_under_way or root.is_aside):
            return root
        else:
            root = root.link[ORDER + 1]
        left = root.link[ORDER]


cdef int collect(Pending *root, int tree, list into) except -1:
    """The addresses of all nodes, in the order of the tree."""
    if root != NULL:
        collect(root.link[tree], tree, into)
        into.append(<size_t> root)
        collect(root.link[tree + 1], tree, into)
    return 0


cdef void let_go(Pending *root) noexcept:
    """Free all nodes, found by the tree ROWS."""
    if root != NULL:
        let_go(root.link[ROWS])
        let_go(root.link[ROWS + 1])
        PyMem_Free(root)


@cython.final
cdef class Place:
    """The hints for a target and a shard."""


@cython.final
cdef class Target:
    """The hints for a target, and which of them were sent."""

    def __cinit__(self):
        self.places = {}
        self.waiting = []
        self.under_way = {}
        self.rows_sent = {}


@cython.final
@cython.no_gc
cdef class Pace:
    """How fast a target is sent hints (rule HANDOFF.R4)."""


@cython.final
@cython.no_gc
cdef class OpenWrite:
    """A write that has not ended, as far as the account is concerned with it."""


cdef Hint hint_of_write(OpenWrite write):
    """The hint of a write; who it is for is to be filled in."""
    cdef Hint made = Hint.__new__(Hint)
    made.shard = write.shard
    made.row = write.row
    made.at = write.at
    made.size = write.size
    made.since_ns = write.since_ns
    made.number = UNKNOWN
    return made


@cython.final
cdef class HintTable:
    """The hints of a coordinator: found by row, target and version, and by place in the order of their age."""

    def __cinit__(self):
        self.targets = {}
        # Each process draws its own priorities, as it draws its own hashes of texts: nobody can choose rows and
        # versions that make a tree deep.
        self.dice = <uint64_t> <Py_ssize_t> hash("scratchbird.handoff") | 1

    def __dealloc__(self):
        let_go(self.by_row)

    cdef Pending *find(self, int64_t row, int32_t target, Version at) noexcept:
        """The hint of this row, target and version, or NULL."""
        cdef Pending *found = self.seek(row, target, at)
        if found != NULL and found.row == row and found.target == target and same(found.at, at):
            return found
        return NULL

    cdef Pending *seek(self, int64_t row, int32_t target, Version at) noexcept:
        """The first hint that is not before these, or NULL."""
        cdef Pending wanted
        cdef Pending *found = NULL
        cdef Pending *node = self.by_row
        wanted.row = row
        wanted.target = target
        wanted.at = at
        while node != NULL:
            if before(node, &wanted, ROWS):
                node = node.link[ROWS + 1]
            else:
                found = node
                node = node.link[ROWS]
        return found

    cdef Pending *add(self, Hint hint, bint is_open, bint is_aside) except NULL:
        """Keep a hint that is not there, as the newest."""
        cdef Target target = self.targets.get(hint.target)
        cdef Place place = None if target is None else target.places.get(hint.shard)
        cdef Pending *node = <Pending *> PyMem_Calloc(1, sizeof(Pending))
        if node == NULL:
            raise MemoryError
        if target is None:
            target = self.targets[hint.target] = Target.__new__(Target)
        if place is None:
            place = target.places[hint.shard] = Place.__new__(Place)
            place.target = hint.target
            place.shard = hint.shard
        self.dice ^= self.dice << 13
        self.dice ^= self.dice >> 7
        self.dice ^= self.dice << 17
        node.priority = <uint32_t> (self.dice >> 32)
        node.row = hint.row
        node.at = hint.at
        node.since_ns = hint.since_ns
        node.number = hint.number
        node.size = hint.size
        node.order = self.next_order
        self.next_order += 1
        node.target = hint.target
        node.place = <void *> place
        node.is_open = is_open
        node.is_aside = is_aside
        self.by_row = with_node(self.by_row, node, ROWS)
        place.root = with_node(place.root, node, ORDER)
        place.count += 1
        place.size += hint.size
        self.count += 1
        self.list_place(place)
        return node

    cdef int remove(self, Pending *node, list paid) except -1:
        """Keep a hint no longer; its number goes to those that are paid, if the node has told it."""
        cdef Place place = <Place> node.place
        cdef Target target = self.targets[place.target]
        if node.is_under_way:
            self.arrived(node)
        self.by_row = without_node(self.by_row, node, ROWS)
        place.root = without_node(place.root, node, ORDER)
        place.count -= 1
        place.size -= node.size
        self.count -= 1
        self.list_place(place)
        if place.count == 0:
            del target.places[place.shard]
            if not target.places:
                del self.targets[place.target]
        if node.number != UNKNOWN:
            paid.append(node.number)
        PyMem_Free(node)
        return 0

    cdef int set_open(self, int64_t row, Version at, bint is_open) except -1:
        """Whether a write of this row and version is open, for the hints of all targets."""
        cdef int32_t target = 0
        cdef Pending *node = self.seek(row, target, at)
        while node != NULL and node.row == row:
            if node.target > target:
                target = node.target
            else:
                if same(node.at, at):
                    node.is_open = is_open
                    self.touch(node)
                target += 1
            node = self.seek(row, target, at)
        return 0

    cdef int sent(self, Pending *node, int64_t now) except -1:
        """A hint is under way from now on."""
        cdef Target target = self.targets[node.target]
        target.under_way[<size_t> node] = None
        target.rows_sent[node.row] = target.rows_sent.get(node.row, 0) + 1
        node.sent_ns = now
        node.is_under_way = True
        return self.touch(node)

    cdef int arrived(self, Pending *node) except -1:
        """A hint that was sent is under way no longer: it was answered, or is late, or is not owed any more."""
        cdef Target target = self.targets[node.target]
        del target.under_way[<size_t> node]
        left = target.rows_sent[node.row] - 1
        if left:
            target.rows_sent[node.row] = left
        else:
            del target.rows_sent[node.row]
        node.is_under_way = False
        return self.touch(node)

    cdef int touch(self, Pending *node) except -1:
        """Take note of whether a hint waits."""
        sum_up_to((<Place> node.place).root, node)
        return self.list_place(<Place> node.place)

    cdef int list_place(self, Place place) except -1:
        """Take note of whether anything of a place waits."""
        cdef bint waits = place.root != NULL and place.root.waits
        cdef list waiting
        if waits != place.is_listed:
            waiting = (<Target> self.targets[place.target]).waiting
            if waits:
                insort(waiting, place.shard)
            else:
                waiting.remove(place.shard)
            place.is_listed = waits
        return 0

    cdef Place place_of(self, tuple place):
        """The hints of a place, or ``None`` if there are none."""
        cdef Target target = self.targets.get(place[0])
        return None if target is None else target.places.get(place[1])

    cdef list places(self):
        """(target, shard) of each that has hints, ascending."""
        return sorted([(target, shard) for target, one in self.targets.items() for shard in (<Target> one).places])

    cdef list in_order(self):
        """The addresses of all hints, by place, the oldest of each first."""
        cdef list found = []
        for place in self.places():
            collect(self.place_of(place).root, ORDER, found)
        return found

    cdef list under_way(self):
        """((target, row, version), when it was sent) of each hint that is under way, ascending."""
        cdef Pending *node
        cdef list found = []
        for one in self.targets.values():
            for address in (<Target> one).under_way:
                node = <Pending *> <size_t> address
                found.append(((node.target, node.row, number_of(node.at)), node.sent_ns))
        return sorted(found)
