"""The exceptions of the reference library, split by whose fault it is.

A refusal that the protocol itself foresees (a tick past the own bound, a message from a node whose clock
is far ahead) is no exception: it is an effect, because a caller must decide what to do and a trace must
show it. Exceptions are for what no rule foresees.
"""

from __future__ import annotations


class ReferenceLibraryError(Exception):
    """Base of every exception that this package raises."""


class CallerError(ReferenceLibraryError, ValueError):
    """The caller passed a value that can not be used; the message names the value and what is expected."""


class ConfigurationError(ReferenceLibraryError, ValueError):
    """A configuration contradicts itself or a rule; the message names the setting and the remedy."""
