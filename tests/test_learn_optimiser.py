"""Adam on fp32 master weights: torch's own, and what it must not lose."""

from __future__ import annotations

import pytest
import torch

from toprope.learn.optimiser import MasterAdam


def two_layers(dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3)).to(
        dtype
    )


def push(model: torch.nn.Module, step: int) -> None:
    """Make a gradient, the same for the same step."""
    torch.manual_seed(step)
    (model(torch.randn(4, 6)) * torch.randn(4, 3)).sum().backward()


def flat(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def test_steps_equal_torch_adam_with_clipping() -> None:
    ours, theirs = two_layers(), two_layers()
    optimiser = MasterAdam(ours, clip=1.0)
    adam = torch.optim.Adam(theirs.parameters(), lr=1e-2, betas=(0.9, 0.95))
    for step in range(6):
        push(ours, step)
        optimiser.collect()
        norm = optimiser.step(1e-2)
        push(theirs, step)
        expected = torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        adam.step()
        adam.zero_grad()
        assert norm == pytest.approx(float(expected), rel=1e-5)
        assert torch.allclose(flat(ours), flat(theirs), atol=1e-6)


def test_pieces_add_up_before_a_step() -> None:
    model = two_layers()
    optimiser = MasterAdam(model)
    push(model, 1)
    push(model, 2)
    whole = torch.cat([p.grad.reshape(-1) for p in model.parameters() if p.grad is not None])
    model.zero_grad()
    for step in (1, 2):
        push(model, step)
        optimiser.collect()
    assert optimiser.master.grad is not None
    assert torch.allclose(optimiser.master.grad, whole, atol=1e-6)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_is_dropped(poison: float) -> None:
    model = two_layers()
    optimiser = MasterAdam(model)
    push(model, 0)
    optimiser.collect()
    optimiser.step(1e-2)
    before, moments = flat(model).clone(), {k: v.clone() for k, v in optimiser.moments().items()}
    push(model, 1)
    next(model.parameters()).grad[0, 0] = poison  # type: ignore[index]
    optimiser.collect()
    assert not torch.isfinite(torch.tensor(optimiser.step(1e-2)))
    assert torch.equal(flat(model), before)
    assert all(torch.equal(optimiser.moments()[k], v) for k, v in moments.items())
    push(model, 2)  # and the poison is gone from the next step
    optimiser.collect()
    assert optimiser.step(1e-2) > 0
    assert torch.isfinite(flat(model)).all()


def test_seeds_and_reinforcement_have_moments_of_their_own() -> None:
    model = two_layers()
    optimiser = MasterAdam(model)
    push(model, 0)
    optimiser.collect()
    optimiser.step(1e-2)
    moments = {k: v.clone() for k, v in optimiser.moments().items()}
    with optimiser.fresh():
        assert optimiser.moments() == {}
        push(model, 1)
        optimiser.collect()
        optimiser.step(1e-2)
        assert not torch.equal(optimiser.moments()["exp_avg"], moments["exp_avg"])
    assert all(torch.equal(optimiser.moments()[k], v) for k, v in moments.items())


def test_a_restored_optimiser_goes_on_bit_for_bit() -> None:
    models = [two_layers(torch.bfloat16), two_layers(torch.bfloat16)]
    first = MasterAdam(models[0])
    for step in range(3):
        torch.manual_seed(step)
        models[0](torch.randn(4, 6).bfloat16()).sum().backward()
        first.collect()
        first.step(1e-3)
    weights = {name: value.clone() for name, value in first.named_weights().items()}
    second = MasterAdam(models[1])
    second.load(weights, {k: v.clone() for k, v in first.moments().items()})
    assert torch.equal(flat(models[0]), flat(models[1]))
    for model, optimiser in zip(models, (first, second), strict=True):
        torch.manual_seed(9)
        model(torch.randn(4, 6).bfloat16()).sum().backward()
        optimiser.collect()
        optimiser.step(1e-3)
    assert torch.equal(first.master, second.master)
    assert torch.equal(flat(models[0]), flat(models[1]))


def test_updates_too_small_for_bf16_add_up_in_the_master_weights() -> None:
    model = torch.nn.Linear(1, 1, bias=False).to(torch.bfloat16)
    torch.nn.init.constant_(model.weight, 0.02)
    start = float(model.weight.detach())
    optimiser = MasterAdam(model)
    for step in range(200):
        model(torch.ones(1, 1, dtype=torch.bfloat16)).sum().backward()
        optimiser.collect()
        optimiser.step(1e-6)
        if step == 0:
            assert float(model.weight.detach()) == start
    assert float(optimiser.master[0]) == pytest.approx(start - 200e-6, rel=1e-3)
    assert float(model.weight.detach()) < start


def test_exact_weights_are_taken_over_the_model_s_rounded_ones() -> None:
    model = torch.nn.Linear(2, 1, bias=False).to(torch.bfloat16)
    exact = torch.tensor([[0.1234567, -0.7654321]])
    with torch.no_grad():
        model.weight.copy_(exact)
    optimiser = MasterAdam(model, exact={"weight": exact})
    assert torch.equal(optimiser.named_weights()["weight"], exact)
