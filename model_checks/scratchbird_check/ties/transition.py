"""The tie between proof and code: the formulas that the proofs reason about are the steps of the reference.

A proof about formulas says nothing about code. So the transition relation of ``scratchbird_proofs.hlc_steps``
judges steps that the reference took in random runs, and it must

* accept every one of them, and find that exactly the events are impossible at which the reference raises;
* have met every case of every kind of event;
* reject every step in which one value is altered, so that it says all there is to say;
* reject every step of a wrong rule (``variants/hlc.py``) that differs from the reference's, and each wrong
  rule must differ somewhere; the formulas of that wrong rule must accept it.

The relation is compiled to Python for speed, and held to Z3's own evaluation on some samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Any

import z3

from scratchbird_check.context import Context
from scratchbird_check.manifest import Check
from scratchbird_check.ties import compiled
from scratchbird_check.ties.sampling import PEERS, Sample, samples
from scratchbird_check.variants.hlc import VARIANTS
from scratchbird_check.verdicts import Outcome, Verdict
from scratchbird_proofs import hlc_variants
from scratchbird_proofs.hlc_rules import (
    KINDS,
    NONE,
    OUTCOMES,
    Rules,
    Settings,
    any_effects,
    any_event,
    any_node,
    settings,
    values,
)
from scratchbird_proofs.hlc_steps import Case, applies, cases, enabled
from scratchbird_proofs.theorem import Formula, Term
from scratchbird_reference.hlc import (
    Config,
    Confirm,
    Confirmed,
    Deferred,
    Effects,
    Event,
    Issued,
    Merged,
    Observe,
    Persist,
    Reason,
    Refused,
    Retire,
    Stamped,
    State,
    Tick,
)
from scratchbird_reference.uuid8 import MAX_COUNTER, Timestamp

IMPOSSIBLE = "impossible"
_OUTCOME = {name: number for number, name in enumerate(OUTCOMES)}
_REASON = {reason: _OUTCOME[reason.value] for reason in Reason}

Values = tuple[Any, ...]
FIRST = 3
"""How many steps of each case are also given to Z3."""


# --- the relation as functions ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Judge:
    """The relation for one kind of event."""

    case: Callable[..., int]
    """Which case applies to (settings, before, event, effects, after), -1 if none does."""
    names: tuple[str, ...]
    """The cases, by position."""
    possible: Callable[..., int]
    """0 if the event is possible, -1 if it is not."""
    formulas: tuple[Formula, ...]
    """What ``case`` was made of."""
    arguments: tuple[Term, ...]
    """The names in it, in the order of the function's arguments."""


@cache
def judge(kind: str, variant: str = "") -> Judge:
    """Compile the relation for a kind of event: of the right rules, or of a wrong one."""
    configured, before, after = settings(), any_node("before"), any_node("after")
    effects, drawn = any_effects("effects"), any_event("event")
    asked = [(z3.Int(f"peer_{slot}"), z3.Int(f"peer_wall_{slot}")) for slot in range(PEERS)]
    event = replace(
        drawn, agreeing=_agreeing(asked, drawn.wall, configured), asks_itself=_among(asked, before)
    )
    rules = hlc_variants.VARIANTS[variant](configured) if variant else Rules(configured)
    ways: Sequence[Case] = cases(kind, rules, before, event)
    formulas = tuple(applies(case, effects, after) for case in ways)
    slots = [term for pair in asked for term in pair]
    drawn_values = [term for term in values(drawn) if not term.eq(drawn.agreeing)]
    drawn_values = [term for term in drawn_values if not term.eq(drawn.asks_itself)]
    arguments = (
        *values(configured),
        *values(before),
        *drawn_values,
        *slots,
        *values(effects),
        *values(after),
    )
    names = [str(term) for term in arguments]
    return Judge(
        compiled.function(names, formulas),
        tuple(case.name for case in ways),
        compiled.function(names, [enabled(kind, before, event)]),
        formulas,
        arguments,
    )


def _agreeing(asked: Sequence[tuple[Term, Term]], wall: Term, configured: Settings) -> Term:
    def agrees(peer: Term, theirs: Term) -> Formula:
        near = z3.And(theirs - wall <= configured.max_skew, wall - theirs <= configured.max_skew)
        return z3.If(z3.And(peer != NONE, near), z3.IntVal(1), z3.IntVal(0))

    return z3.Sum([agrees(*pair) for pair in asked])


def _among(asked: Sequence[tuple[Term, Term]], node: Any) -> Formula:
    return z3.Or(*(peer == node.node_id for peer, _ in asked))


