"""A chip as plain numbers: its figures and the shares it reaches, each at one end of its range.

It must not know workloads. Phases are computed on machines, three times for a range.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from toprope.plan.chips import Chip
from toprope.plan.decode import load_fit
from toprope.plan.pool import Corner, against, at
from toprope.plan.rates import load_rates, usually_slower
from toprope.terms import TopropeError

# Between machines whose network nobody tells: 100 Gbit/s a chip.
_UNTOLD_OUT = 12.5e9
# What of memory holds weights, caches and states; the rest is fragments, buffers, kernels.
USABLE = 0.9

_FALLBACKS = {
    "fp4": ("fp4", "fp8", "int8", "bf16", "fp32"),
    "fp8": ("fp8", "int8", "bf16", "fp32"),
    "int8": ("int8", "fp8", "bf16", "fp32"),
    "bf16": ("bf16", "fp32"),
    "fp32": ("fp32", "bf16"),
}
BITS = {"fp4": 4, "fp8": 8, "int8": 8, "bf16": 16, "fp32": 32}


class NoPrecision(TopropeError):
    """A chip that has no units for a precision or any wider one."""


@dataclass(frozen=True, slots=True, eq=False)
class Machine:
    """Rates per chip: FLOP/s, B/s, B, seconds. `domain` 1 means no link between chips.

    One is equal to itself alone, so that what is computed for it can be remembered.
    """

    chip: Chip
    peaks: Mapping[str, float]
    memory: float
    bandwidth: float
    link: float
    domain: int
    out: float
    train: float  # shares of peak
    prefill: float
    decode: Mapping[str, float]  # constants of a decode step, by name
    decode_dense: float  # how many times the constants' time a step takes
    decode_moe: float
    exposed: float
    sync: float  # share of a link's rate that new weights reach
    slower: Mapping[str, float]  # per kind of work: how many times its figures' time it takes

    def precision(self, wanted: str, *, training: bool = False) -> str:
        """Return the precision that work wanted in one runs in here. Raises `NoPrecision`."""
        for name in _FALLBACKS[wanted]:
            if name in self.peaks and not (training and name in ("int8", "fp4")):
                return name
        raise NoPrecision(f"{self.chip.name} has no matrix rate for {wanted} or anything wider")

    def usable(self) -> float:
        """Bytes of a chip that a plan may fill."""
        return USABLE * self.memory


def machine(
    chip: Chip,
    figures: Corner = "usual",
    shares: Corner = "usual",
    slower: Mapping[str, float] | None = None,
) -> Machine:
    """Return a chip at one end of its figures and of the shares that are reached of them.

    It is as much slower than predicted as it or its maker's chips were measured to be, and
    `slower` times that per kind of work.
    """
    rates = load_rates()
    own = chip.measured()
    constants = dict(load_fit())
    usual_slow = usually_slower(chip.key)
    if chip.layer_latency is not None:
        constants["layers"] = against(chip.layer_latency.range, shares)
    return Machine(
        chip=chip,
        peaks={name: at(peak.rate.range, figures) for name, peak in chip.peaks.items()},
        memory=at(chip.memory.range, figures),
        bandwidth=at(chip.bandwidth.range, figures),
        link=at(chip.link.rate.range, figures) if chip.link else _UNTOLD_OUT,
        domain=chip.link.domain if chip.link else 1,
        out=at(chip.scale_out.rate.range, figures) if chip.scale_out else _UNTOLD_OUT,
        train=at(rates.measured_train if own else rates.train, shares),
        prefill=at(rates.measured_prefill if own else rates.prefill, shares),
        decode=constants,
        decode_dense=against(rates.decode_dense, shares),
        decode_moe=against(rates.decode_moe, shares),
        exposed=against(rates.exposed, shares),
        sync=at(rates.sync, shares),
        slower={work: usual * (slower or {}).get(work, 1.0) for work, usual in usual_slow.items()},
    )


def common_precision(one: Chip, other: Chip, wanted: str, *, training: bool = False) -> str:
    """Return the narrowest precision, not below `wanted`, that both chips have units for.

    For sampling, INT8 units count as 8 bits beside FP8; models are not trained in INT8.
    Raises `NoPrecision` if they share none.
    """
    for name in ("fp4", "fp8", "bf16", "fp32"):
        if BITS[name] < BITS[wanted]:
            continue
        if all(_native(chip, name, training) for chip in (one, other)):
            return name
    raise NoPrecision(f"{one.name} and {other.name} share no precision of {wanted} or wider")


def _native(chip: Chip, name: str, training: bool) -> bool:
    if name in chip.peaks:
        return True
    return name == "fp8" and not training and "int8" in chip.peaks
