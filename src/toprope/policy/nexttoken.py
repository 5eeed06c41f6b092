"""How well a model foresees fixed texts: top-1 next-token accuracy and log-likelihood.

One forward pass, nothing sampled. It must not know what the texts are for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from toprope.policy.device import on_device, telling_failures

CHUNK = 256  # predictions whose logits are held at a time
MOST_POSITIONS = 512  # tokens, padding included, of one forward pass


class Reading(NamedTuple):
    """Token ids of a text; those from `given` on are to be foreseen. `given` is at least 1."""

    ids: tuple[int, ...]
    given: int


class Foresight(NamedTuple):
    """Of one text: how many tokens were the likeliest ones, of how many, and log p in nats."""

    right: int
    tokens: int
    nats: float


@dataclass(slots=True)
class Work:
    """What was computed: real tokens, with padding, query-key pairs, rows of the head."""

    tokens: int = 0
    positions: int = 0
    pairs: int = 0
    logits: int = 0


def foresee(model: Any, readings: Sequence[Reading]) -> tuple[list[Foresight], Work]:
    """Return for each text how much of it the model foresaw, and what that took.

    Texts of like length share a forward pass, so that the result does not depend on the
    order given. One with nothing to foresee has 0 tokens.

    Raises:
        OutOfMemory, DeviceLost: as the device says.
    """
    found = [Foresight(0, 0, 0.0)] * len(readings)
    work = Work()
    order = sorted(range(len(readings)), key=lambda at: (len(readings[at].ids), readings[at].ids))
    model.eval()
    with torch.inference_mode(), on_device(model), telling_failures(model):
        for batch in _batches(readings, order):
            told = _read([readings[at] for at in batch], model, work)
            for at, one in zip(batch, told, strict=True):
                found[at] = one
    return found, work


def _batches(readings: Sequence[Reading], order: Sequence[int]) -> list[list[int]]:
    """Return the places of `order`, shortest first, in parts that fit a forward pass."""
    parts: list[list[int]] = []
    for at in order:
        length = len(readings[at].ids)
        if parts and (len(parts[-1]) + 1) * length <= MOST_POSITIONS:
            parts[-1].append(at)
        elif length > readings[at].given:
            parts.append([at])
    return parts


def _read(batch: Sequence[Reading], model: Any, work: Work) -> list[Foresight]:
    B, T = len(batch), max(len(one.ids) for one in batch)
    ids_BT = torch.zeros(B, T, dtype=torch.long)
    for row, one in enumerate(batch):
        ids_BT[row, : len(one.ids)] = torch.tensor(one.ids)
    # What pads a text comes after it, where a causal model does not look.
    mask = torch.ones(T, T, dtype=torch.bool).tril_().expand(B, 1, T, T)
    hidden_BTD = model.model(
        input_ids=ids_BT,
        position_ids=torch.arange(T).expand(B, T),
        attention_mask=mask,
        use_cache=False,
    ).last_hidden_state
    rows = torch.cat([torch.full((len(one.ids) - one.given,), r) for r, one in enumerate(batch)])
    at = torch.cat([torch.arange(one.given, len(one.ids)) for one in batch])
    right_T, nats_T = _compare(model, hidden_BTD[rows, at - 1], ids_BT[rows, at])
    work.tokens += sum(len(one.ids) for one in batch)
    work.positions += B * T
    work.pairs += B * T * T
    work.logits += len(at)
    sizes = torch.bincount(rows, minlength=B).tolist()
    return [
        Foresight(int(right.sum()), len(right), float(nats.sum()))
        for right, nats in zip(right_T.split(sizes), nats_T.split(sizes), strict=True)
    ]


def _compare(
    model: Any, states_TD: torch.Tensor, target_T: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return whether each target was the likeliest token (T,), and its log p in nats (T,)."""
    right, nats = [], []
    for at in range(0, len(target_T), CHUNK):
        wanted = target_T[at : at + CHUNK]
        logits = model.lm_head(states_TD[at : at + CHUNK]).float()
        chosen = logits.gather(1, wanted[:, None])[:, 0]
        right.append(logits.argmax(dim=-1) == wanted)
        nats.append(chosen - torch.logsumexp(logits, dim=-1))
    return torch.cat(right).cpu(), torch.cat(nats).double().cpu()
