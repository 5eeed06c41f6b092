"""Comparing toprope with others: sides as processes of their own, in turn, and their ratios.

Each side runs in its own Python and answers JSON lines (`peers/lines.py`). A benchmark asks
every side for the same work in every round, in an order that turns round, and what is
compared are the ratios within a round. What the sides say they did must be equal, or there is
no result. Memory is the peak of resident memory of all a side's processes, from its start.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

FOLDER = Path(__file__).parent / "peers"
GIB = 2.0**30
_TICK = os.sysconf("SC_CLK_TCK")


class Side:
    """One of those compared: a process, or several, in an environment of its own."""

    def __init__(self, name: str, python: str, script: str, *, make: str, threads: int) -> None:
        """`make` is the command that makes the environment, told where there is none."""
        if not os.access(python, os.X_OK):
            raise SystemExit(f"{name}: there is no Python at {python}. Make one:\n  {make}")
        self.name, self.peak = name, 0.0
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed with the side
        read, write = os.pipe()
        self._answers = os.fdopen(read, encoding="utf-8")
        self._process = subprocess.Popen(
            [python, str(FOLDER / script)],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            text=True,
            env={**os.environ, **_environment(threads), "PEER_ANSWERS": str(write)},
            pass_fds=(write,),
            start_new_session=True,  # its processes are found, and ended, by their session
        )
        os.close(write)

    def ask(self, **told: Any) -> dict[str, Any]:
        """Return the answer to a command; a side that dies ends the comparison, with its log."""
        assert self._process.stdin
        try:
            print(json.dumps(told), file=self._process.stdin, flush=True)
            line = self._answers.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._log.seek(0)
            said = self._log.read().decode(errors="replace")[-3000:]
            raise SystemExit(f"{self.name} ended by itself:\n{said}")
        self.peak = max(self.peak, peak_bytes(self._process.pid))
        return dict(json.loads(line))

    def busy(self) -> float:
        """Return the processor seconds that this side's processes have used so far."""
        return busy_seconds(self._process.pid)

    def __enter__(self) -> Side:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End every process of the side."""
        for pid in _members(self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, 9)
        self._process.wait()
        self._answers.close()
        self._log.close()


def _environment(threads: int) -> dict[str, str]:
    """Return what is set for every side alike."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "PYTHONUNBUFFERED": "1",
    }


def _stat(pid: int) -> list[str]:
    """Return the fields of a process after its name, which may hold spaces."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _members(session: int) -> list[int]:
    """Return the living processes of a session, and those begun by them in others."""
    found, parents = {session}, {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = _stat(int(entry))
        except OSError:
            continue  # it ended meanwhile
        parents[int(entry)] = int(fields[1])
        if int(fields[3]) == session:
            found.add(int(entry))
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found & parents.keys())


def peak_bytes(session: int) -> float:
    """Return the sum of the peaks of resident memory of a session's living processes."""
    total = 0
    for pid in _members(session):
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        kib = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
        total += 1024 * int(kib[0]) if kib else 0
    return float(total)


def busy_seconds(session: int) -> float:
    """Return the processor seconds used by a session's living processes."""
    total = 0
    for pid in _members(session):
        try:
            fields = _stat(pid)
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / _TICK


def require_equal(answers: Mapping[str, Mapping[str, Any]], keys: Sequence[str]) -> None:
    """End with what differs unless all sides say the same of the work they did.

    A side may leave a key out that it cannot know; `None` counts as left out.
    """
    for key in keys:
        told = {name: one[key] for name, one in answers.items() if one.get(key) is not None}
        if len({json.dumps(value) for value in told.values()}) > 1:
            raise SystemExit(f"the sides did not do the same work: {key} is {told}")


def in_turn(
    sides: Sequence[Side], rounds: int, ask: Callable[[Side, int], dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Return every side's answers by name, a round after another, in turning order.

    Each answer gains `others_busy`: processor seconds that the waiting sides used meanwhile,
    which a fair comparison has next to none of.
    """
    found: dict[str, list[dict[str, Any]]] = {side.name: [] for side in sides}
    for at in range(rounds):
        for side in sides if at % 2 == 0 else reversed(sides):
            others = [one for one in sides if one is not side]
            before = sum(one.busy() for one in others)
            answer = ask(side, at)
            answer["others_busy"] = round(sum(one.busy() for one in others) - before, 2)
            found[side.name].append(answer)
            print(f"round {at + 1}, {side.name}: {answer['seconds']:.2f} s", file=sys.stderr)
    return found


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Return how many times ours theirs took: the median over the rounds, and its extremes."""
    each = [b / a for a, b in zip(ours, theirs, strict=True)]
    return {"median": statistics.median(each), "least": min(each), "most": max(each)}


def summed_up(
    sides: Sequence[Side],
    found: Mapping[str, Sequence[Mapping[str, Any]]],
    opened: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the result by side; the first side is the one that the others are compared to."""
    first = sides[0]
    result: dict[str, Any] = {}
    for side in sides:
        seconds = [float(one["seconds"]) for one in found[side.name]]
        result[side.name] = {
            "versions": opened[side.name].get("versions"),
            "seconds": seconds,
            "median_s": statistics.median(seconds),
            "peak_gib": side.peak / GIB,
            "time_ratio": ratios([float(one["seconds"]) for one in found[first.name]], seconds),
            "memory_ratio": side.peak / first.peak,
            "others_busy_s": sum(float(one["others_busy"]) for one in found[side.name]),
            "answers": list(found[side.name]),
        }
    return result


def show(result: Mapping[str, Mapping[str, Any]], tokens: float, what: str) -> None:
    """Print a table of the sides; `tokens` of `what` is the work of a round."""
    print(f"{'side':<28}{'seconds':>9}{what + '/s':>13}{'times ours':>22}{'GiB':>7}{'of ours':>9}")
    for name, one in result.items():
        ratio = one["time_ratio"]
        spread = f"{ratio['median']:.2f} ({ratio['least']:.2f}-{ratio['most']:.2f})"
        print(f"{name:<28}{one['median_s']:>9.2f}{tokens / one['median_s']:>13.0f}{spread:>22}"
              f"{one['peak_gib']:>7.2f}{one['memory_ratio']:>9.2f}")  # fmt: skip
        if one["others_busy_s"] > 0.05 * sum(one["seconds"]):
            print(f"  unfair: the others used {one['others_busy_s']:.1f} s of processors meanwhile")


def save(path: str, name: str, options: argparse.Namespace, result: Any) -> None:
    """Write the result with what it was measured on."""
    told = {
        "benchmark": name,
        "options": vars(options),
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "load_after": os.getloadavg()},
        "python": platform.python_version(),
        "result": result,
    }
    Path(path).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(f"written to {path}")


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def prompts(count: int, *, tokens: int = 200, seed: int = 0) -> list[str]:
    """Return pieces of source code of about so many tokens, different from one another."""
    import random

    text = Path(statistics.__file__).read_text(encoding="utf-8")
    rng = random.Random(seed)
    sizes = [int(tokens * rng.uniform(0.9, 1.1) * _CHARACTERS) for _ in range(count)]
    starts = [rng.randrange(len(text) - size) for size in sizes]
    return [text[start : start + size] for start, size in zip(starts, sizes, strict=True)]


_CHARACTERS = 2.5  # of this source code in a token, about
