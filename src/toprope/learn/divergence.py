"""Reverse KL towards the distributions of another model, at the contexts of own tokens.

Per predicting state s: KL(pi || q) = sum_v pi(v|s) (log pi(v|s) - log q(v|s)), over the whole
vocabulary, the contexts taken as given: nothing is learnt through how they were sampled
(GKD, arXiv:2306.13649, section 3, on-policy with reverse KL). Its expectation over the own
tokens is that of the sampled estimate -(log pi - log q), without its variance; both models'
logits are there anyhow, a chunk of tokens at a time.
"""

from __future__ import annotations

from typing import Any

import torch

CHUNK = 128


class _ReverseKL(torch.autograd.Function):
    """Per token the divergence, and its weighted sum; gradients to the student's side only.

    With logits z, d KL / d z_v = pi_v (log pi_v - log q_v - KL). It is taken chunk by chunk
    while the logits are there, so that none is kept or computed twice.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden_TD: torch.Tensor,
        weight_VD: torch.Tensor,
        target_TE: torch.Tensor,
        target_weight_VE: torch.Tensor,
        weights_T: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        V = min(len(weight_VD), len(target_weight_VE))
        head_VD, target_head_VE = weight_VD[:V], target_weight_VE[:V]
        kl_T = torch.empty(len(weights_T), device=hidden_TD.device)
        grad_hidden = torch.empty_like(hidden_TD)
        grad_weight = torch.zeros_like(weight_VD) if ctx.needs_input_grad[1] else None
        for at in range(0, len(weights_T), CHUNK):
            piece = slice(at, at + CHUNK)
            log_pi = torch.log_softmax((hidden_TD[piece] @ head_VD.T).float(), dim=-1)
            log_q = torch.log_softmax((target_TE[piece] @ target_head_VE.T).float(), dim=-1)
            gap = log_pi - log_q
            pi = log_pi.exp_()
            kl = (pi * gap).sum(dim=-1)
            kl_T[piece] = kl
            slope = gap.sub_(kl[:, None]).mul_(pi).mul_(weights_T[piece, None])
            small = slope.to(hidden_TD.dtype)
            grad_hidden[piece] = small @ head_VD
            if grad_weight is not None:
                grad_weight[:V].addmm_(small.T, hidden_TD[piece])
        ctx.save_for_backward(grad_hidden, grad_weight)
        ctx.mark_non_differentiable(kl_T)
        return (weights_T * kl_T).sum(), kl_T

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        grad_hidden, grad_weight = ctx.saved_tensors
        scaled = None if grad_weight is None else grads[0] * grad_weight
        return grads[0] * grad_hidden, scaled, None, None, None


def reverse_kl(
    hidden_TD: torch.Tensor,
    weight_VD: torch.Tensor,
    target_TE: torch.Tensor,
    target_weight_VE: torch.Tensor,
    weights_T: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (sum_t w_t KL_t, KL_t), a scalar to differentiate and nats per token (T,), fp32.

    Takes the final hidden states of both models at the same contexts and their vocabulary
    heads. Where one head has more rows, ids that the other lacks are left out of both
    distributions: they stand for no token.
    """
    both: tuple[torch.Tensor, torch.Tensor] = _ReverseKL.apply(
        hidden_TD, weight_VD, target_TE, target_weight_VE, weights_T
    )
    return both
