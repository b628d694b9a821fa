"""The tie in the other direction: runs of the reference are behaviours of the model.

The reference runs at random in an instance that is too large to explore; its runs are written as a TLA+
module, in which a step must be one of ``Next`` *and* lead to the state that the reference reached. A step
that is not leaves TLC in a state without successor: a deadlock, which names the run and the step.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from scratchbird_check import resources
from scratchbird_check.context import Context
from scratchbird_check.engines import tlc, tlc_config
from scratchbird_check.engines.tlc_output import End
from scratchbird_check.manifest import Check
from scratchbird_check.ties.graph import Tie, W
from scratchbird_check.traces.tla_values import format_value
from scratchbird_check.verdicts import Outcome

MOSTLY = 0.9
"""How often another action is drawn in the place of one that a tie wants seldom."""


def check_runs(
    check: Check, context: Context, module: str, make: Callable[[Mapping[str, str]], Tie[W]]
) -> Outcome:
    """Runs of the reference, checked by TLC to be behaviours of the model.

    :param make: the tie for the constants of the check's configuration.
    """
    folder = resources.copy_models(context.workdir / "models")
    configuration = (folder / check.options["config"]).read_text(encoding="utf-8")
    tie = make(tlc_config.parse(configuration).constants)
    dice = random.Random(context.seed)
    runs = [run(tie, check.options["steps"], dice) for _ in range(check.options["runs"])]
    taken = {action for actions, _ in runs for action in actions}
    if lacking := sorted(tie.actions - tie.rare - taken):
        return tlc.unexpected(check, f"no run of the reference takes {', '.join(lacking)}")
    name = f"{module}_runs"
    write_module(folder, name, module, tie, [worlds for _, worlds in runs], configuration)
    ended, report = tlc.execute(context, folder, module=name, config=f"{name}.cfg", timeout_s=check.timeout_s)
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


def run(tie: Tie[W], steps: int, dice: random.Random) -> tuple[list[str], list[W]]:
    """One run of the reference at random: its actions and its states. Steps that change nothing are left
    out, and rare actions are not: the action is drawn first, then where it leads."""
    world = tie.initial
    actions: list[str] = []
    worlds = [world]
    for _ in range(steps):
        choices: dict[str, list[W]] = {}
        for action, after in tie.successors(world):
            if after != world:
                choices.setdefault(action, []).append(after)
        if not choices:
            break
        action = dice.choice(sorted(choices))
        others = sorted(set(choices) - tie.seldom)
        if action in tie.seldom and others and dice.random() < MOSTLY:
            action = dice.choice(others)
        world = dice.choice(choices[action])
        actions.append(action)
        worlds.append(world)
    return actions, worlds


def write_module(
    folder: Path, name: str, module: str, tie: Tie[W], runs: Sequence[Sequence[W]], configuration: str
) -> None:
    """Write the runs as a TLA+ module of this name and its configuration into the folder of the models.

    The configuration says what a step is: ``Next``, or that of a module which takes steps apart.
    """
    variables = tuple(tie.to_model(tie.initial))
    step = re.findall(r"^NEXT (\w+)$", configuration, flags=re.MULTILINE)[0]

    def record(world: W) -> str:
        fields = tie.to_model(world)
        return "[" + ", ".join(f"{name} |-> {format_value(fields[name])}" for name in variables) + "]"

    def conjunction(prime: str, state: str) -> str:
        return "\n".join(f"    /\\ {name}{prime} = {state}.{name}" for name in variables)

    sequences = ",\n".join("<<" + ",\n".join(record(world) for world in worlds) + ">>" for worlds in runs)
    (folder / f"{name}.tla").write_text(
        f"""---- MODULE {name} ----
EXTENDS {module}, Sequences
VARIABLES run, at
Runs == <<
{sequences}
>>
RunsInit ==
    /\\ run \\in 1..Len(Runs)
    /\\ at = 1
{conjunction("", "Runs[run][1]")}
RunsStep ==
    /\\ at < Len(Runs[run])
    /\\ at' = at + 1
    /\\ run' = run
{conjunction("'", "Runs[run][at + 1]")}
    /\\ {step}
RunsDone == at = Len(Runs[run]) /\\ UNCHANGED <<{", ".join(variables)}, run, at>>
RunsNext == RunsStep \\/ RunsDone
====
""",
        encoding="utf-8",
    )
    lines = [
        re.sub(r"^(INIT|NEXT) \w+$", lambda found: f"{found[1]} Runs{found[1].title()}", line)
        for line in configuration.splitlines()
    ]
    (folder / f"{name}.cfg").write_text("\n".join(lines) + "\n", encoding="utf-8")
