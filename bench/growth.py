"""How the ledger's cost grows with the pool and with the evidence: `python bench/growth.py`.

Makes real ledgers in a temporary folder and measures what an iteration reads and writes, what
resuming costs, and what `summary` and `report` cost. `choose, whole tables` is the same choice
by reading and sorting everything, in the same run and in turn. Medians of a few rounds, in
milliseconds; --svg writes the picture.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from growth_ledgers import CONFIG, Made
from growth_plot import picture

from toprope.climb.coldtasks import cold_tasks
from toprope.ledger import queries
from toprope.ledger.store import LEDGER_NAME, Ledger
from toprope.ledger.summary import recompute
from toprope.report.page import REPORT_NAME, write_report

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
import plain_ledger
from micro_world import make_tasks

LIMIT_MS = 50.0
CHOOSE, PLAIN_CHOOSE = "choose", "choose, whole tables"
STEP, PLAIN_READS = "record a step", "its reads, whole tables"
Times = dict[str, list[float]]


def timed(times: Times, name: str, work: Callable[[], object]) -> None:
    """Add the milliseconds that one call takes."""
    started = time.perf_counter()
    work()
    times.setdefault(name, []).append((time.perf_counter() - started) * 1000)


def measure(made: Made, rounds: int, plain_rounds: int) -> dict[str, float]:
    """Return the median of everything measured on one ledger."""
    times: Times = {}
    task, path = make_tasks(train=1)[0], made.folder / LEDGER_NAME
    for at in range(rounds):
        with Ledger.open(path) as ledger:
            db, ids = ledger.db, made.choose(ledger)
            timed(times, CHOOSE, lambda: made.choose(ledger))
            timed(times, "cold tasks", lambda: cold_tasks(db, Every(task)))
            timed(times, STEP, lambda: made.step(ledger, ids))
            timed(times, "counts", ledger.counts)
            if at < plain_rounds:
                timed(times, PLAIN_CHOOSE, lambda: whole_choice(ledger, made.iteration))
                timed(times, PLAIN_READS, lambda: whole_reads(ledger))
        made.iteration -= 1
        timed(times, "resume", lambda: resume(path, made.iteration))
    for _ in range(plain_rounds):
        timed(times, "summary", lambda: recompute(made.folder))
        timed(times, "report", lambda: write_report(made.folder))
    return {name: statistics.median(found) for name, found in times.items()}


class Every(dict):
    """Any task id, answered with one task: what `cold_tasks` reads is the ledger."""

    def __init__(self, task) -> None:
        super().__init__()
        self.task = task

    def __contains__(self, _: object) -> bool:
        return True

    def __missing__(self, _: str):
        return self.task


def whole_choice(ledger: Ledger, iteration: int) -> None:
    """Choose as `plain_ledger` does."""
    climbing = CONFIG.climbing
    plain_ledger.batch(ledger.db, climbing.tasks, climbing.explore, CONFIG.seed, iteration)


def whole_reads(ledger: Ledger) -> None:
    """Read what recording a step needs to know, of every task instead of those concerned."""
    for _ in range(3):
        plain_ledger.states(ledger.db)
        queries.plain_draws(ledger.db)


def resume(path: Path, iteration: int) -> None:
    """Open a ledger and go back to the iteration before its last."""
    with Ledger.open(path) as ledger:
        ledger.rollback_after(iteration)
        ledger.db.execute("SELECT coalesce(sum(seconds), 0) FROM seconds").fetchone()
        ledger.counts()


def sweep(name: str, sizes: list[dict[str, int]], options: argparse.Namespace) -> dict[str, list]:
    """Measure ledgers of growing size, print a row for each, and return series by name."""
    series: dict[str, list[tuple[float, float]]] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            made = Made.of(Path(folder) / "run", **size)
            found = measure(made, options.rounds, options.plain_rounds)
            page = (made.folder / REPORT_NAME).stat().st_size / 1e6
            file = (made.folder / LEDGER_NAME).stat().st_size / 1e6
        told = "  ".join(f"{key} {value:.2f}" for key, value in found.items())
        print(f"{name} {size[name]:>9,}: {told}  (page {page:.2f} MB, ledger {file:.0f} MB)")
        sys.stdout.flush()
        for key, value in found.items():
            series.setdefault(key, []).append((float(size[name]), value))
    return series


def main() -> None:
    """Sweep the pool, then the evidence."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pools", type=int, nargs="*", default=[10**n for n in range(1, 7)])
    parser.add_argument("--rows", type=int, nargs="*", default=[10**n for n in range(3, 7)])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--plain-rounds", type=int, default=3)
    parser.add_argument("--svg", type=Path)
    options = parser.parse_args()
    print(f"medians in ms; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    pools = sweep("pool", [{"pool": n, "rows": 12_800} for n in options.pools], options)
    rows = sweep("rows", [{"pool": 2000, "rows": n} for n in options.rows], options)
    if options.svg:
        drawn = [
            ("By tasks in the pool (12,800 rows of evidence)", pools),
            ("By rows of evidence (2,000 tasks)", rows),
        ]
        quick = (CHOOSE, STEP, "cold tasks", "resume", "summary", "report")
        panels = [(title, {k: s[k] for k in quick if k in s}) for title, s in drawn]
        options.svg.write_text(picture(panels, LIMIT_MS), encoding="utf-8")


if __name__ == "__main__":
    main()
