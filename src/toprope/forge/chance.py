"""A number for every name, the same in every process: what all draws of the forge are made of."""

from __future__ import annotations

import hashlib


def chance(*names: str) -> float:
    """Return a number in [0, 1) that depends on the names alone."""
    digest = hashlib.sha256("\0".join(names).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
