"""A whole run, and what its outcomes say together of each property.

The rules that keep a green table honest: anything unexpected makes the property unexpected; a check that
did not run is never counted as passed; and a property has its verdict only when a check gave exactly that
verdict, not when some weaker check happened to succeed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scratchbird_check.ledger import Property, missing_evidence
from scratchbird_check.manifest import Check
from scratchbird_check.verdicts import Outcome, Verdict

_STRENGTH = (Verdict.PROVED, Verdict.CHECKED, Verdict.COMPUTED, Verdict.MEASURED)


@dataclass(frozen=True, slots=True)
class PropertyResult:
    """What a run says of one property."""

    promise: Property
    verdict: Verdict
    """The expected verdict, a weaker one (then ``note`` says what is missing), *unexpected* or *not run*."""
    outcomes: tuple[Outcome, ...]
    """Of every check of this run that is evidence for it."""
    note: str = ""
    """What is missing or wrong, in a few words."""

    @property
    def as_expected(self) -> bool:
        """Whether the claim has the verdict that the ledger expects, with none of its evidence missing."""
        return self.verdict is self.promise.verdict and not self.note

    @property
    def seconds(self) -> float:
        return sum(outcome.seconds for outcome in self.outcomes)

    @property
    def refutations(self) -> tuple[Outcome, ...]:
        """The outcomes that refute a variant of it."""
        return tuple(outcome for outcome in self.outcomes if outcome.verdict is Verdict.REFUTED)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the checker, as the reports see it."""

    version: str
    """Of this package."""
    profile: str
    seed: int
    started: str
    """UTC, ISO 8601."""
    seconds: float
    machine: str
    """Operating system, processor, cores, Python."""
    checks: tuple[Check, ...]
    """Those that were selected, in the order of the manifest."""
    outcomes: tuple[Outcome, ...]
    """One for each selected check, in the same order."""
    properties: tuple[PropertyResult, ...]
    """In the order of the ledger."""
    tools: dict[str, str] = field(default_factory=dict)
    """Which version of which tool was found where, by tool."""
    folder: Path | None = None
    """Where the logs are, if any were kept."""

    @property
    def unexpected(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.verdict is Verdict.UNEXPECTED)

    @property
    def not_run(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.verdict is Verdict.NOT_RUN)

    @property
    def passed(self) -> bool:
        """Nothing was unexpected. What was not run is no pass either: see :attr:`not_run`."""
        judged = [outcome.verdict for outcome in self.outcomes]
        judged += [item.verdict for item in self.properties]
        return Verdict.UNEXPECTED not in judged


def judge(item: Property, outcomes: Sequence[Outcome], manifest: Sequence[Check]) -> PropertyResult:
    """Derive the verdict of a property from the outcomes of a run.

    :param manifest: all checks, also those that were not selected: a property that no check of the manifest
        can give its verdict is unexpected, whatever was run.
    """
    mine = tuple(outcome for outcome in outcomes if item.id in outcome.properties)
    bad = [outcome.check for outcome in mine if outcome.verdict is Verdict.UNEXPECTED]
    if bad:
        return PropertyResult(item, Verdict.UNEXPECTED, mine, f"unexpected: {_some(bad)}")
    if gap := missing_evidence(item, manifest):
        return PropertyResult(item, Verdict.UNEXPECTED, mine, gap)
    left = [outcome.check for outcome in mine if outcome.verdict is Verdict.NOT_RUN]
    note = f"not run: {_some(left)}" if left else ""
    found = {outcome.verdict for outcome in mine} - {Verdict.NOT_RUN}
    if item.verdict in found:
        variants = {check.id: check.variant for check in manifest}
        refuted = {variants.get(outcome.check) for outcome in mine if outcome.verdict is Verdict.REFUTED}
        if not left and (open_ := [name for name in item.variants if name not in refuted]):
            note = f"variant not tried in this run: {_some(open_)}"
        return PropertyResult(item, item.verdict, mine, note)
    if item.verdict is Verdict.REFUTED or not found - {Verdict.REFUTED}:
        if not found:
            none = "none of its checks is in this run"
        elif item.verdict is Verdict.REFUTED:
            none = "no variant of it was tried in this run"
        else:
            none = "only variants were tried in this run"
        return PropertyResult(item, Verdict.NOT_RUN, mine, note or none)
    weaker = next(verdict for verdict in _STRENGTH if verdict in found)
    missing = f"not {item.verdict.value} in this run"
    return PropertyResult(item, weaker, mine, f"{missing}; {note}" if note else missing)


def _some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - 2} more" if len(names) > 3 else ""
    return ", ".join(names[:2] if more else names) + more
