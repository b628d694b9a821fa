"""A short fingerprint of a state, so that a trace can be compared without carrying every state."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def digest(state: dict[str, Any]) -> str:
    """The first 16 hex digits of SHA-256 over the state as canonical JSON (sorted keys, no white space)."""
    text = json.dumps(state, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
