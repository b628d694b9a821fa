"""Everything that touches the outside world: files, sockets, processes.

So far: :mod:`scratchbird_node.bound_store`, the file in which a clock keeps its upper bound.
"""
