"""Adapters: nothing at first, all that learns afterwards, and one model when merged."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from test_policy_packed import linears, needs_bf16
from tiny_models import FAMILIES, tiny_model
from toprope.learn.optimiser import MasterAdam
from toprope.learn.packing import GroupRow
from toprope.learn.step import learn_demonstrations
from toprope.policy import attention
from toprope.policy.adapters import LowRankLinear, add_adapters, merged_weights
from toprope.policy.asks import Ask
from toprope.policy.packed import packed_weights
from toprope.policy.sampler import TorchSampler
from toprope.policy.tensorfile import write_tensors

IDS = torch.arange(1, 25).view(3, 8)


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def adapted(family: str, rank: int = 4) -> Any:
    model = tiny_model(family)
    add_adapters(model, rank, seed=1)
    model.set_attn_implementation(attention.NAME)
    return model


def taught(model: Any, steps: int = 4) -> MasterAdam:
    optimiser = MasterAdam(model)
    rows = [GroupRow((1, 2, 3), ((4, 5, 6),), (1.0,)), GroupRow((7, 8), ((9, 10),), (1.0,))]
    for _ in range(steps):
        learn_demonstrations(model, optimiser, rows, learning_rate=3e-2)
    model.set_attn_implementation("eager")
    return optimiser


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=IDS).logits.float()


def test_fresh_adapters_change_nothing(family: str) -> None:
    model = tiny_model(family)
    before = logits(model)
    add_adapters(model, 4, seed=0)
    assert sum(isinstance(layer, LowRankLinear) for layer in linears(model)) == 2 * 7
    assert torch.equal(logits(model), before)


def test_the_same_seed_gives_the_same_adapters(family: str) -> None:
    one, other = adapted(family).state_dict(), adapted(family).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_only_the_adapters_learn(family: str) -> None:
    model, base = adapted(family), tiny_model(family).state_dict()
    optimiser = taught(model)
    assert all(name.endswith((".low", ".high")) for name in optimiser.names)
    assert len(optimiser.names) == 2 * 14
    after = model.state_dict()
    assert all(torch.equal(after[name], base[name]) for name in base)
    assert all(parameter.grad is None for _, parameter in frozen(model))
    assert float((logits(model) - logits(tiny_model(family))).abs().max()) > 0.1


def frozen(model: Any) -> list[tuple[str, Any]]:
    return [(n, p) for n, p in model.named_parameters() if not n.endswith((".low", ".high"))]


def test_the_merged_weights_are_the_same_model_without_adapters(
    family: str, tmp_path: Path
) -> None:
    model, plain = adapted(family), tiny_model(family)
    taught(model)
    write_tensors(tmp_path / "merged", merged_weights(model))
    missing, unexpected = plain.load_state_dict(load_file(tmp_path / "merged"), strict=False)
    assert not unexpected
    assert set(missing) <= {"lm_head.weight"}  # tied
    assert torch.allclose(logits(plain), logits(model), atol=1e-4)


@needs_bf16
def test_decoding_from_packed_weights_uses_the_adapters(family: str) -> None:
    model = adapted(family).to(torch.bfloat16)
    before = logits(model)
    taught(model)
    plain = logits(model)
    with torch.inference_mode(), packed_weights(model, 8):
        assert all("forward" in layer.__dict__ for layer in linears(model))
        quick = logits(model)
    assert float((quick - plain).abs().max()) < 0.15 * float((plain - before).abs().max())


def test_the_frozen_base_is_the_untaught_model_and_leaves_the_taught_one_as_it_was(
    family: str,
) -> None:
    model, plain = adapted(family), tiny_model(family)
    taught(model)
    asks = [Ask((1, 2, 3), tuple(f"{n}" for n in range(24)))]
    guide: Any = SimpleNamespace(advance=lambda text, token: (text, None))

    def draws(of: Any, *, base: bool = False) -> list[tuple[int, ...]]:
        sampler = TorchSampler(of, guide, seed=0, max_tokens=5, base=base)
        return [completion.ids for completion in sampler.sample(asks)]

    after = draws(model)
    assert draws(model, base=True) == draws(plain) != after
    assert draws(model) == after
