"""Seconds per output token of a served model: a roofline plus what served models really pay.

A step takes a constant per layer, host work, bytes, FLOPs and collectives, added; beside them
run the prompts of sequences that arrive while others decode, which is why a token takes longer
where answers are short. `decode_fit.toml` holds the constants and what they were fitted to;
chips enter by their figures only, models by their shape only. It must not know workloads.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import log2
from pathlib import Path

from toprope.plan.chips import Chip
from toprope.plan.layout import Layout
from toprope.plan.shapes import Shape

FIT = Path(__file__).with_name("decode_fit.toml")

BACKENDS = ("trtllm", "sglang", "vllm")
# Bytes of a parameter: of what every token passes, and of routed experts. FP4 carries a scale
# of 8 bits per 16 values; its releases leave a MoE's body at 8 bits, INT4 ones at 16.
STORED: Mapping[str, tuple[float, float]] = {
    "bf16": (2.0, 2.0),
    "fp8": (1.0, 1.0),
    "int8": (1.0, 1.0),
    "fp4": (0.5625, 0.5625),
    "int4": (2.0, 0.53),
}
_RATE = {"fp4": ("fp4", "fp8", "int8"), "fp8": ("fp8", "int8"), "int8": ("int8", "fp8")}
# What a server fills of memory; less room than `_TIGHT` is taken as told, not computed with.
_FILLED, _TIGHT = 0.92, 0.02


@dataclass(frozen=True, slots=True)
class Served:
    """A model on chips under load: `prompt` and `answer` tokens, `layout.batch` at once.

    `mixed` says that prompts are worked on by the same chips as answers.
    """

    shape: Shape
    chip: Chip
    precision: str
    layout: Layout
    prompt: int
    answer: int
    backend: str = ""
    mixed: bool = True


def parts(served: Served) -> dict[str, float]:
    """Return a token's time by cause, each in seconds at datasheet rates or as a plain count.

    Times `constants` gives seconds; `seconds_per_token` does so.
    """
    s, lay = served.shape, served.layout
    batch = running(served)
    rate = batch / served.answer / lay.copies if served.mixed else 0.0
    reads = _reads(served, batch)
    flops, prefill = _flops(served, batch)
    hops = log2(lay.tensor) if lay.tensor > 1 else 0.0
    moved = 8.0 * s.layers * s.hidden * (lay.tensor - 1) / lay.tensor / _link(served)
    return {
        "layers": s.layers,
        "moe_layers": s.moe_layers,
        "mla_layers": s.layers if s.attention == "mla" else 0,
        "linear_layers": s.linear_layers,
        "indexed_layers": s.layers if s.sparse_top else 0,
        "hops": 2.0 * s.layers * hops,
        "step": 1.0,
        "sequences": batch / lay.copies,
        **reads,
        "flops": flops,
        "link": moved * batch / lay.copies,
        "prompt_layers": rate * s.layers,
        "prompt_reads": rate * reads["body"] + rate * _expert_read(served, served.prompt),
        "prompt_flops": prefill * batch / served.answer if served.mixed else 0.0,
        "prompt_link": moved * rate * served.prompt,
    }


def seconds_per_token(served: Served, constants: Mapping[str, float] | None = None) -> float:
    """Return the time per output token, the first excepted, in seconds."""
    return weighed(parts(served), served, constants or load_fit())


def weighed(part: Mapping[str, float], served: Served, k: Mapping[str, float]) -> float:
    """Return the seconds that `parts` take under constants; a product of each with its own.

    An unknown backend gets what the known ones have in common.
    """
    kind = "moe" if served.shape.is_moe else "dense"
    own = served.backend if served.backend in BACKENDS else None
    layer = k[f"layer_{kind}_{own}"] if own else 1.0
    host = k[f"host_{own}"] if own else 1.0
    prompts = (k[f"prompt_{kind}_{own}"] if own else 1.0) * (1.0 if kind == "moe" else k["dense"])
    unpacked = k["int4"] if served.precision == "int4" else 1.0
    packed = unpacked * (k["fp4"] if served.precision == "fp4" else 1.0)
    layers = ("layers", "moe_layers", "mla_layers", "linear_layers", "indexed_layers", "hops")
    constant = layer * unpacked * sum(k[name] * part[name] for name in layers)
    host *= k["step"] * part["step"] + k["sequences"] * part["sequences"]
    read = packed * (k["body"] * part["body"] + k["experts"] * part["experts"])
    step = read + sum(k[name] * part[name] for name in ("cache", "flops", "link"))
    between = (
        layer * unpacked * k["prompt_layers"] * part["prompt_layers"]
        + k["body"] * part["prompt_reads"]
        + k["prompt_flops"] * part["prompt_flops"]
        + k["link"] * part["prompt_link"]
    )
    return constant + host + step + prompts * between


def running(served: Served) -> float:
    """Return how many of the batch run at once: what memory holds beside the weights.

    Where hardly anything is left the batch is taken as told, since it was served.
    """
    s, lay = served.shape, served.layout
    whole = lay.chips * lay.stages * served.chip.memory.range.typ
    body, expert = stored(s, served.precision)
    held = (s.body_parameters * body + 4.0 * s.head_parameters) * lay.copies
    room = _FILLED * whole - held - s.routed_parameters * expert
    if room < _TIGHT * whole:
        return lay.batch
    longest = s.kv_values(served.prompt + served.answer / 2) * _cached(served.precision)
    held_by = lay.tensor / min(lay.tensor, cache_ways(s))
    return min(lay.batch, max(4.0, room / (longest * held_by)))


def stored(shape: Shape, precision: str) -> tuple[float, float]:
    """Return bytes of a parameter of the body and of a routed expert."""
    body, expert = STORED[precision]
    if shape.is_moe and precision == "fp4":
        body = 1.0
    return shape.body_bytes or body, expert


@cache
def load_fit(path: Path = FIT) -> Mapping[str, float]:
    """Return the fitted constants: seconds, or times the datasheet's time, by name."""
    raw = tomllib.loads(path.read_text("utf-8"))
    return {name: float(row["value"]) for name, row in raw["constants"].items()}


