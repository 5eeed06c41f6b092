"""Reads the one record that a job of ours writes; anything else in its place is a forgery."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection
from typing import Any


class Forged(Exception):
    """What came through the result pipe is not exactly the record that was asked for."""


def read_record(data: bytes, nonce: str, keys: Collection[str]) -> dict[str, Any]:
    """Return the record with exactly `keys` and this run's `nonce`; raises `Forged`."""
    if data.count(b"\n") != 1 or not data.endswith(b"\n"):
        raise Forged("not exactly one record")
    try:
        record = json.loads(data.decode("ascii"), object_pairs_hook=_no_twins)
    except (ValueError, RecursionError):
        raise Forged("not a record") from None
    if not isinstance(record, dict) or set(record) != set(keys):
        raise Forged("not a record")
    if not secrets.compare_digest(str(record["nonce"]).encode(), nonce.encode()):
        raise Forged("not this run's record")
    return record


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise Forged("a name given twice")
    return dict(pairs)
