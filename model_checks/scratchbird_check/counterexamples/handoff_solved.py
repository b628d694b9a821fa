"""What a solver found against a wrong rule of handoff, as moves that the code plays.

The formulas say what replicas hold at first; in the code it was written, in the order of the versions, and
nobody was told. Replica 0 of the formulas is ``r1``, and so on.
"""

from __future__ import annotations

from scratchbird_check.counterexamples.quorum_solved import Played
from scratchbird_check.traces.handoff_moves import give_up, keep_again, passes, propose, pull, repair
from scratchbird_check.traces.quorum_moves import Move, store, write
from scratchbird_check.traces.quorum_world import Stage
from scratchbird_proofs.handoff_refutations import FoundPast, FoundRepair
from scratchbird_reference.quorum_messages import Setting


def of_repair(found: FoundRepair) -> Played:
    """A write that the target misses, and the exchange that counts as its repair."""
    n, w = found.sizes
    replicas = tuple(range(1, n + 1))
    holders, heard = (tuple(other + 1 for other in others) for others in (found.holders, found.heard))
    moves = (
        write("w", "new", "c1", hears=replicas[: n - w + 1], holds=holders),
        give_up("c1", n),
        keep_again("c1", n),
        repair("c1", n, *heard),
    )
    stage = Stage({"c1": Setting(replicas, w, n - w + 1)})
    return Played(moves, stage, stage)


def of_past(found: FoundPast) -> Played:
    """A run of two replicas from before the floor: they merge, converge, settle and purge.

    :raises ValueError: if the run has a step that the code does not know.
    """
    replicas = (1, 2)
    moves: list[Move] = []

    def begin(version: int) -> None:
        value = None if version == found.tombstone else chr(ord("a") + version - 1)
        moves.append(write(str(version), value, "c1", hears=replicas, clock=version))

    for version in sorted({version for version in found.held if version}):
        begin(version)
        moves.extend(store(str(version), r + 1) for r, held in enumerate(found.held) if held == version)
    for version in sorted({version for kind, _, version in found.steps if kind == "take"}):
        begin(version)
    moves.append(propose(found.floor, *replicas))
    for kind, r, version in found.steps:
        match kind:
            case "take":
                moves.append(store(str(version), r + 1))
            case "purge":
                moves.append(passes(0, r + 1))
            case "merge":
                moves.append(pull(r + 1, 2 - r))
            case "converge" | "note" | "settle":
                pass  # The code does these by itself, as soon as it may.
            case _:
                raise ValueError(f"step {kind!r} is none that the code knows")
    stage = Stage({"c1": Setting(replicas, 1, 2)})
    return Played(tuple(moves), stage, stage)
