"""The run directory: what a person can read with `less`, and what a killed run resumes from.

`config.toml`, `ledger.sqlite` (the truth), `episodes/`, `metrics.jsonl`, `checkpoints/`,
`summary.json`, `report.html`. Every file but the ledger is written aside and renamed.
"""

from __future__ import annotations

import fcntl
import gzip
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from toprope.climb.config import ClimbConfig, ConfigError, load_whole, to_toml
from toprope.climb.settings import TEACHER_LIMITS
from toprope.policy.checkpoint import prune, step_name
from toprope.policy.store import DiskFull, means_full
from toprope.terms import Episode, TopropeError

CONFIG, METRICS, SUMMARY = "config.toml", "metrics.jsonl", "summary.json"


class RunDirError(TopropeError):
    """The run directory cannot be used as asked."""


class RunDir:
    """One run's folder, held by one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    def checkpoint(self, iteration: int) -> Path:
        """Return where an iteration's checkpoint lies."""
        return self.checkpoints / step_name(iteration)

    def claim(self, config: ClimbConfig) -> bool:
        """Make or reopen the folder for these settings; return whether a run is resumed.

        Raises:
            RunDirError: it cannot be made, another process runs in it, or it holds a run with
                other settings or of another version.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._hold()
        except OSError as error:
            if means_full(error):
                raise
            raise RunDirError(
                f"cannot write to {self.path} ({error.strerror}): choose another folder with --run"
            ) from error
        resolved = self.path / CONFIG
        if not resolved.exists():
            write_whole(resolved, to_toml(config))
            return False
        try:
            kept = load_whole(resolved)
        except ConfigError as error:
            raise RunDirError(
                f"{error}; this folder was written by another version of toprope: "
                "use that version, or choose another folder with --run"
            ) from error
        if _identity(kept) != _identity(config):
            raise RunDirError(
                f"{self.path} holds a run with other settings ({_differences(kept, config)}): "
                "resume it with its own recipe, or choose another folder with --run"
            )
        return True

    def release(self) -> None:
        """Let another process have the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _hold(self) -> None:
        self._lock = (self.path / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise RunDirError(
                f"another process is climbing in {self.path}: wait for it, or use another --run"
            ) from error

    def save_episodes(self, iteration: int, episodes: Iterable[Episode]) -> None:
        """Write an iteration's episodes, one JSON object a line, compressed."""
        folder = self.path / "episodes"
        folder.mkdir(exist_ok=True)
        lines = (json.dumps(asdict(e), separators=(",", ":")) + "\n" for e in episodes)
        packed = gzip.compress("".join(lines).encode(), compresslevel=5, mtime=0)
        write_whole(folder / f"iteration-{iteration:06d}.jsonl.gz", packed)

    def add_metrics(self, row: dict[str, Any]) -> None:
        """Append one iteration's numbers."""
        with (self.path / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def forget_after(self, iteration: int) -> None:
        """Drop what a killed run wrote beyond the iteration it resumes from."""
        metrics = self.path / METRICS
        if metrics.exists():
            lines = metrics.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if _iteration_of(line) <= iteration]
            write_whole(metrics, "".join(line + "\n" for line in kept))
        for shard in (self.path / "episodes").glob("iteration-*.jsonl.gz"):
            if int(shard.name[10:16]) > iteration:
                shard.unlink()
        self.keep_checkpoints(i for i in self.written_checkpoints() if i <= iteration)

    def written_checkpoints(self) -> list[int]:
        """Return the iterations whose checkpoints lie here, in order."""
        return sorted(int(f.name.removeprefix("step-")) for f in self.checkpoints.glob("step-*"))

    def keep_checkpoints(self, iterations: Iterable[int]) -> None:
        """Remove every checkpoint but these."""
        prune(self.checkpoints, {step_name(iteration) for iteration in iterations})


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that a kill leaves the old one or the new one, never a part."""
    stage = path.with_name(f".{path.name}.tmp")
    data = content.encode() if isinstance(content, str) else content
    with stage.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(stage, path)


@contextmanager
def disk_room(run: Path) -> Iterator[None]:
    """Say of a full disk, whoever met it, what to do for this run."""
    try:
        yield
    except Exception as error:
        if means_full(error) or isinstance(error, DiskFull):
            met = error.__cause__ if isinstance(error, DiskFull) else error
            raise RunDirError(
                f"the disk of {run} is full ({met}): free some space and run the same command "
                "to go on; everything up to the last committed iteration is safe"
            ) from error
        raise


def _iteration_of(line: str) -> float:
    """Return the iteration of a metrics row; a row cut by a kill belongs to none."""
    try:
        return float(json.loads(line)["iteration"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _identity(config: ClimbConfig) -> dict[str, Any]:
    """Return the settings that may not change on resume.

    Limits may, a teacher's too, and a sampling server's address.
    """
    movable = {"endpoint", "patience_s"}
    return config.model_dump(
        exclude={"limits": True, "teacher": set(TEACHER_LIMITS), "student": movable}
    )


def _differences(kept: ClimbConfig, now: ClimbConfig) -> str:
    told = []
    old, new = _identity(kept), _identity(now)
    for name, value in new.items():
        if isinstance(value, dict):
            told += [f"{name}.{k}" for k, v in value.items() if old[name].get(k) != v]
        elif old[name] != value:
            told.append(name)
    return ", ".join(told)
