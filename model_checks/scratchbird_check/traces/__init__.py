"""Runs written down: the JSON form of events, effects and states, and the trace form for people."""
