"""The command ``scratchbird_check``: its sub-commands, what they print and how they end.

Exit status: 0 all as expected, 1 something unexpected, 2 wrong use, 3 a required engine is missing, 74 the
output could not be written (``EX_IOERR`` of sysexits.h), and 128 plus the signal's number if a signal ended
it. Whatever a sub-command needs is imported when it is called, so that each works on a machine which lacks
what the others need.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from scratchbird_check import ledger, manifest, resources
from scratchbird_check.capacity import options as capacity_options
from scratchbird_check.conformance.parts import PARTS as CONFORMANCE_PARTS
from scratchbird_check.errors import CheckError, UsageError
from scratchbird_check.manifest import ENGINES, PARTS, PROFILES, suggest
from scratchbird_check.promises import options as promises_options
from scratchbird_history import options as history_options

EPILOG = """\
examples:
  scratchbird_check run                          every check of the quick profile
  scratchbird_check run --only HLC-2 --verbose   the evidence for one promise, with its counterexamples
  scratchbird_check run --profile ci --junit report.xml --html report/
  scratchbird_check explain HLC-2                what was claimed, what happens instead, what we build
  scratchbird_check trace run.ndjson             replay a run through the reference
  scratchbird_check conform --command "node clock.js"
  scratchbird_check guarantees --config cluster.yaml --expect linearizable
  scratchbird_check capacity hints --outage 3h --writes 50000

exit status: 0 all as expected, 1 something unexpected, 2 wrong use, 3 a required engine is missing,
             4 unknown (history only), 74 the output could not be written
"""

RUN_EPILOG = """\
profiles:
  quick   minutes on a laptop, every claim with small bounds
  full    the bounds that the documentation names
  ci      as full, and every engine is required

A check whose tool is missing is "not run", which is never counted as passed; `scratchbird_check tools` says
how to get it, and --require makes a missing engine an error (exit status 3).

examples:
  scratchbird_check run --part hlc --engine tlc --engine apalache
  scratchbird_check run --only tlc-hlc-two-nodes --keep logs/
  scratchbird_check run --require z3 --json run.json --junit junit.xml --html report/
"""


CONFORM_EPILOG = """\
parts:
  hlc     the clock
  uuid8   the ids
  quorum  a replica and a coordinator of a store

The lines that it reads and writes: docs/conformance.md. The reference speaks them too, line by line:
  python -m scratchbird_check.conformance.serve reference

exit status: 0 everything passes, 1 something does not, 2 wrong use

examples:
  scratchbird_check conform --part hlc --part uuid8 --command "node clock.js"
  scratchbird_check conform --part quorum --command "java -jar store.jar --conformance"
"""

SEVERAL = "(may be given several times)"
ONE_PART = f"this part only, such as hlc or uuid8 {SEVERAL}"


class Parser(argparse.ArgumentParser):
    """Names what is near when an option or a sub-command is unknown."""

    def parse_args(  # type: ignore[override]  # the name space is never given here
        self, args: Sequence[str] | None = None
    ) -> argparse.Namespace:
        given = list(sys.argv[1:] if args is None else args)
        options, left = self.parse_known_args(given)
        if left:
            parser: argparse.ArgumentParser = getattr(options, "parser", self)
            known = [text for action in parser._actions for text in action.option_strings]
            parser.error(f"unknown argument {left[0]!r}: {suggest(left[0].partition('=')[0], known)}")
        return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    try:
        try:
            return _main(list(sys.argv[1:] if argv is None else argv))
        finally:
            sys.stdout.flush()  # Here, where it can be told that there is no room, and not at the very end.
    except BrokenPipeError:
        # Whoever read our output has closed it (`| head`): there is nobody left to tell.
        _drop_output()
        return 128 + signal.SIGPIPE
    except OSError as error:
        _drop_output()
        print(f"scratchbird_check: {error}", file=sys.stderr)
        return os.EX_IOERR


def _main(given: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # A terminal without UTF-8 shows a mark, and no traceback.
    parser = build_parser()
    if given and not given[0].startswith("-") and given[0] not in COMMANDS:
        return _fail(parser, f"unknown command {given[0]!r}: {suggest(given[0], COMMANDS)}")
    options = parser.parse_args(given)
    if options.command is None:
        parser.print_help()
        return 2
    try:
        return int(COMMANDS[options.command](options))
    except CheckError as error:
        print(f"scratchbird_check {options.command}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("scratchbird_check: interrupted", file=sys.stderr)
        return 130


def _drop_output() -> None:
    """What is still in the buffer goes nowhere, without a further complaint at the end of the program."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _fail(parser: argparse.ArgumentParser, text: str) -> int:
    parser.print_usage(sys.stderr)
    print(f"scratchbird_check: {text}", file=sys.stderr)
    return 2


