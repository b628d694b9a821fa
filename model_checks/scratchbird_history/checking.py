"""The answer on one history: yes, no with what cannot be explained, or unknown with what was used up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from time import monotonic
from types import ModuleType

from scratchbird_history import plain
from scratchbird_history.encoding import Programs, Timeline, code, programs, timeline
from scratchbird_history.limits import Found, Limits
from scratchbird_history.models import Model
from scratchbird_history.operations import History, Operation, by_key
from scratchbird_history.sessions import judge
from scratchbird_history.shortest import shortest

try:
    from scratchbird_history import search

    fastest: ModuleType = search
except ImportError:  # No C compiler at the installation: the same search, slower.
    fastest = plain
COMPILED = fastest is not plain

SHRINKING = 5.0
"""Seconds for the search of the fewest operations that cannot be explained, once the answer is no."""
QUICK = 1_000_000
"""Steps of a first attempt, after which it is worth while to ask something easier."""
MOST_NAMED = 6
"""Operations that a sentence names."""


class Answer(Enum):
    """Yes, no, or not known within the limits."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Engine:
    """Who searches: the compiled code, or Python."""

    linearizable: Callable[[Timeline, Limits], Found] = fastest.linearizable
    sequential: Callable[[Programs, Limits], Found] = fastest.sequential


