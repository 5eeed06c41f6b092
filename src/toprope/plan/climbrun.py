"""A finished climb as a workload, and its meters beside what the planner says of them.

Reads a run's `ledger.sqlite` and nothing of the climb's code. It must not know how a climb
decides; sampling for training and for evaluation are one here.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from toprope.ledger.queries import keyed
from toprope.ledger.schema import explained, open_for_reading
from toprope.ledger.store import LEDGER_NAME
from toprope.plan import flops
from toprope.plan.machine import machine
from toprope.plan.pool import CORNERS, Pool, over_corners
from toprope.plan.ranges import Range
from toprope.plan.shapes import Shape, UnknownShape, find_shape
from toprope.plan.workload import Workload, WorkloadError

_SAMPLED, _TRAINED = ("sample", "eval"), ("train", "seed", "help")


@dataclass(frozen=True, slots=True)
class PhaseMeter:
    """What a phase used, summed over the run's iterations."""

    phase: str
    processed: float  # tokens computed, prompts and what was fed back; shared ones once
    sampled: float
    trained: float
    flops: float
    episodes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Run:
    """A run's meters and what its workload is made of."""

    name: str
    shape: Shape
    rank: int
    iterations: int
    meters: tuple[PhaseMeter, ...]
    prompt_tokens: float  # of a mean episode, as shown
    grade_s: float  # all grading


@dataclass(frozen=True, slots=True)
class Compared:
    """A phase's FLOPs and seconds, metered and predicted; no seconds without a chip."""

    phase: str
    flops_metered: float
    flops_predicted: float
    seconds_metered: float
    seconds_predicted: Range | None


def is_run(path: Path) -> bool:
    """Whether a folder holds a run's ledger."""
    return (path / LEDGER_NAME).is_file()


def read_run(folder: Path, model: str = "", rank: int = 32) -> Run:
    """Return a run's meters; `model` names its shape where its own name is not known.

    Raises LedgerError if there is no ledger, `WorkloadError` if nothing was sampled, or the
    student's shape is unknown.
    """
    ledger = folder / LEDGER_NAME
    db = open_for_reading(ledger)
    try:
        with explained(ledger):
            known = {**keyed(db, "meta"), **keyed(db, "facts")}
            meters = _meters(db)
            prompts, grade, iterations = _sums(db)
    finally:
        db.close()
    if not any(meter.episodes for meter in meters):
        raise WorkloadError(f"{folder}: no episode was sampled in this run; climb first")
    name = str(known.get("run") or folder.name)
    shape = _shape(model or str(known.get("student", "")))
    return Run(name, shape, rank, iterations, tuple(meters), prompts, grade)


def _meters(db: sqlite3.Connection) -> list[PhaseMeter]:
    spent: dict[str, float] = dict(
        db.execute("SELECT phase, sum(seconds) FROM seconds GROUP BY phase").fetchall()
    )
    rows = db.execute(
        "SELECT phase, sum(processed_tokens), sum(sampled_tokens), sum(trained_tokens), "
        "sum(flops), sum(episodes) FROM meters GROUP BY phase"
    ).fetchall()
    wanted = (*_SAMPLED, *_TRAINED)
    found = [
        PhaseMeter(phase, processed, sampled, trained, counted, episodes, spent.get(phase, 0.0))
        for phase, processed, sampled, trained, counted, episodes in rows
    ]
    return sorted(
        (meter for meter in found if meter.phase in wanted),
        key=lambda meter: wanted.index(meter.phase),
    )


def _sums(db: sqlite3.Connection) -> tuple[float, float, int]:
    """Mean prompt tokens of an episode, seconds of grading, iterations."""
    prompt = db.execute("SELECT avg(prompt_tokens) FROM evidence").fetchone()[0]
    grade = db.execute("SELECT sum(seconds) FROM seconds WHERE phase = 'grade'").fetchone()[0]
    iterations = db.execute("SELECT count(*) FROM commits").fetchone()[0]
    return float(prompt or 0), float(grade or 0), max(1, int(iterations))


def _shape(name: str) -> Shape:
    """The shape of a student's name; what follows the model's name is cut off piece by piece."""
    left = name
    while True:
        try:
            return find_shape(left)
        except UnknownShape:
            if "-" not in left:
                raise UnknownShape(
                    f"the run's student {name!r} has no known shape; name one with --model"
                ) from None
            left = left.rsplit("-", 1)[0]


def as_workload(run: Run) -> Workload:
    """Return the run as RL: its episodes, lengths, grading and trained rows, iteration by mean."""
    drawn = [meter for meter in run.meters if meter.phase in _SAMPLED]
    learned = [meter for meter in run.meters if meter.phase in _TRAINED]
    episodes = sum(meter.episodes for meter in drawn)
    sampled = sum(meter.sampled for meter in drawn) / episodes
    computed = sum(meter.processed - meter.sampled for meter in drawn) / episodes
    prompt = max(run.prompt_tokens, computed, 1.0)
    return Workload(
        name=run.name,
        kind="rl",
        about=f"the finished climb {run.name}",
        source="its ledger and meters",
        shape=run.shape,
        method="lora" if run.rank else "full",
        rank=run.rank,
        context=max(2048, int(prompt + sampled) + 1),
        tokens=max(1.0, sum(meter.processed for meter in learned)),
        iterations=run.iterations,
        episodes=max(1, round(episodes / run.iterations)),
        prompt_tokens=prompt,
        sampled_tokens=max(sampled, 1e-6),
        cached=1 - max(computed, 0.0) / prompt,
        environment_s=run.grade_s / episodes,
        environment_workers=1,
        looks_again=False,
    )


def compare(run: Run, pool: Pool | None) -> list[Compared]:
    """Return each phase's FLOPs and seconds beside what shape, tokens and chip predict."""
    found = []
    for meter in run.meters:
        predicted = _predicted_flops(run, meter)
        seconds = _predicted_seconds(run, meter, predicted, pool) if pool else None
        found.append(Compared(meter.phase, meter.flops, predicted, meter.seconds, seconds))
    return found


def _predicted_flops(run: Run, meter: PhaseMeter) -> float:
    """FLOPs of a phase from its tokens: a head row only for what is sampled or trained on.

    What episodes of a group have in common is computed once, so rows are at most the tokens
    that were processed. Padding is not in the tokens.
    """
    shape = run.shape
    head = shape.head_parameters
    body = shape.parameters_active - head
    seen = flops.attention(shape, run.prompt_tokens / 2)
    if meter.phase in _TRAINED:
        passes = 4.0 if run.rank else 6.0
        rows = min(meter.trained, meter.processed)
        return meter.processed * (passes * body + 3.0 * seen) + rows * (passes + 2.0) * head
    rows = min(meter.sampled, meter.processed)
    return meter.processed * (2.0 * body + seen) + rows * 2.0 * head


def _predicted_seconds(run: Run, meter: PhaseMeter, predicted: float, pool: Pool) -> Range:
    """Seconds of the FLOPs at the chip's rate; this climb's batches are never bandwidth-bound.

    With hundreds of rows a step, reading the weights takes less than the product with them.
    """
    at = []
    for corner in CORNERS:
        here = machine(pool.chip, corner, corner)
        training = meter.phase in _TRAINED
        rate = here.peaks[here.precision("bf16", training=training)]
        share = here.train if training else here.prefill
        at.append(predicted / (pool.count * rate * share))
    return over_corners(*at)
