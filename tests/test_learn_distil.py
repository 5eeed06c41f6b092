"""The reverse KL towards another model and its step, by hand and against a plain pass."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from micro_world import make_model
from toprope.learn import divergence
from toprope.learn.distil import learn_distributions
from toprope.learn.divergence import reverse_kl
from toprope.learn.fit import Fit
from toprope.learn.optimiser import MasterAdam
from toprope.learn.packing import GroupRow
from toprope.policy.supported import require_supported

# pi is even, q says 1/4 and 3/4: KL = .5 ln(.5/.25) + .5 ln(.5/.75), and
# its slope at logit v is pi_v (log pi_v - log q_v - KL).
KL = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
SLOPES = [0.5 * (math.log(2) - KL), 0.5 * (math.log(2 / 3) - KL)]
ODDS = torch.tensor([[0.0], [math.log(3)]])  # a head (V, 1) that says 1/4 and 3/4


class Recorded(MasterAdam):
    """Keeps the gradient that a step was about to use."""

    def step(self, learning_rate: float) -> float:
        assert self.master.grad is not None
        self.seen = self.master.grad.clone()
        return super().step(learning_rate)


class Unigram(torch.nn.Module):
    """A model whose only weights are a head (V, 1) on a state that is always 1."""

    def __init__(self, head: torch.Tensor) -> None:
        super().__init__()
        self.lm_head = torch.nn.Linear(1, len(head), bias=False)
        self.lm_head.weight.data.copy_(head)

    def model(self, input_ids: torch.Tensor, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=torch.ones(*input_ids.shape, 1))


def test_the_divergence_and_its_slopes_are_those_worked_out_by_hand() -> None:
    logits_TV = torch.zeros(2, 2, requires_grad=True)
    eye = torch.eye(2)
    summed, each_T = reverse_kl(logits_TV, eye, torch.ones(2, 1), ODDS, torch.tensor([1.0, 3.0]))
    summed.backward()
    assert each_T.tolist() == pytest.approx([KL, KL])
    assert summed.item() == pytest.approx(4 * KL)
    assert logits_TV.grad is not None
    assert logits_TV.grad.tolist() == [
        pytest.approx(SLOPES),
        pytest.approx([3 * s for s in SLOPES]),
    ]


def test_a_distribution_is_nearest_to_itself() -> None:
    states = torch.ones(3, 1, requires_grad=True)
    summed, each_T = reverse_kl(states, ODDS, torch.ones(3, 1), ODDS, torch.ones(3))
    summed.backward()
    assert each_T.abs().max() < 1e-6
    assert states.grad is not None
    assert states.grad.abs().max() < 1e-6


def test_rows_of_a_larger_head_that_the_other_lacks_are_in_neither_distribution() -> None:
    padded = torch.cat([ODDS, torch.full((3, 1), 9.0)])
    head = torch.zeros(2, 1, requires_grad=True)
    _, each_T = reverse_kl(torch.ones(1, 1), head, torch.ones(1, 1), padded, torch.ones(1))
    assert each_T.tolist() == pytest.approx([KL])
    wide = torch.zeros(5, 1, requires_grad=True)
    summed, each_T = reverse_kl(torch.ones(1, 1), wide, torch.ones(1, 1), ODDS, torch.ones(1))
    summed.backward()
    assert each_T.tolist() == pytest.approx([KL])
    assert wide.grad is not None
    assert wide.grad[:, 0].tolist() == pytest.approx([*SLOPES, 0.0, 0.0, 0.0])


@pytest.mark.parametrize("chunk", [1, 3, 128])
def test_chunks_give_what_whole_logits_give(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(divergence, "CHUNK", chunk)
    torch.manual_seed(0)
    hidden, head = torch.randn(7, 4, requires_grad=True), torch.randn(11, 4, requires_grad=True)
    target, target_head, weights = torch.randn(7, 6), torch.randn(11, 6), torch.rand(7)
    summed, each_T = reverse_kl(hidden, head, target, target_head, weights)
    found = torch.autograd.grad(summed, (hidden, head))
    log_pi = torch.log_softmax(hidden @ head.T, -1)
    log_q = torch.log_softmax(target @ target_head.T, -1)
    whole_T = F.kl_div(log_q, log_pi, log_target=True, reduction="none").sum(-1)
    wanted = torch.autograd.grad((weights * whole_T).sum(), (hidden, head))
    assert torch.allclose(each_T, whole_T, atol=1e-6)
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_a_step_divides_by_the_completions_and_the_limit_and_shares_a_context() -> None:
    model, target = Unigram(torch.zeros(2, 1)), Unigram(ODDS)
    optimiser = Recorded(model)
    # Two own tokens after the prompt (one context, counted twice), one after its child.
    row = GroupRow((0,), ((1,), (0, 1)), (1.0, 1.0))
    report = learn_distributions(model, target, optimiser, [row], learning_rate=0.0, token_limit=10)
    assert optimiser.seen.tolist() == pytest.approx([3 * slope / 20 for slope in SLOPES])
    assert report.loss == pytest.approx(3 * KL / 20)
    assert report.divergence == pytest.approx(KL)
    assert (report.own_tokens, report.processed_tokens, report.logits) == (3, 4, 2)


ROWS = [
    GroupRow((1, 2, 3), ((4, 5, 6), (4, 5, 7, 8), (9,)), (1.0, 1.0, 1.0)),
    GroupRow((3, 1), ((2, 2), (2, 2)), (1.0, 1.0)),
]


@pytest.mark.parametrize("most_tokens", [1, 2048])
def test_packed_rows_learn_what_single_answers_in_a_plain_pass_do(most_tokens: int) -> None:
    model, target = make_model(20, seed=1), make_model(20, seed=2)
    require_supported(model)
    require_supported(target)
    optimiser, plain = Recorded(model), 0.0
    for row in ROWS:
        for completion in row.completions:
            plain = plain + _plain(model, target, row.prompt_ids, completion)
    loss = plain / (5 * 6)
    grads = torch.autograd.grad(loss, optimiser.parameters)
    wanted = torch.cat([grad.reshape(-1) for grad in grads])
    before = [p.clone() for p in target.parameters()]
    report = learn_distributions(
        model, target, optimiser, ROWS, learning_rate=1e-3, token_limit=6, fit=Fit(most_tokens)
    )
    assert report.loss == pytest.approx(loss.item(), rel=1e-5)
    assert torch.linalg.vector_norm(optimiser.seen - wanted) < 1e-5 * wanted.norm()
    assert all(torch.equal(a, b) for a, b in zip(before, target.parameters(), strict=True))
    assert all(p.grad is None for p in target.parameters())


def _plain(model: Any, target: Any, prompt: tuple[int, ...], own: tuple[int, ...]) -> torch.Tensor:
    """Return the divergence summed over one answer's own tokens, and over nothing else."""
    ids = torch.tensor([prompt + own])
    mask = torch.ones(1, 1, ids.shape[1], ids.shape[1], dtype=torch.bool).tril_()
    whole = [m(input_ids=ids, attention_mask=mask, use_cache=False).logits for m in (model, target)]
    log_pi, log_q = (torch.log_softmax(one[0, len(prompt) - 1 : -1], -1) for one in whole)
    return (log_pi.exp() * (log_pi - log_q.detach())).sum()


def test_steps_bring_the_distributions_together() -> None:
    model, target = make_model(20, seed=1), make_model(20, seed=2)
    require_supported(model)
    require_supported(target)
    optimiser = MasterAdam(model)
    found = [
        learn_distributions(model, target, optimiser, ROWS, learning_rate=1e-3, token_limit=6)
        for _ in range(30)
    ]
    assert found[-1].divergence < found[0].divergence / 2
