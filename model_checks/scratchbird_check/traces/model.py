"""The one form into which every engine's counterexample is brought before anybody looks at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Kind = Literal["step", "message", "start", "crash", "clock", "refused"]
"""How a drawing marks a step: done, sent, started, ended, a wall clock moved, something refused."""


@dataclass(frozen=True, slots=True)
class Change:
    """One variable that a step changed, in the words of the part (``last[n1]``, ``1:0``, ``1:1``)."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Arrow:
    """A message that arrives with a step: sent at step ``from_step`` by lane ``from_lane``.

    It may be the same step: then it is the answer to what the step asks.
    """

    from_step: int
    from_lane: str
    label: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step; number 0 is the initial state."""

    number: int
    lane: str | None
    """Who took the step; ``None`` for the world (time passes)."""
    action: str
    """The action's name: ``Tick``, ``Observe``."""
    label: str
    """The step in a few words for a person: ``issues 1:1``."""
    changes: tuple[Change, ...] = ()
    arrows: tuple[Arrow, ...] = ()
    state: Mapping[str, Any] = field(default_factory=dict)
    """The whole state after the step, as plain values (for ITF and NDJSON export)."""
    wrong: bool = False
    """Whether this is the step that breaks the promise."""
    mark: str = ""
    """What stands right beside the step's dot in a drawing, a few characters: ``1:1``."""
    kind: Kind = "step"
    down: tuple[str, ...] = ()
    """The lanes that are down after the step."""
    setup: bool = False
    """A step that only sets the scene: drawings fold it away, exports keep it."""
    event: Mapping[str, Any] | None = None
    """The event as JSON (``traces/PART.py``), where the run was made by the reference or a variant of it."""
    effects: tuple[Mapping[str, Any], ...] = ()
    """What came of the event, as JSON."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A counterexample, or any run worth drawing."""

    title: str
    engine: str
    """Which tool found it: ``TLC``, ``Apalache``, ``Z3``, ``Hypothesis``, ``reference``."""
    part: str
    lanes: tuple[str, ...]
    steps: tuple[Step, ...]
    verdict: str = ""
    """One sentence that says what went wrong."""
    promise: str = ""
    """What was violated, by the name under which the engine knows it: ``HLC1``, ``HLC-1``."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The settings of the run, as JSON: what a replay needs beside the events."""
    loop_to: int | None = None
    """The step to which an endless behaviour goes back; its own last step if it stutters."""

    @property
    def wrong_step(self) -> Step | None:
        """The first step that breaks the promise, if the trace has one."""
        return next((step for step in self.steps if step.wrong), None)


# --- what the engines find, before a part's story makes a trace of it -------------------------------------


@dataclass(frozen=True, slots=True)
class Taken:
    """A state, and the step that led to it, as far as the engine names it."""

    state: Mapping[str, Any]
    action: str = ""
    node: str = ""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The states of a model's counterexample, the initial one first."""

    part: str
    engine: str
    promise: str
    """What was violated, by its name in the model; empty for a run that violates nothing."""
    states: tuple[Taken, ...]
    problem: str = ""
    """What the engine said, in its own words: ``Invariant HLC1 is violated.``"""
    loop_to: int | None = None


def finish(behaviour: Behaviour, steps: Sequence[Step], lanes: tuple[str, ...], verdict: str = "") -> Trace:
    """A trace of these steps. Where no step is known to be the wrong one, the last is."""
    told = list(steps)
    if behaviour.promise and told and not any(step.wrong for step in told):
        told[-1] = replace(told[-1], wrong=True)
    return Trace(
        title=behaviour.problem or behaviour.promise or "a run of the model",
        engine=behaviour.engine,
        part=behaviour.part,
        lanes=lanes,
        steps=tuple(told),
        verdict=verdict or behaviour.problem,
        promise=behaviour.promise,
        loop_to=behaviour.loop_to,
    )
