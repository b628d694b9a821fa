"""What is wrong with a run of the forest part: what is missed, found for nothing, or there again."""

from __future__ import annotations

from scratchbird_check.traces import handoff_words, quorum_words
from scratchbird_check.traces import merkle_forest_words as words
from scratchbird_check.traces.merkle_forest_world import REPLICAS, World, shown_ms
from scratchbird_check.traces.quorum_lines import value_of
from scratchbird_reference.quorum_messages import Held


def through(world: World, lesson: str, promise: str) -> str:
    """An exchange that succeeded has brought what either side held to the other one.

    Rule MERKLE_FOREST.R17.
    """
    for pair, exchange in world.succeeded:
        if found := world.missing(pair, exchange):
            holder, other, row, held = found
            return words.missed(holder, other, words.of_row(_told(held), row), lesson, promise)
    return ""


def peace(world: World, lesson: str, promise: str) -> str:
    """Two exchanges of which neither side needs anything do not both find a difference.

    Rules MERKLE_FOREST.R1, MERKLE_FOREST.R14.
    """
    for (one, other), found in world.needless.items():
        if len(found) > 1:
            return words.needless(one, other, found[-1], lesson, promise)
    return ""


def agree(world: World, lesson: str, promise: str) -> str:
    """Replicas that have settled hold the same past (rule HANDOFF.R11)."""
    settled = [name for name in REPLICAS if world.floor(name)]
    for name in settled:
        for other in settled:
            held, theirs = world.held(name, 1), world.held(other, 1)
            is_past = max(held.version, theirs.version) < world.floor(name)
            if is_past and held.value is not None and held != theirs:
                return handoff_words.disagree(name, _told(held), other, promise)
    return ""


def past(world: World, lesson: str, promise: str) -> str:
    """What one that has settled shows below its floor, the others hold that hold nothing newer.

    Rule MERKLE_FOREST.R8.
    """
    settled = [name for name in REPLICAS if world.floor(name)]
    for name in settled:
        for other in settled:
            shown, floor, theirs = world.shown(name, 1), world.floor(name), world.held(other, 1)
            if 0 < shown < floor and theirs.version < floor and theirs.version != shown:
                what = _told(world.written[shown][1])
                return words.shows_past(name, what, shown_ms(floor), other, _told(theirs), promise)
    return ""


def _told(held: Held) -> str:
    return quorum_words.held(value_of(held), shown_ms(held.version))