# --- the reference's values as the formulas' --------------------------------------------------------------


def pack(timestamp: Timestamp) -> int:
    return timestamp[0] * (MAX_COUNTER + 1) + timestamp[1]


def config_values(config: Config) -> Values:
    return (
        config.max_drift_ms,
        config.max_ahead_ms,
        config.max_skew_ms,
        config.reserve_ms,
        config.confirm_quorum,
    )


def state_values(state: State) -> Values:
    durable, volatile = state.durable, state.volatile
    kept = (durable.node_id, frozenset(durable.retired), pack(durable.bound))
    if volatile is None:
        return (*kept, False, 0, 0, False, 0, False, False)
    promised = volatile.promised
    return (
        *kept,
        True,
        pack(volatile.last),
        volatile.anchor,
        promised is not None,
        0 if promised is None else pack(promised),
        volatile.suspended,
        volatile.stopping,
    )


def event_values(event: Event) -> Values:
    """Wall, monotonic, remote, sender, random, operator, new node id, then the peers of a confirmation."""
    remote, sender, random, operator, new = 0, 1, 0, False, 0
    peers: tuple[tuple[int, int], ...] = ()
    match event:
        case Observe():
            remote, sender = pack(event.remote), event.sender
        case Tick():
            random = event.random
        case Confirm():
            operator, peers = event.operator, event.peers
        case Retire():
            new = event.new_node_id
    slots = [number for peer in peers for number in peer]
    slots += [NONE] * (2 * PEERS - len(slots))
    wall, monotonic = getattr(event, "wall", 0), getattr(event, "monotonic", 0)
    return (wall, monotonic, remote, sender, random, operator, new, *slots)


def effect_values(effects: Effects) -> Values:
    """Outcome, timestamp, node id, random, asked, retry after, wall, remote."""
    outcome, timestamp, node, random, asked, retry, wall, remote = _OUTCOME["nothing"], *(NONE,) * 7
    for effect in effects:
        match effect:
            case Issued(id=made):
                outcome, timestamp = _OUTCOME["issued"], pack(made.timestamp)
                node, random = made.node_id, made.random
            case Merged(last=last):
                outcome, timestamp = _OUTCOME["merged"], pack(last)
            case Stamped(clock=clock):
                outcome, timestamp = _OUTCOME["stamped"], pack(clock)
            case Confirmed():
                outcome = _OUTCOME["confirmed"]
            case Persist(bound=bound):
                asked = pack(bound)
            case Deferred(needs=needs):
                outcome, timestamp = _OUTCOME["deferred"], pack(needs)
            case Refused():
                outcome = _REASON[effect.reason]
                retry = NONE if effect.retry_after_ms is None else effect.retry_after_ms
                wall = NONE if effect.wall is None else effect.wall
                remote = NONE if effect.remote is None else pack(effect.remote)
                node = NONE if effect.sender is None else effect.sender
    return (outcome, timestamp, node, random, asked, retry, wall, remote)


def given(sample: Sample) -> Values:
    """Everything before the step's outcome."""
    return (*config_values(sample.config), *state_values(sample.before), *event_values(sample.event))


def made(effects: Effects, after: State) -> Values:
    """The step's outcome."""
    return (*effect_values(effects), *state_values(after))


def kind_of(event: Event) -> str:
    return type(event).__name__.lower()


# --- the check --------------------------------------------------------------------------------------------


