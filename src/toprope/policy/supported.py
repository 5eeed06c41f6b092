"""Whether a model computes what the sampler and the learner compute for it, tried once at load.

They run a model's decoder with attention of their own and take its head as a plain product.
Some families do more (capped or scaled logits, sinks); one that does would be trained on
log-probabilities that are not its own, so it is refused.
"""

from __future__ import annotations

from typing import Any

import torch

from toprope.policy import attention
from toprope.terms import TopropeError

_TOKENS = 12
# Mean difference of log-probabilities over the vocabulary: rounding, and nothing more.
_MOST = {torch.float32: 0.01, torch.bfloat16: 0.3}


class UnsupportedModel(TopropeError):
    """A model of a family that is not computed right."""


def require_supported(model: Any) -> None:
    """Raise `UnsupportedModel` unless own and plain forward pass of a few tokens agree.

    Leaves the model with our attention.
    """
    family = type(model).__name__
    if not hasattr(model, "model") or not hasattr(model, "lm_head"):
        raise UnsupportedModel(
            f"{family} is not a decoder with a head of its own: choose a student of another family"
        )
    ids = torch.arange(_TOKENS)[None] % model.config.vocab_size
    ids = ids.to(next(model.parameters()).device)
    with torch.inference_mode():
        model.set_attn_implementation("eager")
        plain = model(input_ids=ids, use_cache=False).logits
        model.set_attn_implementation(attention.NAME)
        own = _own_logits(model, ids)
    difference = torch.log_softmax(plain.float(), -1) - torch.log_softmax(own.float(), -1)
    apart = float(difference.abs().mean())
    if not apart <= _MOST.get(own.dtype, 0.3):
        raise UnsupportedModel(
            f"{family} computes more than toprope does for it (log-probabilities differ by "
            f"{apart:.2g} on average): choose a student of another family"
        )


def _own_logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Return logits (1, T, V) as the learner has them."""
    T = ids.shape[1]
    mask = torch.ones(1, 1, T, T, dtype=torch.bool, device=ids.device).tril_()
    positions = torch.arange(T, device=ids.device)[None]
    hidden = model.model(
        input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False
    ).last_hidden_state
    logits: torch.Tensor = model.lm_head(hidden)
    return logits
