"""Packed weights compute what the plain ones do, follow every update, and leave no trace."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from tiny_models import tiny_model
from toprope.policy import packed
from toprope.policy.asks import Ask
from toprope.policy.packed import can_pack, packed_weights
from toprope.policy.sampler import TorchSampler

needs_bf16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="no bf16 products on this CPU"
)


def linears(model: Any) -> list[nn.Linear]:
    return [m for m in model.modules() if isinstance(m, nn.Linear)]


def fail_while_packed(model: Any) -> None:
    with packed_weights(model, 4):
        assert all("forward" in layer.__dict__ for layer in linears(model))
        raise KeyError


@pytest.fixture
def model() -> Any:
    return tiny_model("llama", vocabulary=97).to(torch.bfloat16).eval()


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of every packed product from here on."""
    rows: list[int] = []
    forward = packed._forward

    def counted(linear: nn.Linear, laid_out: torch.Tensor, adapted: bool, x: torch.Tensor) -> Any:
        rows.append(len(x))
        return forward(linear, laid_out, adapted, x)

    monkeypatch.setattr(packed, "_forward", counted)
    return rows


@needs_bf16
def test_the_packed_product_is_used_and_equal(model: Any, used: list[int]) -> None:
    ids = torch.arange(1, 41).view(8, 5)
    with torch.inference_mode():
        plain = model(input_ids=ids).logits.float()
        with packed_weights(model, 8):
            quick = model(input_ids=ids).logits.float()
    assert len(used) == len(linears(model))
    assert torch.allclose(quick, plain, atol=0.02, rtol=0.02)
    assert float((quick - plain).abs().max()) < 0.1 * float(plain.std())


@needs_bf16
def test_the_sampler_decodes_with_packed_weights(model: Any, used: list[int]) -> None:
    guide: Any = SimpleNamespace(advance=lambda text, token: (text, None))
    sampler = TorchSampler(model, guide, seed=0, max_tokens=3)
    sampler.sample([Ask((1, 2, 3), ("a", "b"))])
    assert used.count(2) >= 2 * (len(linears(model)) - 1)  # two decoding steps of two rows
    assert not any("forward" in layer.__dict__ for layer in linears(model))


@needs_bf16
def test_a_new_use_sees_the_newest_weights(model: Any) -> None:
    layer = linears(model)[0]
    x = torch.randn(4, layer.in_features, dtype=torch.bfloat16)
    with torch.no_grad():
        with packed_weights(model, 4):
            before = layer(x)
        layer.weight.mul_(2)
        with packed_weights(model, 4):
            after = layer(x)
    assert torch.allclose(after.float(), 2 * before.float(), rtol=0.02, atol=0.02)


@needs_bf16
def test_nothing_is_left_behind_even_after_an_error(model: Any) -> None:
    names = sorted(model.state_dict())
    with pytest.raises(KeyError):
        fail_while_packed(model)
    assert not any("forward" in layer.__dict__ for layer in linears(model))
    assert sorted(model.state_dict()) == names
    loss = model(input_ids=torch.ones(1, 3, dtype=torch.long)).logits.float().sum()
    loss.backward()
    assert all(layer.weight.grad is not None for layer in linears(model))


def test_a_float32_model_is_left_as_it_is() -> None:
    model = tiny_model("llama", vocabulary=97)
    assert not can_pack(model)
    with packed_weights(model, 4):
        assert not any("forward" in layer.__dict__ for layer in linears(model))
