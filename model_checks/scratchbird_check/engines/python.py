"""Checks that are plain functions of this project: ties between model, proof and code, computed figures.

``options.target`` names the function, ``package.module:function``; it is called with the check and the
context and returns an outcome, as an engine's ``run`` does.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import cast

from scratchbird_check.context import Context
from scratchbird_check.errors import ManifestError
from scratchbird_check.manifest import Check
from scratchbird_check.verdicts import Outcome

Target = Callable[[Check, Context], Outcome]


def missing() -> str:
    """Never missing: we are running in it."""
    return ""


def run(check: Check, context: Context) -> Outcome:
    """Call the target."""
    return load(check)(check, context)


def load(check: Check) -> Target:
    """The function that the check names.

    :raises ManifestError: if there is no such module or function. An import that fails further down is raised
        as it is: that is a missing package or a bug, not a wrong name.
    """
    target = str(check.options["target"])
    module_name, colon, name = target.partition(":")
    if not colon or not module_name or not name:
        raise ManifestError(f"check {check.id!r}: target {target!r} must be 'package.module:function'")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise ManifestError(f"check {check.id!r}: there is no module {error.name}") from None
        raise
    function = getattr(module, name, None)
    if not callable(function):
        raise ManifestError(f"check {check.id!r}: module {module_name} has no function {name!r}")
    return cast(Target, function)