def _reads(served: Served, batch: float) -> dict[str, float]:
    s, lay, band = served.shape, served.layout, served.chip.bandwidth.range.typ
    body, _ = stored(s, served.precision)
    every = s.body_parameters * body + 2.0 * s.head_parameters
    read = s.kv_values_read(served.prompt + served.answer / 2) * _cached(served.precision)
    ways = min(lay.tensor, cache_ways(s))
    return {
        "body": every / lay.tensor / band,
        "experts": _expert_read(served, batch),
        "cache": batch / lay.copies * read / ways / band,
    }


def _expert_read(served: Served, tokens: float) -> float:
    """Seconds to read the experts that so many tokens choose, spread over all chips."""
    s = served.shape
    if not s.is_moe:
        return 0.0
    touched = 1 - (1 - s.active_experts / s.experts) ** min(tokens, 8192)
    _, expert = stored(s, served.precision)
    chips = served.layout.chips
    return s.routed_parameters * expert * touched / chips / served.chip.bandwidth.range.typ


def _flops(served: Served, batch: float) -> tuple[float, float]:
    """Seconds at peak of a step, and of one prompt."""
    s, lay = served.shape, served.layout
    peak, plain = _peak(served.chip, served.precision), _peak(served.chip, "bf16")
    body = 2.0 * (s.body_parameters + s.head_parameters)
    chosen = 2.0 * s.parameters_active - body
    context = served.prompt + served.answer / 2
    attention = s.attention_flops(context) / lay.tensor / plain
    step = (body / lay.tensor / lay.copies + chosen / lay.chips) / peak
    every = (2.0 * s.body_parameters / lay.chips + chosen / lay.chips) / peak
    causal = s.attention_flops(served.prompt / 2) / lay.chips / plain
    return batch * (step + attention / lay.copies), served.prompt * (every + causal)


def _peak(chip: Chip, precision: str) -> float:
    for name in (*_RATE.get(precision, ()), "bf16", "fp32"):
        if found := chip.peak(name):
            return found.typ
    return max(peak.rate.range.typ for peak in chip.peaks.values())


def _link(served: Served) -> float:
    return served.chip.link.rate.range.typ if served.chip.link else 12.5e9


def _cached(precision: str) -> float:
    return 2.0 if precision == "bf16" else 1.0


def cache_ways(shape: Shape) -> int:
    """How many ways a cache can be cut by heads: a compressed one (MLA) not at all."""
    return 1 if shape.attention == "mla" else shape.kv_heads