IN_PYTHON = Engine(plain.linearizable, plain.sequential)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer and the reason.

    :ivar key: the key that cannot be explained; None if it takes several or there is none.
    :ivar core: operations that no order explains, even if every other may have taken effect or not.
    :ivar minimal: whether the core without any one of its operations could be explained.
    :ivar sentence: why not, or why it is unknown.
    :ivar steps: operations tried in some place, until the answer was known.
    :ivar bytes: the most memory that the search of one key took.
    """

    answer: Answer
    model: Model
    key: str | None = None
    core: tuple[Operation, ...] = ()
    minimal: bool = False
    sentence: str = ""
    steps: int = 0
    bytes: int = 0


def check(
    history: History,
    model: Model = Model.LINEARIZABLE,
    limits: Limits | None = None,
    engine: Engine | None = None,
    *,
    shrinking: float = SHRINKING,
) -> Verdict:
    """Hold the history against the model.

    :param limits: for the whole question; the memory is that of one key, one after another.
    :param shrinking: seconds for the fewest operations; with 0 the core is the first found, below 0 none is.
    """
    limits, engine = limits or Limits(), engine or Engine()
    if model is Model.LINEARIZABLE:
        parts = list(by_key(history.operations).items())
    elif model is Model.SEQUENTIAL:
        parts = [("", list(history.operations))] if history.operations else []
    else:
        return _sessions(history, model)
    steps = most = 0
    if model is Model.SEQUENTIAL:
        # Real time contains each process's order, and linearizability is local: a quick yes, if it is one.
        few = replace(limits, steps=min(limits.steps // 2, QUICK))
        quick = check(history, Model.LINEARIZABLE, few, engine, shrinking=-1.0)
        if quick.answer is Answer.YES:
            return replace(quick, model=model)
        steps, most = quick.steps, quick.bytes
    unknown: Verdict | None = None
    for key, operations in parts:
        few = replace(limits, steps=min(limits.steps - steps, QUICK))
        found = _search(operations, history.initial, model, few, engine)
        steps, most = steps + found.steps, max(most, found.bytes)
        contradiction = _contradiction(operations, history.initial) if found.answer is None else ()
        if contradiction:
            found = Found(False, None, 0, 0, -1)
        elif found.exhausted == "steps" and steps < limits.steps:
            left = replace(limits, steps=limits.steps - steps)
            found = _search(operations, history.initial, model, left, engine)
            steps, most = steps + found.steps, max(most, found.bytes)
        keys = {operation.key for operation in operations}
        name = key if model is Model.LINEARIZABLE else next(iter(keys)) if len(keys) == 1 else None
        if found.answer is False:
            if shrinking < 0:
                return Verdict(Answer.NO, model, name, steps=steps, bytes=most)
            start = contradiction or operations
            core, minimal = _core(start, operations, history.initial, model, limits, engine, found, shrinking)
            return Verdict(Answer.NO, model, name, core, minimal, _why(core), steps, most)
        if found.answer is None and unknown is None:
            unknown = Verdict(Answer.UNKNOWN, model, name, sentence=_used_up(found, limits))
    if unknown is not None:
        return replace(unknown, steps=steps, bytes=most)
    return Verdict(Answer.YES, model, steps=steps, bytes=most)


def _search(
    operations: Sequence[Operation],
    initial: str,
    model: Model,
    limits: Limits,
    engine: Engine,
    core: Collection[Operation] | None = None,
) -> Found:
    coded = code(operations, initial, core)
    if model is Model.LINEARIZABLE:
        return engine.linearizable(timeline(coded), limits)
    return engine.sequential(programs(coded), limits)


def _contradiction(operations: Sequence[Operation], initial: str) -> tuple[Operation, ...]:
    """Operations on one key that break a session guarantee, if any do.

    Both models imply both guarantees, which are decided quickly: a search that takes long need not go on.
    """
    for mine in by_key(operations).values():
        for monotonic_reads in (True, False):
            judged = judge(mine, initial, monotonic=monotonic_reads)
            if judged.answer is False:
                return judged.core
    return ()


def _core(
    candidates: Sequence[Operation],
    operations: list[Operation],
    initial: str,
    model: Model,
    limits: Limits,
    engine: Engine,
    found: Found,
    seconds: float,
) -> tuple[tuple[Operation, ...], bool]:
    deadline = monotonic() + seconds
    small = Limits(limits.bytes, 1_000_000, min(deadline, limits.deadline))

    def refuted(core: Sequence[Operation]) -> bool | None:
        if monotonic() > small.deadline:
            return None
        answer = _search(operations, initial, model, small, engine, frozenset(core)).answer
        return None if answer is None else not answer

    start = [operation for operation in candidates if operation.counts and operation.returned is not None]
    if found.far >= 0:
        # The search of one key saw how far it gets: what returned up to there cannot be explained already.
        coded = code(operations, initial)
        event = timeline(coded).events[found.far]
        end = coded.chosen[event >> 1].returned
        start = [one for one in start if end is not None and one.returned is not None and one.returned <= end]
    core, minimal = shortest(start, refuted)
    return tuple(core), minimal


def _sessions(history: History, model: Model) -> Verdict:
    unknown: Verdict | None = None
    for key, operations in by_key(history.operations).items():
        judged = judge(operations, history.initial, monotonic=model is Model.MONOTONIC_READS)
        if judged.answer is False:
            return Verdict(Answer.NO, model, key, judged.core, False, judged.sentence)
        if judged.answer is None and unknown is None:
            unknown = Verdict(Answer.UNKNOWN, model, key, sentence=judged.sentence)
    return unknown or Verdict(Answer.YES, model)


def _why(core: Sequence[Operation]) -> str:
    reads = [one for one in core if one.observed is not None]
    if not reads:
        return "no order of these operations gives what was observed"
    last = max(reads, key=lambda one: one.returned or 0)
    if len(core) == 1:
        return (
            f"{last.label()} of process {last.process}: nothing that could explain {last.observed} was there"
        )
    if len(core) > MOST_NAMED:
        return f"{last.label()} of process {last.process} fits into no order with {len(core) - 1} others"
    others = ", ".join(f"{one.label()} of process {one.process}" for one in core if one is not last)
    return f"{last.label()} of process {last.process} fits into no order with {others}"


def _used_up(found: Found, limits: Limits) -> str:
    what = {
        "steps": (f"{limits.steps} steps were used up", "--steps"),
        "memory": (f"{limits.bytes >> 20} MiB of memory were used up", "--memory"),
        "seconds": ("the time was used up", "--seconds"),
    }[found.exhausted or "steps"]
    return f"{what[0]} before the answer was known: give more with {what[1]}, or record fewer clients at once"