# --- the sub-commands -------------------------------------------------------------------------------------


def run(options: argparse.Namespace) -> int:
    """``run``: see :mod:`scratchbird_check.running`."""
    from scratchbird_check import running

    _each_named_once(options)
    return running.run(
        running.Request(
            profile=options.profile,
            parts=tuple(options.part),
            only=tuple(options.only),
            engines=tuple(options.engine),
            require=tuple(options.require),
            json=options.json,
            junit=options.junit,
            html=options.html,
            keep=options.keep,
            jobs=options.jobs,
            seed=options.seed,
            verbose=options.verbose,
            manifest=options.manifest,
        )
    )


def _each_named_once(options: argparse.Namespace) -> None:
    """One output must not overwrite another."""
    seen: dict[Path, str] = {}
    for name in ("json", "junit", "html", "keep"):
        path: Path | None = getattr(options, name)
        if path is None:
            continue
        if (other := seen.setdefault(path.resolve(), name)) != name:
            raise UsageError(f"--{other} and --{name} both name {path}: give each a place of its own")


def list_(options: argparse.Namespace) -> int:
    """``list``: every promise, and the checks that are evidence for it."""
    checks = manifest.parse(resources.manifest_text())
    properties = ledger.parse(resources.ledger_text())
    for item in properties:
        if options.part and item.part not in options.part:
            continue
        print(f"{item.id}  {item.claim}")
        print(f"    expected: {item.verdict.value}; rule {item.rule}")
        for check in checks:
            if item.id in check.properties:
                variant = f" of the variant {check.variant}" if check.variant else ""
                print(f"    {check.id}  {check.expect.value}{variant}  [{', '.join(check.profiles)}]")
    for part in options.part:
        if not any(item.part == part for item in properties):
            print(f"No promise of the part {part} is in the ledger yet.")
    for problem in ledger.problems(properties, checks):
        print(f"scratchbird_check: {problem}", file=sys.stderr)
    return 0


def explain(options: argparse.Namespace) -> int:
    """``explain``: a promise in ten lines, with the last run's counterexample if there is one."""
    from scratchbird_check import places
    from scratchbird_check.report.explain import explain as tell
    from scratchbird_check.report.json_report import read_outcomes

    item = ledger.find(ledger.parse(resources.ledger_text()), options.property)
    last = None
    if options.run is not None:
        last = read_outcomes(options.run)
    elif places.last_run().is_file():
        with contextlib.suppress(UsageError):  # Of another version: the explanation does not depend on it.
            last = read_outcomes(places.last_run())
    print(tell(item.id, last))
    return 0


def trace(options: argparse.Namespace) -> int:
    """``trace``: replay a trace through the reference."""
    from scratchbird_check.conformance import replay

    return replay.main(options.file)


def conform(options: argparse.Namespace) -> int:
    """``conform``: drive an implementation in any language beside the reference."""
    from scratchbird_check.conformance.conform import conform as drive

    return drive(options.command_line, options.part, seed=options.seed)


def guarantees(options: argparse.Namespace) -> int:
    """``guarantees``: what N, W and R promise, with the evidence for each answer."""
    from scratchbird_check.promises import command

    return command.run(options)


def capacity(options: argparse.Namespace) -> int:
    """``capacity``: how long hints take, what a node holds, and what of the published figures is right."""
    from scratchbird_check.capacity import command

    return command.run(options)


def history(options: argparse.Namespace) -> int:
    """``history``: hold a recorded history against a consistency model; 4 is unknown."""
    from scratchbird_history import command

    return command.run(options)


def tools(options: argparse.Namespace) -> int:
    """``tools``: what was found, what is missing; or install it."""
    from scratchbird_check import tools as kit

    if options.action == "install":
        return kit.install()
    print("\n".join(kit.report()))
    return 0


COMMANDS = {
    "run": run,
    "list": list_,
    "explain": explain,
    "trace": trace,
    "conform": conform,
    "guarantees": guarantees,
    "capacity": capacity,
    "history": history,
    "tools": tools,
}


# --- the parser -------------------------------------------------------------------------------------------


