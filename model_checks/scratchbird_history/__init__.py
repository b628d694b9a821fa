"""Is a recorded history of reads, writes and compare-and-sets one that the promised consistency allows?

The package stands alone: it needs the standard library and nothing else. ``docs/history.md`` tells what the
models mean, how the search works and where it comes from.
"""
