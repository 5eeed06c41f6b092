"""A model that computes more than toprope does for it is refused, and not trained wrongly."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GraniteConfig,
    GraniteForCausalLM,
)

from tiny_models import FAMILIES, SIZES, tiny_model
from toprope.policy import attention
from toprope.policy.attention import UnknownAttention
from toprope.policy.supported import UnsupportedModel, require_supported


def gemma2(**changes: Any) -> Any:
    torch.manual_seed(0)
    settings = {**SIZES, "vocab_size": 64, "head_dim": 8, "query_pre_attn_scalar": 8, **changes}
    return Gemma2ForCausalLM(Gemma2Config(**settings)).eval()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_families_that_are_computed_right_pass(family: str, dtype: torch.dtype) -> None:
    model = tiny_model(family).to(dtype)
    require_supported(model)
    assert model.config._attn_implementation == attention.NAME


def test_capped_scores_are_refused() -> None:
    with pytest.raises(UnknownAttention, match="softcap"):
        require_supported(gemma2(attn_logit_softcapping=2.0))


def test_capped_logits_are_refused() -> None:
    model = gemma2(attn_logit_softcapping=None, final_logit_softcapping=1.0)
    with pytest.raises(UnsupportedModel, match="Gemma2ForCausalLM computes more"):
        require_supported(model)


def test_scaled_logits_are_refused() -> None:
    torch.manual_seed(0)
    model = GraniteForCausalLM(GraniteConfig(**SIZES, vocab_size=64, logits_scaling=4.0)).eval()
    with pytest.raises(UnsupportedModel, match="GraniteForCausalLM computes more"):
        require_supported(model)


def test_a_model_of_another_build_is_refused() -> None:
    model = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=64)).eval()
    with pytest.raises(UnsupportedModel, match="not a decoder with a head of its own"):
        require_supported(model)