def build_parser() -> Parser:
    """The whole command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(
        prog="scratchbird_check",
        description="Judges every promise of the Scratchbird replication protocol by machine.",
        epilog=EPILOG,
        formatter_class=raw,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"scratchbird_check {package_version()}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)

    def add(name: str, text: str, epilog: str = "") -> Parser:
        sub = commands.add_parser(
            name, help=text, description=text, epilog=epilog, formatter_class=raw, allow_abbrev=False
        )
        sub.set_defaults(parser=sub)
        return sub

    _add_run(add("run", "run the checks and show the verdict on each promise", RUN_EPILOG))
    sub = add("list", "list the promises and the checks that are evidence for them")
    sub.add_argument(
        "--part", action="append", default=[], type=_one_of("part", PARTS), metavar="PART", help=ONE_PART
    )
    sub = add("explain", "tell what was claimed, what happens instead, and the rule we use")
    sub.add_argument("property", metavar="ID", help="a promise, such as HLC-2")
    sub.add_argument("--run", type=Path, metavar="FILE", help="take the counterexample from this JSON report")
    sub = add("trace", "replay a trace (NDJSON) through the reference and show the first divergence")
    sub.add_argument(
        "file", type=Path, metavar="FILE", help="a trace, one JSON object a line; - reads standard input"
    )
    sub = add("conform", "test an implementation in any language against the reference", CONFORM_EPILOG)
    sub.add_argument(
        "--command",
        dest="command_line",
        required=True,
        metavar="COMMAND",
        help="how to start it; it reads one JSON line and writes one, again and again",
    )
    sub.add_argument(
        "--part",
        action="append",
        default=[],
        type=_one_of("part", CONFORMANCE_PARTS),
        metavar="PART",
        help=f"only this part, {', '.join(CONFORMANCE_PARTS)} (may be given several times; default: all)",
    )
    sub.add_argument("--seed", type=_number(0), default=0, metavar="N", help="of the random runs (0)")
    sub = add("guarantees", "tell what N, W and R of a table promise, and why", promises_options.EPILOG)
    promises_options.add_arguments(sub)
    sub = add(
        "capacity", "tell how long hints take to drain, and what each node holds", capacity_options.EPILOG
    )
    capacity_options.add_arguments(sub)
    sub = add("history", "tell whether a recorded history is linearizable, or less", history_options.EPILOG)
    history_options.add_arguments(sub)
    sub = add("tools", "show which tools were found and what is missing, or install what can be")
    sub.add_argument(
        "action",
        nargs="?",
        default="list",
        type=_one_of("action", ("list", "install")),
        metavar="list|install",
        help="show what there is (the default), or download Apalache and verify it",
    )
    return parser


def _add_run(sub: Parser) -> None:
    def many(name: str, metavar: str, text: str, take: Callable[[str], str] = str) -> None:
        sub.add_argument(name, action="append", default=[], type=take, metavar=metavar, help=text)

    sub.add_argument(
        "--profile",
        default="quick",
        type=_one_of("profile", PROFILES),
        metavar="|".join(PROFILES),
        help="how hard to try, see below (default: quick)",
    )
    many("--part", "PART", ONE_PART, _one_of("part", PARTS))
    many("--only", "ID", f"this promise or this check only {SEVERAL}")
    many(
        "--engine", "ENGINE", f"this engine only: {', '.join(ENGINES)} {SEVERAL}", _one_of("engine", ENGINES)
    )
    many(
        "--require",
        "ENGINE",
        f"end with status 3 if this engine is missing {SEVERAL}",
        _one_of("engine", ENGINES),
    )
    sub.add_argument("--json", type=Path, metavar="FILE", help="write the whole run as JSON")
    sub.add_argument("--junit", type=Path, metavar="FILE", help="write a JUnit report")
    sub.add_argument("--html", type=Path, metavar="DIR", help="write a report to read in a browser")
    sub.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep every log and scratch file in this folder"
    )
    sub.add_argument("--jobs", type=_number(1), metavar="N", help="checks side by side (default: the cores)")
    sub.add_argument("--seed", type=_number(0), default=0, metavar="N", help="of every random choice (0)")
    sub.add_argument("--verbose", action="store_true", help="print the counterexample of every variant")
    sub.add_argument("--manifest", type=Path, metavar="FILE", help="other checks than those that ship")


def _one_of(what: str, names: Iterable[str]) -> Callable[[str], str]:
    """An argument type that takes one of these names and suggests the nearest."""
    known = tuple(names)

    def take(value: str) -> str:
        if value in known:
            return value
        raise argparse.ArgumentTypeError(f"unknown {what} {value!r}: {suggest(value, known)}")

    return take


def _number(least: int) -> Callable[[str], int]:
    def take(value: str) -> int:
        if value.isascii() and value.isdigit() and int(value) >= least:
            return int(value)
        raise argparse.ArgumentTypeError(f"{value!r}: a whole number of at least {least} is expected")

    return take


def package_version() -> str:
    """The installed version; ``unknown`` in a tree that was never installed."""
    try:
        return version("scratchbird-replication")
    except PackageNotFoundError:
        return "unknown"
