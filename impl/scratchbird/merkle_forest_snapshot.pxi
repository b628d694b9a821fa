# Part of merkle_forest.pyx: what a forest showed at one moment.


@cython.final
@cython.no_gc
cdef class Snapshot:
    """What a forest showed at one moment, each window with its digest: nothing that happens later changes it.

    It is made by :meth:`ForestCore.snapshot`. A window is copied when it changes for the first time after that, if the
    snapshot is still there then.
    """

    @property
    def stable(self):
        """The stable time, a 128-bit number."""
        return number_of(self.stable_at)

    @property
    def floor(self):
        """The floor, a 128-bit number."""
        return number_of(self.floor_at)

    @property
    def windows(self):
        """The numbers of the windows that have entries, ascending."""
        return sorted(self.digests)

    def told(self):
        """Each window and its digest, ascending, packed: 8 bytes of the number, in network byte order, and 32."""
        if self.packed is None:
            self.packed = packed_digests(self.digests)
        return self.packed

    def tree(self, window):
        """The tree of a window; ``None`` if it has no entries. It belongs to the forest: look at it only."""
        return self.trees.get(window) if window in self.digests else None


cdef bytes packed_digests(dict digests):
    cdef list parts = []
    for window in sorted(digests):
        parts.append((<object> window).to_bytes(8, "big"))
        parts.append(digests[window])
    return b"".join(parts)
