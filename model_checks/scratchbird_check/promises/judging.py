"""Whether what clients saw keeps a promise: every judgement is one of the history checker."""

from __future__ import annotations

from collections.abc import Callable

from scratchbird_history.checking import Answer, check
from scratchbird_history.models import Model
from scratchbird_history.operations import History, Kind

Judge = Callable[[History], bool]


def _of(model: Model) -> Judge:
    def judge(history: History) -> bool:
        found = check(history, model).answer
        assert found is not Answer.UNKNOWN
        return found is Answer.YES

    return judge


linearizable = _of(Model.LINEARIZABLE)
read_your_writes = _of(Model.READ_YOUR_WRITES)
monotonic_reads = _of(Model.MONOTONIC_READS)


def regular(history: History) -> bool:
    """Each read by itself has a place among all writes (Shao, Welch, Pierce and Lee, SIAM J. Computing 2011).

    So a read returns the last write that ended before it, or one that was under way, and two reads need not
    agree on which of these came first.
    """
    writes = [item for item in history.operations if item.kind is not Kind.READ]
    reads = [item for item in history.operations if item.kind is Kind.READ]
    return all(
        linearizable(History(tuple(sorted([*writes, one], key=lambda item: item.invoked)), history.initial))
        for one in reads
    )
