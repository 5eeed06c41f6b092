"""What would run where a workload does not: more of the chip, adapters, a smaller model, patience.

Every way is tried before it is named. It must not know prices, nor how an answer is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import isinf

from toprope.plan.chips import Chip
from toprope.plan.machine import machine
from toprope.plan.phases import phases
from toprope.plan.pool import CORNERS
from toprope.plan.shapes import Shape, load_shapes
from toprope.plan.workload import Workload

# Pools are suggested up to this size; beyond it a plan is not helped by a number.
_MOST = 1 << 17


def instead(work: Workload, chip: Chip, count: int) -> list[str]:
    """Return, in words with the option to give, changes under which the workload does run."""
    return [
        *_more_chips(work, chip, count),
        *_adapters(work, chip, count),
        *_smaller(work, chip, count),
        *_slower(work, chip, count),
    ]


def runs(work: Workload, chip: Chip, count: int) -> bool:
    """Return whether the workload runs on so many, whichever end the chip's figures are at."""
    return not any(
        isinf(spent.seconds)
        for corner in CORNERS
        for spent in phases(work, machine(chip, corner, corner), count)
    )


def _more_chips(work: Workload, chip: Chip, count: int) -> Iterator[str]:
    size = 1
    while size <= _MOST:
        if size > count and runs(work, chip, size):
            yield f"{size:,} x {chip.name}"
            return
        size *= 2


def _adapters(work: Workload, chip: Chip, count: int) -> Iterator[str]:
    lighter = replace(work, method="lora")
    if work.method == "full" and work.kind != "serve" and runs(lighter, chip, count):
        yield "LoRA instead of all weights (--set method=lora)"


def _smaller(work: Workload, chip: Chip, count: int) -> Iterator[str]:
    for shape in _below(work.shape):
        if runs(replace(work, shape=shape), chip, count):
            yield f"a smaller model (--model {shape.key})"
            return


def _below(shape: Shape) -> list[Shape]:
    """Smaller models: of the same kind first, then of the same family, then the largest."""

    def unlike(one: Shape) -> tuple[bool, bool, float]:
        family = one.key.split("-")[0] != shape.key.split("-")[0]
        return one.is_moe != shape.is_moe, family, -one.parameters

    return sorted(
        (s for s in load_shapes().values() if s.parameters < shape.parameters), key=unlike
    )


def _slower(work: Workload, chip: Chip, count: int) -> Iterator[str]:
    speed = work.speed
    while speed > 1:
        speed = speed // 2
        if speed and runs(replace(work, speed=speed), chip, count):
            yield f"fewer tokens/s for a user (--set speed={speed:g})"
            return
