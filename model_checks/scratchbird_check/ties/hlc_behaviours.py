"""The tie in the other direction: traces of the reference are behaviours of the model.

The reference runs at random in an instance that is too large to explore; its runs are written as a TLA+
module, in which a step must be one of ``Next`` *and* lead to the state that the reference reached. A step
that is not leaves TLC in a state without successor: a deadlock, which names the run and the step.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from pathlib import Path

from scratchbird_check import resources
from scratchbird_check.context import Context
from scratchbird_check.engines import tlc, tlc_config
from scratchbird_check.engines.tlc_output import End
from scratchbird_check.manifest import Check
from scratchbird_check.ties.hlc_graph import ACTIONS, instance_of
from scratchbird_check.ties.hlc_world import LIMITS, VARIABLES, Instance, World, initial, successors, to_model
from scratchbird_check.traces.tla_values import format_value
from scratchbird_check.verdicts import Outcome

_MODULE = "MC_hlc_runs"


def check_runs(check: Check, context: Context) -> Outcome:
    """Runs of the reference, checked by TLC to be behaviours of the model."""
    folder = resources.copy_models(context.workdir / "models")
    configuration = (folder / check.options["config"]).read_text(encoding="utf-8")
    instance = instance_of(
        tlc_config.parse(configuration).constants,
        tuple(check.options["nodes"]),
        tuple(check.options["offsets"]),
    )
    limits = dict(zip(LIMITS, check.options["limits"], strict=True))
    dice = random.Random(context.seed)
    runs = [run(instance, limits, check.options["steps"], dice) for _ in range(check.options["runs"])]
    taken = {action for actions, _ in runs for action in actions}
    if lacking := sorted(ACTIONS - taken):
        return tlc.unexpected(check, f"no run of the reference takes {', '.join(lacking)}")
    write_module(folder, instance, [worlds for _, worlds in runs], configuration)
    ended, report = tlc.execute(
        context, folder, module=_MODULE, config=f"{_MODULE}.cfg", timeout_s=check.timeout_s
    )
    if why := ended.why():
        return tlc.unexpected(check, f"TLC: {why}", ended.log)
    steps = sum(len(worlds) - 1 for _, worlds in runs)
    if report.end is not End.OK:
        return tlc.unexpected(
            check, f"a run of the reference is no behaviour: {report.end.value}: see the log", ended.log
        )
    if report.distinct != steps + len(runs):
        return tlc.unexpected(
            check, f"{steps + len(runs)} states were written, TLC saw {report.distinct}", ended.log
        )
    detail = f"{len(runs):,} runs of the reference, {steps:,} steps, all of them the model's"
    figures = {"runs": len(runs), "steps": steps}
    return Outcome(check.id, check.expect, detail, check.properties, ended.seconds, figures)


def run(
    instance: Instance, limits: Mapping[str, int], steps: int, dice: random.Random
) -> tuple[list[str], list[World]]:
    """One run of the reference at random: its actions and its states. Steps that change nothing are left
    out, and rare actions are not: the action is drawn first, then where it leads."""
    world = initial(instance, limits)
    actions: list[str] = []
    worlds = [world]
    for _ in range(steps):
        choices: dict[str, list[World]] = {}
        for action, after in successors(instance, world):
            if after != world:
                choices.setdefault(action, []).append(after)
        if not choices:
            break
        action = dice.choice(sorted(choices))
        world = dice.choice(choices[action])
        actions.append(action)
        worlds.append(world)
    return actions, worlds


def write_module(folder: Path, instance: Instance, runs: list[list[World]], configuration: str) -> None:
    """Write the runs as ``MC_hlc_runs.tla`` and its configuration into the folder of the models."""

    def record(world: World) -> str:
        fields = to_model(instance, world)
        return "[" + ", ".join(f"{name} |-> {format_value(fields[name])}" for name in VARIABLES) + "]"

    def conjunction(prime: str, state: str) -> str:
        return "\n".join(f"    /\\ {name}{prime} = {state}.{name}" for name in VARIABLES)

    sequences = ",\n".join("<<" + ",\n".join(record(world) for world in worlds) + ">>" for worlds in runs)
    (folder / f"{_MODULE}.tla").write_text(
        f"""---- MODULE {_MODULE} ----
EXTENDS MC_hlc, Sequences
VARIABLES run, at
Runs == <<
{sequences}
>>
RunsInit ==
    /\\ run \\in 1..Len(Runs)
    /\\ at = 1
{conjunction("", "Runs[run][1]")}
Step ==
    /\\ at < Len(Runs[run])
    /\\ at' = at + 1
    /\\ run' = run
    /\\ Next
{conjunction("'", "Runs[run][at + 1]")}
Done == at = Len(Runs[run]) /\\ UNCHANGED <<vars, run, at>>
RunsNext == Step \\/ Done
====
""",
        encoding="utf-8",
    )
    lines = [
        re.sub(r"^INIT \w+$", "INIT RunsInit", line).replace("NEXT Next", "NEXT RunsNext")
        for line in configuration.splitlines()
    ]
    (folder / f"{_MODULE}.cfg").write_text("\n".join(lines) + "\n", encoding="utf-8")
