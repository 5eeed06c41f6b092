"""What the student in this process makes of a text, to hold a server's answer against."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import torch

from toprope.policy.adapters import without_adapters
from toprope.policy.cache import GroupCache
from toprope.policy.device import on_device
from toprope.policy.sampler import TorchSampler
from toprope.policy.spans import prefill
from toprope.policy.vllm_desk import Probe

LONGEST = 64


def probe(sampler: TorchSampler, ids: Sequence[int], longest: int = LONGEST) -> Probe:
    """Return the text's first tokens and their log-probabilities under the sampler's weights."""
    text = tuple(ids[:longest])
    if len(text) < 2:
        return Probe(text, ())
    model = sampler.model.eval()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(on_device(model))
        if sampler.base:
            stack.enter_context(without_adapters(model))
        cache = GroupCache([len(text)], model.config.num_hidden_layers, 1)
        states = torch.cat([hidden for _, hidden in prefill(model, cache, [text])])
        logits = model.lm_head(states[:-1]).float()
        own = torch.log_softmax(logits, dim=-1).gather(1, torch.tensor(text[1:])[:, None])
    return Probe(text, tuple(own[:, 0].tolist()))
