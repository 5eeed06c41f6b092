"""Bytes a chip holds under a given cut of a model, in the terms that published breakdowns use.

Activations: Korthikanti et al. 2022 (arXiv 2205.05198, tables 2 and equation 5); model states:
ZeRO (arXiv 1910.02054). It must not know speeds or prices.
"""

from __future__ import annotations

from toprope.plan.shapes import Shape
from toprope.terms import TopropeError

ACTIVATIONS = ("tensor", "sequence", "selective", "full")


class BreakdownError(TopropeError):
    """A way of keeping activations or a ZeRO stage that there is not."""


def states(shape: Shape, tensor: int, pipeline: int, bytes_each: float) -> float:
    """Bytes of weights, gradients and optimiser a chip, each parameter in `bytes_each`."""
    return shape.parameters * bytes_each / (tensor * pipeline)


def zero(parameters: float, stage: int, shards: int) -> float:
    """Bytes of model states a chip with mixed-precision Adam: 2 weights, 2 gradients, 12 Adam.

    Stage 1 shards the optimiser, 2 also gradients, 3 also weights. Raises `BreakdownError`.
    """
    if stage not in range(4):
        raise BreakdownError(f"ZeRO stage {stage}: there are 0, 1, 2 and 3")
    weights = 2 / (shards if stage == 3 else 1)
    gradients = 2 / (shards if stage >= 2 else 1)
    adam = 12 / (shards if stage >= 1 else 1)
    return parameters * (weights + gradients + adam)


def activations(
    shape: Shape,
    how: str,
    *,
    sequence: int,
    micro_batch: int,
    tensor: int = 1,
    pipeline: int = 1,
    interleave: int = 1,
) -> float:
    """Bytes of activations on the chip that keeps most: the first stage of the pipeline.

    `how`: only "tensor" parallel, also "sequence" parallel, that with "selective"
    recomputation of attention, or "full" recomputation. The first stage keeps as many
    micro-batches as there are stages, so all layers count; interleaving adds to it.
    Raises `BreakdownError`.
    """
    each = micro_batch * sequence * shape.hidden
    scores = 5.0 * shape.heads * sequence / shape.hidden
    per_layer = {
        "tensor": 10 + (24 + scores) / tensor,
        "sequence": (34 + scores) / tensor,
        "selective": 34 / tensor,
        "full": 2.0,
    }
    if how not in per_layer:
        raise BreakdownError(f"activations {how!r}: write one of {', '.join(ACTIVATIONS)}")
    more = 1 + (pipeline - 1) / (pipeline * interleave) if interleave > 1 else 1.0
    return each * per_layer[how] * shape.layers * more
