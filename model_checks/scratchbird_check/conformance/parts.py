"""The parts that an implementation can be tried in, without what trying needs."""

PARTS = ("hlc", "uuid8", "quorum", "handoff", "merkle_forest")