class Tie:
    """What was counted, and what did not fit."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.met: Counter[tuple[str, str]] = Counter()
        self.rejected: Counter[str] = Counter()
        self.altered = 0
        self.evaluated = 0
        self.problems: list[str] = []

    def step(self, number: int, sample: Sample) -> None:
        """Judge one sample, some alteration of it, and one variant's step from the same state."""
        kind = kind_of(sample.event)
        judged, arguments = judge(kind), given(sample)
        if sample.effects is None:
            if judged.possible(*arguments, *_nothing_made(sample)) != -1:
                self._problem("the reference raises where the formulas allow a step", sample)
            self.met[kind, IMPOSSIBLE] += 1
            return
        outcome = made(sample.effects, sample.after)
        case = judged.case(*arguments, *outcome)
        if case < 0 or judged.possible(*arguments, *outcome) != 0:
            self._problem("the formulas reject a step of the reference", sample)
            return
        self.met[kind, judged.names[case]] += 1
        first = self.met[kind, judged.names[case]] <= FIRST
        if first or number % 5 == 0:
            changed = (*arguments, *self._altered(outcome))
            self._alter(judged, changed, sample)
            if first:
                self._evaluate(judged, (*arguments, *outcome), sample)
                self._evaluate(judged, changed, sample)
        variant = list(VARIANTS)[number % len(VARIANTS)]
        self._variant(variant, kind, arguments, outcome, sample)

    def _altered(self, outcome: Values) -> Values:
        """The same values but for one."""
        place = self.random.randrange(len(outcome))
        return (*outcome[:place], _other(outcome[place], self.random), *outcome[place + 1 :])

    def _alter(self, judged: Judge, changed: Values, sample: Sample) -> None:
        self.altered += 1
        if judged.case(*changed) >= 0:
            self._problem(f"the formulas accept a step with one value altered, {changed}", sample)

    def _evaluate(self, judged: Judge, arguments: Values, sample: Sample) -> None:
        """Whether Z3 itself gives the compiled function's answer."""
        self.evaluated += 1
        pairs = [
            (name, _literal(value, name)) for name, value in zip(judged.arguments, arguments, strict=True)
        ]
        answers = [z3.is_true(z3.simplify(z3.substitute(item, *pairs))) for item in judged.formulas]
        if judged.case(*arguments) != (answers.index(True) if True in answers else -1):
            self._problem("the compiled formula and Z3 disagree", sample)

    def _variant(self, name: str, kind: str, arguments: Values, outcome: Values, sample: Sample) -> None:
        after, effects = VARIANTS[name](sample.config).step(sample.before, sample.event)
        other = made(effects, after)
        if other == outcome:
            return
        if judge(kind).case(*arguments, *other) >= 0:
            self._problem(f"the formulas accept a step of {name}", sample)
        if judge(kind, name).case(*arguments, *other) < 0:
            self._problem(f"the formulas of {name} reject its own step", sample)
        self.rejected[name] += 1

    def _problem(self, what: str, sample: Sample) -> None:
        if len(self.problems) < 20:
            self.problems.append(f"{what}: {sample}")

    def missed(self) -> list[str]:
        """Cases that no step met, and variants that no step differed from."""
        wanted = [(kind, name) for kind in KINDS for name in judge(kind).names]
        wanted += [
            (kind, IMPOSSIBLE) for kind in ("start", "tick", "persisted", "crash", "retire", "confirm")
        ]
        unmet = [f"{kind}, {name}" for kind, name in wanted if not self.met[kind, name]]
        return [*unmet, *(f"variant {name}" for name in VARIANTS if not self.rejected[name])]


def _other(value: Any, random: Random) -> Any:
    """A value that is not this one."""
    if isinstance(value, frozenset):
        return value ^ {random.randint(1, 9)}
    return not value if isinstance(value, bool) else value + random.choice((-1, 1))


def _nothing_made(sample: Sample) -> Values:
    return made((), sample.before)


def _literal(value: Any, name: Term) -> Term:
    if isinstance(value, bool):
        return z3.BoolVal(value)
    if isinstance(value, frozenset):
        members = z3.K(name.sort().domain(), z3.BoolVal(False))
        for member in sorted(value):
            members = z3.Store(members, member, z3.BoolVal(True))
        return members
    return z3.IntVal(value)


def run(check: Check, context: Context) -> Outcome:
    """Judge ``options.steps`` sampled steps."""
    wanted = int(check.options["steps"])
    tie = Tie(context.seed)
    for number, sample in enumerate(samples(context.seed, wanted)):
        if number % 10_000 == 0:
            context.progress(f"{number:,} events, {wanted:,} steps wanted")
        tie.step(number, sample)
    rejected = sum(tie.rejected.values())
    figures: dict[str, int | float | str] = {
        "steps": wanted,
        "cases": len(tie.met),
        "altered steps rejected": tie.altered,
        "variant steps rejected": rejected,
        "compared with Z3": tie.evaluated,
        **{f"rejected {name}": count for name, count in sorted(tie.rejected.items())},
        **{f"{kind}, {name}": count for (kind, name), count in sorted(tie.met.items())},
    }
    problems = [*tie.problems, *(f"never met: {name}" for name in tie.missed())]
    if problems:
        log = context.workdir / f"{check.id}.txt"
        log.write_text("\n".join(problems) + "\n", encoding="utf-8")
        detail = f"{len(problems)} problems, the first: {problems[0]}"
        return Outcome(check.id, Verdict.UNEXPECTED, detail, check.properties, figures=figures, log=log)
    detail = (
        f"{wanted:,} steps accepted in all {len(tie.met)} cases; rejected: {tie.altered:,} altered steps, "
        f"{rejected:,} steps of {len(tie.rejected)} wrong rules"
    )
    return Outcome(check.id, Verdict.CHECKED, detail, check.properties, figures=figures)
