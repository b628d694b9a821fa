"""``docs/capacity.md``: how large things have to be, for operators, beside the published figures."""

from __future__ import annotations

from scratchbird_check.capacity import formulas, published, telling
from scratchbird_check.capacity.answers import LEAF_BYTES, RESIDENT_BYTES, WINDOW_BYTES, WINDOW_S

SHARDS = 4_096
"""Of the example of a limit that is divided."""


def document() -> str:
    """The whole page, in Markdown."""
    return "\n".join(
        [_HEAD, *telling.outages(), "", _hints(), _limit(), _forest(), _cluster(), *_published()]
    )


_HEAD = """# Capacity

Written by `make docs` from the formulas that `scratchbird_check capacity` uses; do not edit.

```console
$ scratchbird_check capacity hints --outage 3h --writes 50000 --limit 1000 --bytes 500
$ scratchbird_check capacity cluster --nodes 9 --factor 3 --rows 1e9 --row-bytes 500
$ scratchbird_check capacity published
```

`--json` gives every figure with its unit in its name. `hints --must-drain` ends with status 1 if hints are
lost, by age or for want of `--room`, or if they do not become fewer.

## Hints after an outage

A target that is down misses W writes a second for a time T, and W × T hints wait for it. At L hints a second
they are drained in W × T / L. The published W = 50,000 and L = 1,000 make that fifty times the outage. Hints
expire after 7 days; anti-entropy may use 25 MB/s here:
"""


def _hints() -> str:
    first = published.hints(published.OUTAGES_S[0])
    assert first.faster_from_s is not None
    faster = telling.time(first.faster_from_s)
    longest = telling.time(first.longest_outage_s)
    hint_rate = telling.size(first.limit_per_s * first.hint_bytes)
    return f"""\
- **If the target takes new writes itself**, only the backlog has to be drained. **If H new writes a second go
  on becoming hints**, because the target is too slow or because they queue up behind the hints, it shrinks by
  L − H a second: at L ≤ H it never ends. `--ongoing` says H; without it 0 and W are told.
- **A hint is delivered at an age of at most max(T, W × T / L)**, oldest first. So an outage may last up to
  expiry × min(1, L / W), here **{longest}**. Past that hints expire before their turn, and
  anti-entropy has to run anyway: write no more hints for that target then, or when `--room` is full.
- **Anti-entropy is sooner from {faster} of outage on** at these rates, because 1,000 hints a second are
  no more than {hint_rate}/s. It is not cheaper: where whole windows are missing a row costs 64 bytes of
  hashes more than its hint, and yet more where the rows are scattered over old windows. It saves where rows
  were overwritten, since it moves each once. With as much bandwidth hints are as fast: raise L.
- The L that lets none expire is W × T / expiry; `limit needed` tells it.
"""


def _limit() -> str:
    limit = published.LIMIT_PER_S
    rounded = formulas.rounded_share_per_s(limit, SHARDS)
    every = telling.time(1 / formulas.share_per_s(limit, SHARDS))
    return f"""\
## A limit that is divided

`--limit` is what one target is sent by all coordinators together (`--limit-each`: by each). Whoever divides
it must not use whole numbers: {limit:,}/s over {SHARDS:,} shards is {rounded}/s by integer division,
which never delivers anything, and 1/s for each is {SHARDS / limit:.1f} times the limit. A share is a
fraction, here one hint every {every}; or all take from one bucket of the target. `--shards` shows it.
"""


def _forest() -> str:
    built = telling.size(formulas.forest_bytes(1_000_000, 0, RESIDENT_BYTES, WINDOW_BYTES))
    year = formulas.windows_kept(365 * 86_400, WINDOW_S)
    return f"""\
## Memory of the Merkle forest

Published are {LEAF_BYTES} bytes a row of the active tree and {WINDOW_BYTES} for each sealed window. An id of
16 and a hash of 32 weigh as much alone, without inner nodes, of which there are as many as rows. The bound
that we build to, inner nodes included, is {RESIDENT_BYTES} bytes for a row that is resident: {built} for a
million. How many are resident follows from the write rate, the size of a window and the grace, not from the
size of the table. Sealed windows weigh little: there are {year:,} in a year of windows of 1 h.
"""


def _cluster() -> str:
    return """\
## Rows and disks of a cluster

Rows are what clients see; each is stored N times. Whole shards are placed, so the fullest node has
⌈shards × N / nodes⌉ of them. Its disk needs its rows, as much again while a compaction rewrites them
(`--headroom`), and the hints for one other node that is down (`--writes`, `--outage`). `a node is lost` is
what those that are left need when they have taken over its copies: buy that.
"""


def _published() -> list[str]:
    table = published.figures()
    wrong = sum(not item.agrees for item in table)
    return [
        "## The published figures, computed again",
        "",
        f"Each from its own assumptions: {len(table) - wrong} of {len(table)} agree within 5 %, {wrong} "
        "do not.",
        "",
        *telling.published_markdown(table),
        "",
        "The three clusters count copies as rows, and take the smallest shard. In a shard of 10 GB and 1 M",
        "rows a row has 10 kB, and no hint of 500 bytes can hold it. And no figure for memory or network",
        "counts the write rate that is promised for each shard.",
        "",
    ]
