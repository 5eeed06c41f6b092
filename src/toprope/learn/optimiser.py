"""Adam over fp32 master weights; the model itself is the copy that samplers read.

An update of 1e-6 on a weight of .02 vanishes in bf16, so the truth is kept in fp32, flat
and allocated once, and the model is refreshed from it after each step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from typing import Any

import torch


class MasterAdam:
    """Adam (.9, .95) with gradient clipping, on a flat fp32 copy of a model's parameters."""

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        clip: float = 1.0,
        exact: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        """`exact` holds the model's weights by name in more precision than the model does."""
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.names = [name for name, _ in named]
        self.parameters = [p for _, p in named]
        self.clip = clip
        exact = exact or {}
        self.master = torch.cat(
            [exact.get(name, p.detach()).to(p.device).reshape(-1).float() for name, p in named]
        )
        self.master.grad = torch.zeros_like(self.master)
        self._sizes = [p.numel() for p in self.parameters]
        self.reset()

    def reset(self) -> None:
        """Forget the moments: seeds and RL keep optimiser states of their own."""
        self.adam = torch.optim.Adam([self.master], lr=0.0, betas=(0.9, 0.95), fused=True)

    @contextmanager
    def fresh(self) -> Iterator[None]:
        """Use new moments inside, and the old ones again afterwards."""
        held = self.adam
        self.reset()
        try:
            yield
        finally:
            self.adam = held

    def load_master(self, master: torch.Tensor) -> None:
        """Take over master weights (flat, fp32) and refresh the model from them."""
        self.master.copy_(master)
        self._refresh()

    def collect(self) -> None:
        """Add the model's gradients of one piece of a batch to the fp32 gradient."""
        assert self.master.grad is not None
        views = self.master.grad.split(self._sizes)
        for parameter, view in zip(self.parameters, views, strict=True):
            if parameter.grad is not None:
                view.add_(parameter.grad.reshape(-1))
                parameter.grad.zero_()

    def forget(self) -> None:
        """Drop what was collected, and what a piece that failed half-way left behind."""
        assert self.master.grad is not None
        self.master.grad.zero_()
        for parameter in self.parameters:
            parameter.grad = None
        if not {"exp_avg", "exp_avg_sq"} <= self.moments().keys():
            self.adam.state.clear()  # memory may have run out between the two

    def unsound(self) -> str:
        """Return why a step would poison the weights though its gradient may be finite, or ''.

        A finite gradient and finite moments make a finite update (it is bounded by the rate).
        """
        for name, value in self.moments().items():
            if not isfinite(float(torch.linalg.vector_norm(value.float()))):
                return f"Adam's moment {name} is not finite"
        return ""

    def step(self, learning_rate: float) -> float:
        """Clip, update, refresh the model; return the gradient norm before clipping.

        A gradient that is not finite is dropped: the weights stay as they are and the
        norm returned is what it was (nan or inf).
        """
        grad = self.master.grad
        assert grad is not None
        norm = float(torch.linalg.vector_norm(grad))
        if isfinite(norm) and norm > 0:
            grad.mul_(min(1.0, self.clip / norm))
            for group in self.adam.param_groups:
                group["lr"] = learning_rate
            self.adam.step()
            self._refresh()
        grad.zero_()
        return norm

    def _refresh(self) -> None:
        with torch.no_grad():
            for parameter, view in zip(
                self.parameters, self.master.split(self._sizes), strict=True
            ):
                parameter.copy_(view.view_as(parameter))

    def moments(self) -> dict[str, torch.Tensor]:
        """Return Adam's moments as flat tensors, for a checkpoint; empty before a first step."""
        held: dict[str, Any] = self.adam.state.get(self.master, {})
        return {name: value for name, value in held.items() if torch.is_tensor(value)}

    def named_weights(self) -> dict[str, torch.Tensor]:
        """Return the fp32 master weights under the model's own names (views, not copies)."""
        views = self.master.detach().split(self._sizes)
        return {
            name: view.view_as(parameter)
            for name, parameter, view in zip(self.names, self.parameters, views, strict=True)
        }

    def load(
        self, weights: Mapping[str, torch.Tensor], moments: Mapping[str, torch.Tensor]
    ) -> None:
        """Restore what `named_weights` and `moments` returned, and refresh the model."""
        self.reset()
        self.load_master(torch.cat([weights[name].reshape(-1) for name in self.names]))
        if moments:
            place = self.master.device
            held = {k: value.to(place, copy=True) for k, value in moments.items()}
            self.adam.state[self.master] = held
