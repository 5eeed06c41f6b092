"""What a sampler asks of weights: are they the same as before, and are they numbers?"""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import nn

from toprope.terms import TopropeError


class NotFinite(TopropeError):
    """Weights that are no numbers."""


def stamp(model: nn.Module) -> Hashable:
    """Return a value that differs once any weight was written to or replaced.

    torch counts the writes to a tensor; the count costs nothing to ask for.
    """
    return tuple((p.data_ptr(), p._version) for p in model.parameters())


def require_finite(model: nn.Module) -> None:
    """Raise `NotFinite` if some weight is nan or infinite."""
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise NotFinite(
                f"the student's weights are no numbers any more ({name}): go on from an earlier "
                "checkpoint with a lower learning rate, or with student.dtype = float32"
            )
