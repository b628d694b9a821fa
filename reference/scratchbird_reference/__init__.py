"""The protocol, executable and readable: pure functions over frozen values, standard library only.

Start with :mod:`scratchbird_reference.hlc`, beside ``spec/hlc.md``.
"""

from scratchbird_reference import errors, hlc, uuid8

__all__ = ["errors", "hlc", "uuid8"]
