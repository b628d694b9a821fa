"""What can go wrong in the checker itself, split by whose fault it is. All of it ends in a clear message."""

from __future__ import annotations


class CheckError(Exception):
    """Base of all errors of this package. ``exit_code`` is what the command ends with."""

    exit_code = 2


class UsageError(CheckError):
    """The caller asked for something that does not exist or cannot be done: a name, a file, an option."""


class ManifestError(CheckError):
    """``manifest.toml`` or ``properties.toml`` is not as it must be: a bug of the checker's data."""


class ToolError(CheckError):
    """A tool could not be installed, or does not answer as it should."""

    exit_code = 1


class MissingToolError(ToolError):
    """A tool is missing; the message says which and how to get it. A check that needs it is *not run*."""
