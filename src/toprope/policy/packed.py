"""Lays a model's weights out for few rows at a time, for as long as it decodes.

In bf16 on a CPU a product of a few rows spends much of its time re-laying the weights;
here they are laid out once per call of the sampler. The parameters themselves stay as they
are, so the learner never sees the copy; an adapter is added beside, as in the learner.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from toprope.policy.adapters import LowRankLinear


def can_pack(model: nn.Module) -> bool:
    """Return whether this build of torch has the layout, and the model what it is made for."""
    weight = next(model.parameters())
    fits = weight.device.type == "cpu" and weight.dtype is torch.bfloat16
    if not fits or not torch.backends.mkldnn.is_available():
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@contextmanager
def packed_weights(model: Any, rows: int) -> Iterator[None]:
    """Make the linear layers of `model` use packed weights inside; `rows` is the usual batch.

    A model that cannot be packed is left as it is.
    """
    if not can_pack(model):
        yield
        return
    linears = [m for m in model.modules() if type(m) in (nn.Linear, LowRankLinear)]
    try:
        for linear in linears:
            laid_out = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), rows)
            adapted = isinstance(linear, LowRankLinear) and bool(linear.high.any())
            linear.__dict__["forward"] = partial(_forward, linear, laid_out, adapted)
        yield
    finally:
        for linear in linears:
            linear.__dict__.pop("forward", None)


def _forward(
    linear: nn.Linear, laid_out: torch.Tensor, adapted: bool, x: torch.Tensor
) -> torch.Tensor:
    made: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
        x, laid_out, linear.bias, "none", [], ""
    )
    return linear.add_to(made, x) if adapted and isinstance(linear, LowRankLinear) else made
