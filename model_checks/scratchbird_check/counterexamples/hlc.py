"""One short run for each wrong rule of the clock.

Time is in milliseconds and starts at 10. The counter is made small so that it is full soon; the bounds are
small, so that they are reached in few steps. Each run is written as moves of ``traces/reference_run.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from scratchbird_check.counterexamples.model import Counterexample, NotRefutedError
from scratchbird_check.traces.reference_run import Move, play
from scratchbird_check.variants.hlc import VARIANTS
from scratchbird_reference.hlc import (
    ZERO,
    Config,
    Crash,
    HybridLogicalClock,
    Observe,
    Reserve,
    Stamp,
    Start,
    Tick,
)
from scratchbird_reference.uuid8 import Timestamp

BASE = 10
CONFIG = Config(
    max_drift_ms=4, max_ahead_ms=2, max_skew_ms=2, reserve_ms=4, confirm_quorum=1, counters_per_ms=2
)


class BlindHop(HybridLogicalClock):
    """A proxy that hears a message, forwards its content, and keeps its own clock as it was."""

    __slots__ = ()

    def merge(self, last: Timestamp, remote: Timestamp) -> Timestamp:
        return last


@dataclass(frozen=True, slots=True)
class Script:
    """One list of moves, played by the wrong rule and by the right one."""

    promise: str
    title: str
    good: str
    """How it ends under the right rule, in one sentence."""
    moves: tuple[Move, ...]
    afterwards: tuple[Move, ...] = ()
    """Further moves under the right rule, to show that it goes on."""
    config: Config = CONFIG
    wrong_at: tuple[int, ...] = ()
    """The nodes that follow the wrong rule; all of them if empty."""


# --- moves: node, true time since the beginning, how far the wall clock is off ----------------------------


def start(node: int, at: int = 0, off: int = 0) -> Move:
    return Move(node, Start(BASE + at + off, at))


def tick(node: int, at: int = 0, off: int = 0) -> Move:
    return Move(node, Tick(BASE + at + off, at))


def reserve(node: int, at: int = 0, off: int = 0) -> Move:
    return Move(node, Reserve(BASE + at + off, at))


def send(node: int, message: str, at: int = 0, off: int = 0) -> Move:
    return Move(node, Stamp(BASE + at + off, at), sends=message)


def hear(node: int, message: str, at: int = 0, off: int = 0) -> Move:
    return Move(node, Observe(BASE + at + off, at, ZERO, node), receives=message)


def crash(node: int) -> Move:
    return Move(node, Crash())


def ready(node: int, off: int = 0) -> tuple[Move, ...]:
    """The node is up and has a bound on disk."""
    return tuple(replace(move, setup=True) for move in (start(node, off=off), reserve(node, off=off)))


def unseen(*moves: Move) -> tuple[Move, ...]:
    return tuple(replace(move, setup=True) for move in moves)


# --- the runs ---------------------------------------------------------------------------------------------

SCRIPTS: Mapping[str, Script] = {
    "no_carry": Script(
        "HLC-1",
        "A full counter that wraps to 0",
        "The full counter carries: 11:0 follows 10:1.",
        (*ready(1), tick(1), tick(1), tick(1)),
    ),
    "stall_and_reset": Script(
        "HLC-1",
        "A full counter that sleeps 1 ms and starts again from the wall clock",
        "The full counter carries into the millisecond: 12:0 follows 11:1, though the wall clock says 10.",
        (
            *ready(1, off=1),
            *ready(2),
            tick(1, off=1),
            send(1, "m", off=1),
            hear(2, "m"),
            tick(2),
            tick(2),
        ),
    ),
    "merge_ignores_counter": Script(
        "HLC-3",
        "A merge that compares milliseconds alone",
        "The merge takes the later clock, counter included: the effect 10:3 is above its cause 10:2.",
        (
            *ready(1),
            *ready(2),
            *unseen(tick(1), tick(1)),
            tick(2),
            tick(1),
            send(1, "m"),
            hear(2, "m"),
            tick(2),
        ),
        config=replace(CONFIG, counters_per_ms=4),
    ),
    "merge_resets_counter": Script(
        "HLC-3",
        "A merge that starts the counter anew",
        "The merge takes the later clock, counter included: the effect 10:3 is above its cause 10:2.",
        (*ready(1), *ready(2), *unseen(tick(1), tick(1)), tick(1), send(1, "m"), hear(2, "m"), tick(2)),
        config=replace(CONFIG, counters_per_ms=4),
    ),
    "no_remote_bound": Script(
        "HLC-4 remote",
        "A node from the future, merged unchecked",
        "n2 refuses the clock from the future before it stores anything of it, and goes on with its own.",
        (*ready(1, off=80), *ready(2), tick(1, off=80), send(1, "m", off=80), hear(2, "m")),
        (tick(2),),
        config=replace(CONFIG, reserve_ms=100),
    ),
    "merges_at_once": Script(
        "HLC-4 silenced",
        "A fast node, within the remote bound, merged at once",
        "n1 keeps the message until its clock may be merged, issues ids meanwhile, and is never silenced.",
        (*ready(1), *ready(2, off=4), tick(2, off=4), send(2, "m", off=4), hear(1, "m")),
        (tick(1), hear(1, "m", at=3), tick(1, at=3)),
    ),
    "early_by_belief": Script(
        "HLC-4 silenced",
        "A fast node, heard by one whose wall clock has stepped back a little",
        "n1 judges by its wall clock, as its ticks are judged: the message waits, and n1 goes on issuing.",
        (*ready(1, off=2), *ready(2, off=4), tick(2, off=4), send(2, "m", off=4), hear(1, "m")),
        (tick(1), hear(1, "m", at=3), tick(1, at=3)),
    ),
    "one_bound": Script(
        "HLC-4 healthy",
        "One bound for what a node issues and what it merges",
        "The own bound is narrower by the skew of healthy clocks: what a burst issues waits, and is merged.",
        (
            *ready(1, off=1),
            *ready(2),
            tick(1, off=1),
            tick(1, off=1),
            tick(1, off=1),
            send(1, "m", off=1),
            hear(2, "m"),
        ),
        (hear(2, "m", at=2),),
        config=Config(
            max_drift_ms=2, max_ahead_ms=1, max_skew_ms=1, reserve_ms=4, confirm_quorum=1, counters_per_ms=1
        ),
    ),
    "no_upper_bound": Script(
        "HLC-5",
        "A restart that trusts the wall clock",
        "The clock starts at the durable bound, waits until the wall clock is near it, and goes on above it.",
        (*unseen(start(1)), tick(1), tick(1), crash(1), start(1, at=1, off=-3), tick(1, at=1, off=-3)),
        (tick(1, at=5, off=-3),),
    ),
    "bound_not_merged": Script(
        "HLC-5",
        "A durable bound that covers issued but not merged timestamps",
        "What is merged is under the durable bound too, so the restart is above everything that n2 had seen.",
        (
            *ready(1, off=1),
            *ready(2),
            *unseen(tick(1, off=1)),
            tick(1, off=1),
            send(1, "m", off=1),
            hear(2, "m"),
            crash(2),
            start(2),
            tick(2),
        ),
        (tick(2, at=1),),
        config=replace(CONFIG, reserve_ms=1),
    ),
    "believes_wall": Script(
        "HLC-4 healthy",
        "A node that judges others by a wall clock that was set back",
        "The monotonic clock remembers what the time is: n2 goes on hearing its peers.",
        (*ready(1), *ready(2), tick(1), send(1, "m"), hear(2, "m", off=-6)),
    ),
    "eager_reserve": Script(
        "HLC-5 bound",
        "A bound that is reserved anew at each start",
        "Where a tick would be refused there is no reservation either: the bound stays where it was.",
        (start(1), reserve(1), crash(1), start(1), reserve(1)),
        config=replace(CONFIG, reserve_ms=8),
    ),
    "carries_unchecked": Script(
        "HLC-4 healthy",
        "A message sent right after a restart",
        "n1 holds the message back until its clock is one that healthy peers accept.",
        (*ready(1), *ready(2), tick(1), crash(1), start(1), send(1, "m"), hear(2, "m")),
        (send(1, "later", at=6), hear(2, "later", at=7)),
        config=replace(CONFIG, reserve_ms=8),
    ),
    "blind_hop": Script(
        "HLC-3",
        "A proxy that forwards a message without merging its clock",
        "Every hop merges and carries the clock: the effect 11:1 at n3 is above its cause 11:0 at n1.",
        (
            *ready(1, off=1),
            *ready(2),
            *ready(3),
            *unseen(tick(2)),
            tick(1, off=1),
            send(1, "m1", off=1),
            hear(2, "m1"),
            send(2, "m2"),
            hear(3, "m2"),
            tick(3),
        ),
        wrong_at=(2,),
    ),
}

_RULES: Mapping[str, type[HybridLogicalClock]] = {**VARIANTS, "blind_hop": BlindHop}


def counterexample(variant: str) -> Counterexample:
    """Play the run of a variant under the wrong rule and under the right one.

    :raises NotRefutedError: if the wrong rule keeps its promise, or the right one breaks any.
    """
    script = SCRIPTS[variant]
    right = HybridLogicalClock(script.config)
    wrong = _RULES[variant](script.config)

    def rules(node: int) -> HybridLogicalClock:
        return wrong if not script.wrong_at or node in script.wrong_at else right

    setting = partial(play, config=script.config, base=BASE)
    refuted = setting(script.moves, rules=rules, title=f"{script.title} ({variant})", promise=script.promise)
    if refuted.promise != script.promise:
        raise NotRefutedError(f"variant {variant!r} keeps {script.promise} in the run that should refute it")
    corrected = setting(
        (*script.moves, *script.afterwards),
        rules=lambda _: right,
        title="The same events under the right rule",
        good=script.good,
    )
    if corrected.promise:
        raise NotRefutedError(f"the right rule breaks {corrected.promise} in the run of variant {variant!r}")
    return Counterexample(variant, script.promise, refuted, corrected)


COUNTEREXAMPLES: Mapping[str, Callable[[], Counterexample]] = {
    variant: partial(counterexample, variant) for variant in SCRIPTS
}
