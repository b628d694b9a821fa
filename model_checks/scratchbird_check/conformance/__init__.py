"""Replay of traces, the vectors, and the kit for implementations in any language."""
