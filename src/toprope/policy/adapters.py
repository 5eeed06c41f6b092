"""Low-rank adapters (LoRA): a frozen base, and beside each of its linear layers a small product.

`y = W x + (alpha / r) · B A x` with A (r, in) random and B (out, r) zero at first, after Hu et
al. 2021 (arXiv:2106.09685). Only A and B learn, so gradients, master weights and moments are
a few per cent of the model's size, and a training step is two thirds of the products.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from toprope.policy.tensorfile import Later, Writable

ALPHA = 32.0


class LowRankLinear(nn.Linear):
    """A linear layer with a frozen weight and a learning product beside it."""

    def __init__(self, base: nn.Linear, rank: int, generator: torch.Generator) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = base.in_features, base.out_features
        self.weight, self.bias = base.weight, base.bias
        self.scale = ALPHA / rank
        bound = 1 / math.sqrt(base.in_features)
        low = torch.empty(rank, base.in_features).uniform_(-bound, bound, generator=generator)
        self.low = nn.Parameter(low.to(base.weight))
        self.high = nn.Parameter(torch.zeros(base.out_features, rank).to(base.weight))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the base's output plus the adapter's, of (…, in) inputs, as (…, out)."""
        return self.add_to(F.linear(x, self.weight, self.bias), x)

    def add_to(self, made: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Add, in place, what the adapter makes of `x` (…, in) to `made` (…, out)."""
        if self.scale:
            narrow = F.linear(x, self.low).flatten(0, -2)
            made.view(-1, self.out_features).addmm_(narrow, self.high.t(), alpha=self.scale)
        return made

    def merged(self) -> torch.Tensor:
        """Return `W + (alpha / r) B A` (out, in) in fp32."""
        product = self.high.detach().float() @ self.low.detach().float()
        return product.mul_(self.scale).add_(self.weight.detach())


def add_adapters(model: Any, rank: int, *, seed: int) -> None:
    """Freeze a transformers causal model and put an adapter beside each linear of its layers."""
    generator = torch.Generator().manual_seed(seed)
    model.requires_grad_(False)
    for module in list(model.model.layers.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                setattr(module, name, LowRankLinear(child, rank, generator))


@contextmanager
def without_adapters(model: nn.Module) -> Iterator[None]:
    """Make a model with adapters its own base inside; a model without any stays as it is."""
    layers = [m for m in model.modules() if isinstance(m, LowRankLinear)]
    scales = [layer.scale for layer in layers]
    try:
        for layer in layers:
            layer.scale = 0.0
        yield
    finally:
        for layer, scale in zip(layers, scales, strict=True):
            layer.scale = scale


def merged_weights(model: nn.Module) -> dict[str, Writable]:
    """Return the weights of a model with adapters as those of one without.

    Where an adapter lies they are fp32, made when they are written, since in bf16 a small
    change would round to none; sampler and learner keep base and adapter apart for the same
    reason.
    """
    weights: dict[str, Writable] = {
        name: parameter.detach()
        for name, parameter in model.named_parameters()
        if not parameter.requires_grad
    }
    for name, module in model.named_modules():
        if isinstance(module, LowRankLinear):
            shape = (module.out_features, module.in_features)
            weights[f"{name}.weight"] = Later(shape, torch.float32, module.merged)
    return weights
