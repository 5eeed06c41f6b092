"""Bytes that training and serving hold: weights, states, activations, caches.

Formulas of Megatron (arXiv 2205.05198) and ZeRO; it must not know how fast anything is.
"""

from __future__ import annotations

from math import ceil

from toprope.plan.flops import adapter_parameters
from toprope.plan.shapes import Shape
from toprope.plan.workload import WEIGHT_BYTES, Workload

# What the runtime, its kernels and collective buffers take of every chip before any model.
RESERVE = 3.9e9
_GRADIENT, _OPTIMISER = 2.0, 12.0


def weights(shape: Shape, precision: str) -> float:
    """Bytes of all weights."""
    return shape.parameters * WEIGHT_BYTES[precision]


def cache_bytes(precision: str) -> float:
    """Bytes of a cached value beside weights of a precision: 8 bits beside 8, else 16."""
    return 1.0 if WEIGHT_BYTES[precision] <= 1 else 2.0


def cache(shape: Shape, tokens: float, precision: str) -> float:
    """Bytes of the cache of one sequence of so many tokens."""
    return shape.kv_values(tokens) * cache_bytes(precision)


def states(work: Workload) -> float:
    """Bytes of weights, gradients and optimiser over all chips, each held once."""
    shape = work.shape
    wide = WEIGHT_BYTES["fp32" if work.train_precision == "fp32" else "bf16"]
    if work.method == "lora":
        trainable = adapter_parameters(shape, work.rank)
        return shape.parameters * wide + trainable * (wide + _GRADIENT + _OPTIMISER)
    return shape.parameters * (wide + _GRADIENT + _OPTIMISER)


def activations(shape: Shape, tokens: float) -> float:
    """Bytes that one sequence of `tokens` keeps when every layer is computed again.

    2 per token, hidden value and layer, one layer at work (34), and the logits of a
    sixteenth of the sequence at a time, in FP32.
    """
    kept = 2.0 * tokens * shape.hidden * shape.layers
    at_work = 34.0 * tokens * shape.hidden
    return kept + at_work + 4.0 * tokens / 16 * shape.vocab


def training_chips(work: Workload, usable: float) -> int:
    """Return the fewest chips that hold states and one sequence, all of it spread over them."""
    length = min(work.context, work.length or work.context)
    return _over(states(work) + activations(work.shape, length), usable)


def serving_chips(shape: Shape, tokens: float, precision: str, usable: float) -> int:
    """Return the fewest chips that hold the weights and the cache of one sequence."""
    return _over(weights(shape, precision) + cache(shape, tokens, precision), usable)


def _over(held: float, usable: float) -> int:
    each = usable - RESERVE
    if each <= 0:
        return 1 << 40
    return max(1, ceil(held / each))
