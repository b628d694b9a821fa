"""An implementation of ours as a command that speaks the protocol of the conformance kit.

``python -m scratchbird_check.conformance.serve reference`` (or ``production``, or the name of a variant)
shows what an implementation in another language has to do, and lets the kit be tested where no other is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import BinaryIO, TextIO

from scratchbird_check.conformance.drivers import (
    DeclinedError,
    Driver,
    Hello,
    HelloRefusedError,
    MissingImplementationError,
    ProductionDriver,
    ReferenceDriver,
)
from scratchbird_check.conformance.reading import MAX_LINE, parse_object
from scratchbird_check.traces.hlc import Json
from scratchbird_check.variants.handoff import VARIANTS as HANDOFF_VARIANTS
from scratchbird_check.variants.hlc import VARIANTS
from scratchbird_check.variants.merkle_forest import VARIANTS as FOREST_VARIANTS
from scratchbird_check.variants.quorum import VARIANTS as QUORUM_VARIANTS

IMPLEMENTATIONS: dict[str, Callable[[], Driver]] = {
    "reference": ReferenceDriver,
    "production": ProductionDriver,
    **{name: partial(ReferenceDriver, rules) for name, rules in VARIANTS.items()},
    **{name: partial(ReferenceDriver, quorums=variant) for name, variant in QUORUM_VARIANTS.items()},
    **{name: partial(ReferenceDriver, handoff=variant) for name, variant in HANDOFF_VARIANTS.items()},
    **{name: partial(ReferenceDriver, forests=variant) for name, variant in FOREST_VARIANTS.items()},
}


def serve(driver: Driver, requests: BinaryIO, replies: TextIO) -> None:
    """Answer line by line until the input ends."""
    while line := requests.readline(MAX_LINE + 1):
        replies.write(json.dumps(_reply(driver, line)) + "\n")
        replies.flush()


def _reply(driver: Driver, line: bytes) -> Json:
    try:
        request = parse_object(line)
        if "event" in request:
            return driver.step(request["event"]).to_json()
        if "hello" not in request:
            raise ValueError(f"{sorted(request)}: expected an object with the key hello, or event")
        driver.hello(Hello.from_json(request["hello"]))
    except DeclinedError as error:
        return {"ok": False, "reason": str(error)}
    except (HelloRefusedError, ValueError) as error:
        return {"error": str(error)}
    return {"ok": True}


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the implementation that the argument names: 0 when the input ends, 2 if there is none such."""
    names = sys.argv[1:] if arguments is None else arguments
    if len(names) != 1 or names[0] not in IMPLEMENTATIONS:
        print(
            f"give one of {', '.join(IMPLEMENTATIONS)}, not {' '.join(names) or 'nothing'}", file=sys.stderr
        )
        return 2
    try:
        driver = IMPLEMENTATIONS[names[0]]()
    except MissingImplementationError as error:
        print(error, file=sys.stderr)
        return 2
    serve(driver, sys.stdin.buffer, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
