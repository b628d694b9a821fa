"""Everything that touches the outside world: files, sockets, processes.

So far: :mod:`scratchbird_node.bound_store`, the file in which a clock keeps its upper bound;
:mod:`scratchbird_node.files`, the one door to the disk; and behind it :mod:`scratchbird_node.hint_store`, the
hints for each target and the repairs it is owed, and :mod:`scratchbird_node.forest_store`, the sealed windows
of the Merkle forest and their amendments.
"""
