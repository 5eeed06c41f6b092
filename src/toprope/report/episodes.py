"""Reads the token-exact episodes of a run: `episodes/*.jsonl`, plain or gzipped.

A shard that is still being written, or was cut by a kill, is read as far as it goes.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def find_episode(run_dir: Path, episode_id: str) -> dict[str, Any] | None:
    """The episode with this id, with the fields of `terms.Episode`, or None."""
    quoted = json.dumps(episode_id)
    for line in _lines(run_dir):
        if quoted in line:
            episode = _parsed(line)
            if episode is not None and episode.get("id") == episode_id:
                return episode
    return None


def _lines(run_dir: Path) -> Iterator[str]:
    for shard in sorted((run_dir / "episodes").glob("*.jsonl*")):
        opener = gzip.open if shard.suffix == ".gz" else open
        with opener(shard, "rt", encoding="utf-8") as lines:
            try:
                yield from lines
            except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError):
                continue


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except json.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
