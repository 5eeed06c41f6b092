"""A step cut to fit memory is the same step, and a number that is not finite poisons nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from math import inf, nan
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tiny_models import tiny_model
from toprope.climb.meters import Shape
from toprope.learn.fit import Fit, checkpointed
from toprope.learn.footprint import weigh
from toprope.learn.optimiser import MasterAdam
from toprope.learn.packing import GroupRow, pack
from toprope.learn.step import learn_demonstrations, learn_groups, own_logprobs
from toprope.policy import attention
from toprope.policy.adapters import add_adapters
from toprope.policy.device import device_lost, memory_ran_out

FITS = (
    Fit(1),
    Fit(checkpointing=True),
    Fit(60, checkpointing=True),
    Fit(most_completions=1),
    Fit(1, checkpointing=True, most_completions=2),
    Fit(pairs_per_token=1),
)


def random_groups(seed: int, count: int = 4) -> list[GroupRow]:
    rng = random.Random(seed)

    def ids(least: int, most: int) -> tuple[int, ...]:
        return tuple(rng.randrange(1, 64) for _ in range(rng.randint(least, most)))

    groups = []
    for _ in range(count):
        stem = ids(2, 5)
        own = tuple(stem[: rng.randint(0, 4)] + ids(1, 9) for _ in range(rng.randint(2, 6)))
        sampled = tuple(tuple(rng.uniform(-5, -3) for _ in one) for one in own)
        groups.append(GroupRow(ids(4, 20), own, tuple(rng.uniform(-1, 1) for _ in own), sampled))
    return groups


def model_of(family: str, **changes: Any) -> Any:
    model = tiny_model(family, **changes)
    model.set_attn_implementation(attention.NAME)
    return model


def gradient(model: Any, learn: Callable[..., Any], fit: Fit) -> tuple[float, torch.Tensor]:
    """Return loss and gradient of a step, caught where the optimiser would take it."""
    optimiser, found = MasterAdam(model), []

    def caught(rate: float) -> float:
        assert optimiser.master.grad is not None
        found.append(optimiser.master.grad.clone())
        return 1.0

    optimiser.step = caught  # type: ignore[method-assign]
    return learn(model, optimiser, fit).loss, found[0]


def reinforced(model: Any, optimiser: MasterAdam, fit: Fit) -> Any:
    rows = random_groups(3)
    return learn_groups(
        model, optimiser, rows, learning_rate=0.0, episodes=20, token_limit=9, fit=fit
    )


def imitated(model: Any, optimiser: MasterAdam, fit: Fit) -> Any:
    rows = [
        replace(row, sampler_logprobs=None, token_weights=row.sampler_logprobs)
        for row in random_groups(4)
    ]
    return learn_demonstrations(model, optimiser, rows, learning_rate=0.0, fit=fit)


@pytest.mark.parametrize("adapters", [False, True])
@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma3"])
def test_smaller_pieces_and_checkpointing_give_the_plain_gradient(
    family: str, adapters: bool
) -> None:
    model = model_of(family)
    if adapters:
        add_adapters(model, 4, seed=0)
        for name, parameter in model.named_parameters():
            if name.endswith("high"):
                torch.nn.init.normal_(parameter, std=0.1)
    for learn in (reinforced, imitated):
        loss, whole = gradient(model, learn, Fit())
        assert whole.norm() > 0
        for fit in FITS:
            again, cut = gradient(model, learn, fit)
            assert again == pytest.approx(loss, rel=1e-5, abs=1e-7), fit
            assert float((cut - whole).norm() / whole.norm()) < 1e-5, fit


def test_checkpointing_keeps_less_and_leaves_the_model_as_it_was() -> None:
    model, rows = model_of("llama", num_hidden_layers=6), random_groups(0)
    model.train()
    kept = []
    for wanted in (False, True):
        sizes: list[int] = []
        with (
            checkpointed(model, wanted),
            torch.autograd.graph.saved_tensors_hooks(
                lambda t, sizes=sizes: sizes.append(t.nbytes) or t,  # type: ignore[misc,func-returns-value]
                lambda t: t,
            ),
        ):
            own_logprobs(model, pack(rows))
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 4
    assert not any("forward" in layer.__dict__ for layer in model.model.layers)


def test_the_weighing_of_two_layers_is_what_all_layers_keep() -> None:
    for family in ("llama", "qwen2", "gemma3"):
        model, rows = model_of(family, num_hidden_layers=6), random_groups(1)
        found, storages = weigh(model, rows), {}
        own = {p.untyped_storage().data_ptr() for p in model.parameters()}

        def keep(tensor: torch.Tensor, storages: Any = storages, own: Any = own) -> torch.Tensor:
            if tensor.untyped_storage().data_ptr() not in own:
                storages[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            own_logprobs(model, pack(rows))
        whole = sum(t.untyped_storage().nbytes() for t in storages.values())
        weighed = found.plain - found.learning - found.layer
        assert weighed == pytest.approx(whole, rel=0.25)
        assert found.checkpointed < found.plain
        assert model.config.num_hidden_layers == 6


@pytest.mark.parametrize("count", [1, 5])
def test_every_smaller_fit_computes_less_at_once_and_there_is_a_last_one(count: int) -> None:
    rows, fit, seen = random_groups(5, count), Fit(), []
    while fit is not None:
        cut = fit.pieces(rows)
        assert sum(row.own_tokens for one in cut for row in one) == sum(r.own_tokens for r in rows)
        largest = max(one[0].width * len(one) for one in cut)
        crowd = max(len(row.completions) for one in cut for row in one)
        seen.append((largest, not fit.checkpointing, crowd))
        last, fit = fit, fit.smaller(rows)  # type: ignore[assignment]
    for past, now in pairwise(seen):
        assert now != past
        assert all(small <= large for small, large in zip(now, past, strict=True))
    assert last.checkpointing
    assert last.most_completions == 1
    assert all(len(one) == 1 or one[0].width * len(one) <= last.most_tokens for one in cut)


@pytest.mark.parametrize(
    ("prompt", "long"), [(200, 16), (200, 300), (40, 300), (2, 400), (900, 700)]
)
def test_completions_share_a_row_where_that_is_the_least_work(prompt: int, long: int) -> None:
    worth, G = 3000, 8
    row = GroupRow(
        tuple(range(prompt)), tuple((g,) * long for g in range(G)), advantages=(1.0,) * G
    )

    def work(pieces: list[list[GroupRow]]) -> int:
        return sum(one.width * worth + one.width**2 for piece in pieces for one in piece)

    cut = [part for piece in Fit(1, pairs_per_token=worth).pieces([row]) for part in piece]
    assert [c for part in cut for c in part.completions] == list(row.completions)
    ways = [work(Fit(1, most_completions=most).pieces([row])) for most in range(1, G + 1)]
    assert work([cut]) <= 1.05 * min(ways)  # the best number of rows need not divide the group
    if long == 16:
        assert cut == [row]
    if prompt == 2:
        assert len(cut) > 1


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_checkpointed_flops_are_no_fewer_than_torch_counts(family: str) -> None:
    model = model_of(family, hidden_size=64, intermediate_size=192)
    optimiser, rows = MasterAdam(model), random_groups(6)
    with FlopCounterMode(display=False) as counter:
        report = learn_groups(
            model, optimiser, rows, learning_rate=0.0, episodes=20, token_limit=9, fit=FITS[1]
        )
    computed = report.positions, report.pairs, report.logits
    ours = Shape.of(model).training(*computed, layers_again=report.checkpointed)
    assert 0.97 < ours / counter.get_total_flops() < 1.08


@pytest.mark.parametrize("value", [nan, inf])
@pytest.mark.parametrize("learn", [reinforced, imitated])
def test_a_value_that_is_not_finite_skips_the_step_and_touches_nothing(
    learn: Callable[..., Any], value: float
) -> None:
    model = model_of("llama")
    optimiser = MasterAdam(model)
    sound = learn(model, optimiser, Fit())
    weights = optimiser.master.detach().clone()
    moments = {name: held.clone() for name, held in optimiser.moments().items()}
    hook = model.model.layers[1].register_forward_hook(lambda m, i, out: out * value)
    report = learn(model, optimiser, Fit())
    hook.remove()
    assert report.skipped
    assert not sound.skipped
    assert torch.equal(optimiser.master, weights)
    assert all(torch.equal(held, moments[k]) for k, held in optimiser.moments().items())
    after = learn(model, optimiser, Fit())
    assert not after.skipped
    assert after.grad_norm == pytest.approx(sound.grad_norm, rel=1e-5)  # nothing was left over


def test_moments_that_are_not_finite_do_not_reach_the_weights() -> None:
    model = model_of("llama")
    optimiser = MasterAdam(model)
    reinforced(model, optimiser, Fit())
    optimiser.moments()["exp_avg"][3] = nan
    weights = optimiser.master.detach().clone()
    report = learn_groups(
        model, optimiser, random_groups(3), learning_rate=0.1, episodes=20, token_limit=9
    )
    assert "exp_avg" in report.skipped
    assert torch.equal(optimiser.master, weights)


def test_a_gradient_left_by_a_piece_that_failed_is_forgotten() -> None:
    model = model_of("llama")
    optimiser = MasterAdam(model)
    _, wanted = gradient(model, reinforced, Fit())
    own_logprobs(model, pack(random_groups(9))).sum().backward()
    optimiser.adam.state[optimiser.master] = {"step": torch.tensor(0.0)}  # no room for moments
    optimiser.forget()
    report = reinforced(model, optimiser, Fit())
    assert report.grad_norm == pytest.approx(float(wanted.norm()), rel=1e-5)
    assert optimiser.moments().keys() >= {"exp_avg", "exp_avg_sq"}


def test_torch_s_failures_are_told_apart() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 60)
    assert memory_ran_out(refused.value)
    assert memory_ran_out(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert memory_ran_out(MemoryError())
    assert device_lost(torch.AcceleratorError("CUDA error: unspecified launch failure"))
    for other in (RuntimeError("shape mismatch"), ValueError("out of memory")):
        assert not memory_ran_out(other)
        assert not device_lost(other)
    assert not device_lost(torch.OutOfMemoryError("CUDA error: out of memory"))
