"""One short run for each way in which a wrong rule of the forest goes wrong.

Each is written as moves of ``traces/merkle_forest_moves.py`` and played by real replicas, which exchange with
real messages; versions and times are milliseconds, a window is 10 of them and is sealed 5 after its end. What
happens is judged in ``traces/merkle_forest_judge.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from scratchbird_check.counterexamples.model import Counterexample, NotRefutedError
from scratchbird_check.machines.merkle_forest_shapes import Told, published_row, story
from scratchbird_check.traces.merkle_forest_judge import agree, past, peace, through
from scratchbird_check.traces.merkle_forest_moves import (
    Move,
    arrive,
    begin,
    crash,
    exchange,
    go_on,
    propose,
    pull,
    purge,
    reshape,
    rise,
    settle,
    unseen,
    write,
)
from scratchbird_check.traces.merkle_forest_run import Judge, play
from scratchbird_check.traces.model import Trace
from scratchbird_check.variants.merkle_forest import RIGHT, VARIANTS, Variant
from scratchbird_reference.merkle_forest import Rules
from scratchbird_reference.merkle_forest_rows import Encoding


@dataclass(frozen=True, slots=True)
class Script:
    """One list of moves, played by the wrong rule and by the right one."""

    promise: str
    title: str
    lesson: str
    """What is wrong, in a few words; it ends the verdict."""
    good: str
    """How it ends under the right rule, in one sentence."""
    moves: tuple[Move, ...]
    afterwards: tuple[Move, ...] = ()
    """Further moves under the right rule, to show that it goes on."""
    judge: Judge = through


SEALED = unseen(rise(30, 1, 2))
"""Windows 0 and 1 are sealed at both, window 2 is not."""
OLD_SHORT, NEW_SHORT = "old 09906752", "new 16921405"
"""As row 1 at versions 5 and 6, each alone in a leaf: the leaves' digests begin with the same 6 bytes. They
were found among 30 million, in a minute."""

SCRIPTS: Mapping[str, Script] = {
    "immutable": Script(
        "MRK-2",
        "A sealed window whose digest is computed once, and a hint that is late",
        "a digest that never changes says that the row is not there",
        "The window is amended, its digest hashed anew before it is told, and r2 gets the row.",
        (*SEALED, write("old", 5), arrive(5, 1), *exchange(1, 2)),
    ),
    "serves_stale": Script(
        "MRK-2",
        "A digest that is told although rows came since",
        "the digest was that of the window as it had been",
        "No digest is told that lags behind: the window is hashed anew, and r2 gets the row.",
        (*SEALED, write("old", 25, 1), *exchange(1, 2)),
    ),
    "forgets_dirt": Script(
        "MRK-2",
        "A crash that forgets which digests lag behind",
        "the row was on disk, and that its window has to be hashed anew was not",
        "The row and the mark of its window are durable in one step: r1 hashes it anew after the crash.",
        (*SEALED, write("old", 5, 1), crash(1), *exchange(1, 2)),
    ),
    "sealed_only": Script(
        "MRK-4",
        "An exchange that compares sealed windows only",
        "what is in a window that is not sealed waits, and success is recorded all the same",
        "All windows are compared up to a stable time, also those that are not sealed.",
        (*SEALED, write("old", 25, 1), *exchange(1, 2)),
    ),
    "samples_active": Script(
        "MRK-4",
        "An exchange that samples the windows that are not sealed",
        "a sample says nothing of the other rows",
        "All rows are compared up to a stable time, also those of windows that are not sealed.",
        (*SEALED, write("old", 25, 1, row=2), *exchange(1, 2)),
    ),
    "compares_as_it_is": Script(
        "MRK-4",
        "An exchange that compares each window as it is by then",
        "it left a window that differed for one that did not",
        "Both sides compare what they showed when the exchange began, and r2 gets the row as it is by now.",
        (*SEALED, write("old", 5, 1), begin(1, 2), write("new", 25, 1), go_on(1, 2)),
    ),
    "one_sided": Script(
        "MRK-5",
        "A repair that fetches, and does not give",
        "who drives the exchange took, and gave nothing",
        "Rows go both ways in one exchange.",
        (*SEALED, write("old", 5, 1), *exchange(1, 2)),
    ),
    "own_windows_only": Script(
        "MRK-5",
        "A repair that walks its own windows",
        "a window of which it has no row is not walked",
        "A window that only one side has is a difference as any other.",
        (*SEALED, write("old", 5, 2), *exchange(1, 2)),
    ),
    "records_failure": Script(
        "MRK-6",
        "An exchange that is recorded as success when it ends, however it ends",
        "nothing had been compared",
        "It has succeeded when all that differs has been dealt with.",
        (*SEALED, write("old", 5, 1), *exchange(1, 2)),
    ),
    "purges_by_itself": Script(
        "MRK-6",
        "A replica that purges when it has converged itself",
        "",
        "Nobody settles before all have converged: then the delete is everywhere, and goes everywhere.",
        (
            *SEALED,
            write("old", 3, 1),
            write(None, 5, 2),
            propose(20, 1, 2),
            pull(2, 1),
            purge(2),
            pull(1, 2),
        ),
        (settle(1, 2), purge(1, 2), *exchange(1, 2)),
        judge=agree,
    ),
    "refreshes_nothing": Script(
        "MRK-7",
        "A replica that holds a newer version, and takes over no entry",
        "it shows the same at the next exchange, and so on",
        "It takes over the entry alone, and the next exchange finds no difference.",
        (*SEALED, write("old", 5, 1), write("new", 50, 1, 2), *exchange(2, 1), *exchange(2, 1)),
        judge=peace,
    ),
    "takes_over_purged": Script(
        "MRK-7",
        "A replica that takes over an entry which is below its floor",
        "",
        "Below its floor it takes over nothing: its past is complete.",
        (
            *unseen(rise(30, 1)),
            write(None, 5, 1),
            propose(20, 1, 2),
            pull(1, 2),
            pull(2, 1),
            write("new", 50, 2),
            begin(2, 1),
            settle(1, 2),
            purge(1),
            go_on(2, 1),
        ),
        exchange(2, 1),
        judge=past,
    ),
    "keeps_overtaken": Script(
        "MRK-7",
        "A replica that settles, and keeps an entry that was overtaken below the floor",
        "r2 has purged what overtook it, and never shows it",
        "Who settles takes out what was overtaken below, and both show the same.",
        (
            *SEALED,
            write("old", 3, 1),
            write(None, 5, 2),
            propose(20, 1, 2),
            pull(2, 1),
            write("new", 50, 1),
            pull(1, 2),
            settle(1, 2),
            *exchange(2, 1),
            *exchange(2, 1),
        ),
        judge=peace,
    ),
    "leaves_at_once": Script(
        "MRK-7",
        "A row that leaves its window as soon as a newer version arrives",
        "each write that is under way makes healthy replicas look different",
        "The old entry stays until the stable time has passed the newer one, and no exchange has to look.",
        (
            *SEALED,
            write("old", 5, 1, 2),
            write("new", 50, 1),
            *exchange(1, 2),
            arrive(50, 2),
            *exchange(1, 2),
        ),
        judge=peace,
    ),
    "believes_short_digests": Script(
        "MRK-8",
        "Two values that were made to have one short digest",
        "two subtrees had one short digest, and that the windows' digests differ was not asked again",
        "What the short digests hide is found with whole ones, because the window's digest must come out.",
        (
            *SEALED,
            *unseen(write("a", 5, 1, 2, row=2), write("b", 5, 1, 2, row=3)),
            write(OLD_SHORT, 5, 1),
            write(NEW_SHORT, 6, 2),
            *exchange(1, 2),
        ),
    ),
    "refuses_for_sealed": Script(
        "MRK-11",
        "A replica that refuses a row because it has sealed its window",
        "by its own clock the window was sealed, and so it takes the row from nobody",
        "Sealed or not is no reason to refuse a row: it is an amendment.",
        (*unseen(rise(30, 2)), write("old", 5, 1), arrive(5, 2), *exchange(1, 2)),
    ),
    "compares_across_settings": Script(
        "MRK-12",
        "Two replicas that hold the same, with windows of 10 and of 20 ms",
        "the numbers of their windows mean different times, and rows go both ways for nothing",
        "The exchange is refused; when r1 has the other setting as well, no window differs.",
        (
            *SEALED,
            write("old", 15, 1, 2),
            reshape(2, 1, 20),
            *exchange(1, 2),
            *exchange(1, 2),
        ),
        (reshape(1, 1, 20), *exchange(1, 2)),
        judge=peace,
    ),
}


def counterexample(variant: str) -> Counterexample:
    """Play the run of a variant under the wrong rule and under the right one.

    :raises NotRefutedError: if the wrong rule keeps its promise, or the right one breaks it.
    """
    return refute(variant, SCRIPTS[variant], VARIANTS[variant], RIGHT)


def refute(variant: str, script: Script, wrong: Variant, right: Variant) -> Counterexample:
    """Play a script by a wrong rule and by a right one.

    :raises NotRefutedError: if the wrong rule keeps the promise, or the right one breaks it.
    """
    refuted = _play(script, script.moves, wrong, f"{script.title} ({variant})")
    if not refuted.promise:
        raise NotRefutedError(f"variant {variant!r} keeps {script.promise} in the run that should refute it")
    corrected = _play(
        script, (*script.moves, *script.afterwards), right, "The same events under the right rule"
    )
    if corrected.promise:
        raise NotRefutedError(f"the right rule breaks {corrected.promise} in the run of variant {variant!r}")
    return Counterexample(variant, script.promise, refuted, corrected)


def _play(script: Script, moves: tuple[Move, ...], variant: Variant, title: str) -> Trace:
    return play(
        moves,
        variant=variant,
        judge=script.judge,
        promise=script.promise,
        lesson=script.lesson,
        title=title,
        good=script.good,
    )


def no_domains() -> Counterexample:
    """Two rows with one digest, as published, and the digests that they have here.

    :raises NotRefutedError: if the published digests differ, or ours do not.
    """
    columns = (("ab", "c"), ("a", "bc"))
    code, rules = Encoding(), Rules()
    published = [published_row(each) for each in columns]
    ours = [rules.hashed("row", code.row_bytes(1, dict(enumerate(each)))) for each in columns]
    if len(set(published)) > 1 or len(set(ours)) < 2:
        raise NotRefutedError("the published hash tells the two rows apart, or ours does not")

    def told(digests: list[bytes], *ends: Told) -> list[Told]:
        holds = [
            Told(
                name,
                f'holds the row ("{each[0]}", "{each[1]}"): digest {digest.hex()[:12]}',
                sends=name == "two",
            )
            for name, each, digest in zip(("one", "two"), columns, digests, strict=True)
        ]
        return [*holds, *ends]

    same = Told("one", "compares: they are the same, and it asks for nothing", True, "digest", 2)
    asks = Told("one", "compares: they differ, and it asks for the row", False, "digest", 2, sends=True)
    verdict = "Two replicas hold different rows, and no comparison will ever find it (MRK-8)."
    good = "What is hashed says how many columns follow and how long each is: the digests differ."
    title = "Columns that are hashed one after the other (no_domains)"
    refuted = story(title, told(published, same), verdict, "MRK-8")
    gets = Told("two", "sends it", False, "the row?", 3)
    corrected = story("The same rows under the right rule", told(ours, asks, gets), good, "")
    return Counterexample("no_domains", "MRK-8", refuted, corrected)


COUNTEREXAMPLES: Mapping[str, Callable[[], Counterexample]] = {
    **{variant: partial(counterexample, variant) for variant in SCRIPTS},
    "no_domains": no_domains,
}
