"""How much memory a step would take, weighed on two layers before it is tried.

A CPU's system gives memory that it does not have and kills who uses it, so what cannot fit
must be known beforehand. It must not know how much memory there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.graph import saved_tensors_hooks

from toprope.learn.fit import Fit
from toprope.learn.head import CHUNK
from toprope.learn.packing import GroupRow, pack
from toprope.learn.step import own_states

# Bytes of a trained parameter beside the model's own: fp32 gradient and two moments, and two
# more moments while seeds use theirs.
_LEARNING = 4 + 8 + 8


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes that a backward pass over one piece needs: of each layer, of the rest, of inputs."""

    layer: int
    rest: int
    inputs: int
    layers: int
    learning: int

    @property
    def plain(self) -> int:
        """Every layer kept, and one more layer's gradients."""
        return self.rest + (self.layers + 1) * self.layer + self.learning

    @property
    def checkpointed(self) -> int:
        """The inputs of every layer kept, and one layer with its gradients."""
        return self.rest + self.layers * self.inputs + 2 * self.layer + self.learning

    def of(self, fit: Fit) -> int:
        """Return the bytes of a step that is cut like this."""
        return self.checkpointed if fit.checkpointing else self.plain


def mask_bytes(piece: Sequence[GroupRow]) -> int:
    """Return what the mask of a packed piece takes alone, before anything is made."""
    return len(piece) * max(row.width for row in piece) ** 2


def weigh(model: Any, piece: Sequence[GroupRow]) -> Footprint:
    """Return what a step on one piece needs beyond the model and its master weights.

    Runs the forward pass of the first one and of the first two layers and counts what autograd
    keeps; the layers of one model are alike.
    """
    model.train()
    packed, layers = pack(piece), model.config.num_hidden_layers
    kept = [_kept(model, packed, count) for count in (1, min(2, layers))]
    layer = kept[1] - kept[0] if layers > 1 else kept[0]
    hidden = next(model.parameters())
    logits = 3 * min(CHUNK, len(packed.target_T)) * model.config.vocab_size * 4
    trained = [p for p in model.parameters() if p.requires_grad]
    return Footprint(
        layer=layer,
        rest=max(0, kept[0] - layer) + logits,
        inputs=packed.input_ids.numel() * model.config.hidden_size * hidden.element_size(),
        layers=layers,
        learning=sum(p.numel() * (p.element_size() + _LEARNING) for p in trained),
    )


def _kept(model: Any, packed: Any, layers: int) -> int:
    """Return the bytes that autograd keeps of a forward pass through the first `layers`."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    found: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage
        return tensor

    with _first_layers(model, layers), saved_tensors_hooks(keep, lambda tensor: tensor):
        states = own_states(model, packed, packed.source_T)  # the head is reckoned, not run
    return states.nbytes + sum(storage.nbytes() for storage in found.values())


@contextmanager
def _first_layers(model: Any, count: int) -> Iterator[None]:
    whole = model.config.num_hidden_layers
    model.config.num_hidden_layers = count
    try:
        yield
    finally:
        model.config.num_hidden_layers = whole
