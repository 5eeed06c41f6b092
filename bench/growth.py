"""How the ledger's cost grows with the pool and with the evidence: `python bench/growth.py`.

Makes real ledgers in a temporary folder and measures what an iteration reads and writes, what
resuming costs, and what `summary` and `report` cost. `choose, whole tables` is the same choice
by reading and sorting everything, in the same run and in turn. Medians of a few rounds, in
milliseconds of processor time, which other work on the machine does not stretch, and by the
clock, with waiting for the disk and for other work; --svg writes the picture of the former.
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

from toprope.climb.help.coldtasks import cold_tasks
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
SKIPPED = [f"{name} by the clock" for name in ("cold tasks", "counts", PLAIN_CHOOSE, PLAIN_READS)]
Times = dict[str, list[float]]


def timed(times: Times, name: str, work: Callable[..., object], *given: object) -> None:
    """Add the milliseconds of processor time, and by the clock, that one call takes."""
    clock, busy = time.perf_counter(), time.process_time()
    work(*given)
    times.setdefault(name, []).append((time.process_time() - busy) * 1000)
    times.setdefault(f"{name} by the clock", []).append((time.perf_counter() - clock) * 1000)


def measure(made: Made, rounds: int, plain_rounds: int) -> dict[str, float]:
    """Return the median of everything measured on one ledger."""
    times: Times = {}
    task, path = make_tasks(train=1)[0], made.folder / LEDGER_NAME
    for at in range(rounds):
        with Ledger.open(path) as ledger:
            db, ids = ledger.db, made.choose(ledger)
            timed(times, CHOOSE, made.choose, ledger)
            timed(times, "cold tasks", cold_tasks, db, Every(task))
            timed(times, STEP, made.step, ledger, ids)
            timed(times, "counts", ledger.counts)
            if at < plain_rounds:
                timed(times, PLAIN_CHOOSE, whole_choice, ledger, made.iteration)
                timed(times, PLAIN_READS, whole_reads, ledger)
        made.iteration -= 1
        timed(times, "resume", resume, path, made.iteration)
    for _ in range(plain_rounds):
        timed(times, "summary", recompute, made.folder)
        timed(times, "report", write_report, made.folder)
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
        told = "  ".join(f"{key} {value:.2f}" for key, value in found.items() if key not in SKIPPED)
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
    print(
        f"medians in ms of processor time; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    panels = []
    for title, name, sizes in (
        ("By tasks in the pool (12,800 rows of evidence)", "pool", sizes_of(options.pools, None)),
        ("By rows of evidence (2,000 tasks)", "rows", sizes_of(None, options.rows)),
    ):
        found = sweep(name, sizes, options)
        quick = (CHOOSE, STEP, "cold tasks", "resume", "summary", "report")
        if found:
            panels.append((title, {key: found[key] for key in quick}))
        if options.svg and panels:
            options.svg.write_text(picture(panels, LIMIT_MS), encoding="utf-8")


def sizes_of(pools: list[int] | None, rows: list[int] | None) -> list[dict[str, int]]:
    """Return what to make: pools with little evidence, or much evidence on one pool."""
    if pools is not None:
        return [{"pool": n, "rows": 12_800} for n in pools]
    return [{"pool": 2000, "rows": n} for n in rows or ()]


if __name__ == "__main__":
    main()
