"""A chip as plain numbers: its figures and the shares it reaches, each at one end of its range.

It must not know workloads. Phases are computed on machines, three times for a range.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from toprope.plan.chips import Chip
from toprope.plan.pool import Corner, against, at
from toprope.plan.ranges import Range
from toprope.plan.rates import load_rates
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


@dataclass(frozen=True, slots=True)
class Machine:
    """Rates per chip: FLOP/s, B/s, B, seconds. `domain` 1 means no link between chips."""

    chip: Chip
    peaks: Mapping[str, float]
    memory: float
    bandwidth: float
    link: float
    domain: int
    out: float
    train: float  # shares of peak
    prefill: float
    decode_bandwidth: float  # shares of bandwidth and of peak in a decode step
    decode_flops: float
    layer_dense_s: float
    layer_moe_s: float
    exposed: float
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
    """Return a chip at one end of its figures and of the shares that are reached of them."""
    rates = load_rates()
    own = chip.measured()
    layer = chip.layer_latency
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
        decode_bandwidth=at(rates.bandwidth, shares),
        decode_flops=at(rates.flops, shares),
        layer_dense_s=_layer(layer.range if layer else rates.layer_dense_s, shares),
        layer_moe_s=_layer(layer.range if layer else rates.layer_moe_s, shares),
        exposed=against(rates.exposed, shares),
        slower=dict(slower or {}),
    )


def _layer(value: Range, shares: Corner) -> float:
    return against(value, shares)


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
