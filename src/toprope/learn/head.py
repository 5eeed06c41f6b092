"""Log-probabilities of the policy's own tokens, without ever holding their logits.

The vocabulary projection runs in chunks of tokens and is computed again in the backward
pass, so memory stays at one chunk whatever the batch.
"""

from __future__ import annotations

from typing import Any

import torch

CHUNK = 256


class _TokenLogprobs(torch.autograd.Function):
    """log softmax(hidden @ weight^T) at the targets, chunked; gradients to both."""

    @staticmethod
    def forward(
        ctx: Any, hidden_TD: torch.Tensor, weight_VD: torch.Tensor, target_T: torch.Tensor
    ) -> torch.Tensor:
        logprobs = torch.empty(len(target_T), device=hidden_TD.device)
        normaliser = torch.empty_like(logprobs)
        for at in range(0, len(target_T), CHUNK):
            piece = slice(at, at + CHUNK)
            logits = (hidden_TD[piece] @ weight_VD.T).float()
            normaliser[piece] = torch.logsumexp(logits, dim=-1)
            chosen = logits.gather(1, target_T[piece, None])[:, 0]
            logprobs[piece] = chosen - normaliser[piece]
        ctx.save_for_backward(hidden_TD, weight_VD, target_T, normaliser)
        return logprobs

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        (grad_T,) = grads
        hidden_TD, weight_VD, target_T, normaliser = ctx.saved_tensors
        grad_hidden = torch.empty_like(hidden_TD)
        grad_weight = torch.zeros_like(weight_VD) if ctx.needs_input_grad[1] else None
        for at in range(0, len(target_T), CHUNK):
            piece = slice(at, at + CHUNK)
            logits = (hidden_TD[piece] @ weight_VD.T).float()
            grad = logits.sub_(normaliser[piece, None]).exp_().mul_(-grad_T[piece, None])
            grad.scatter_add_(1, target_T[piece, None], grad_T[piece, None].float())
            small = grad.to(hidden_TD.dtype)
            grad_hidden[piece] = small @ weight_VD
            if grad_weight is not None:
                grad_weight.addmm_(small.T, hidden_TD[piece])
        return grad_hidden, grad_weight, None


def token_logprobs(
    hidden_TD: torch.Tensor, weight_VD: torch.Tensor, target_T: torch.Tensor
) -> torch.Tensor:
    """Return log p(target) per token (T,), float32, from final hidden states (T, D)."""
    return _TokenLogprobs.apply(hidden_TD, weight_VD, target_T)
