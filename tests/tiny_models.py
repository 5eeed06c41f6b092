"""Tiny random models of the families that the student may come from."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

FAMILIES = ("llama", "qwen2", "gemma3", "mistral")
WINDOW = 6  # tokens that a sliding layer sees: fewer than a prompt and its answer have
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
    "eos_token_id": 0,
    "bos_token_id": 0,
    "pad_token_id": 0,
}


def tiny_model(family: str, *, vocabulary: int = 64, seed: int = 0, **changes: Any) -> Any:
    """Return a model with sharp enough attention that a wrong mask or position shows."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    settings = {**SIZES, "vocab_size": vocabulary, "tie_word_embeddings": True, **changes}
    if family == "gemma3":
        every = range(settings["num_hidden_layers"])
        layers = [("full_attention", "sliding_attention")[at % 2] for at in every]
        more = {"head_dim": 8, "query_pre_attn_scalar": 8, "layer_types": layers}
        settings = {**settings, **more, "sliding_window": WINDOW, **changes}
        return Gemma3ForCausalLM(Gemma3TextConfig(**settings)).eval()
    if family == "mistral":
        return MistralForCausalLM(MistralConfig(sliding_window=WINDOW, **settings)).eval()
    if family == "llama":
        return LlamaForCausalLM(LlamaConfig(**settings)).eval()
    return Qwen2ForCausalLM(Qwen2Config(**settings)).eval()


def plain_logprobs(model: Any, prompt: tuple[int, ...], ids: tuple[int, ...]) -> torch.Tensor:
    """Return log p of each id by one ordinary forward pass, with transformers' own attention."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        logits_TV = model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0].float()
    finally:
        model.set_attn_implementation(before)
    predicting_TV = torch.log_softmax(logits_TV[len(prompt) - 1 : -1], dim=-1)
    return predicting_TV.gather(1, torch.tensor(ids)[:, None])[:, 0]
