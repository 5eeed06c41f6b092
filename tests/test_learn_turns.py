"""Completions over turns: own tokens carry the loss, what was observed between them none."""

from __future__ import annotations

import random

import pytest
import torch

from tiny_models import FAMILIES, plain_logprobs, tiny_model
from toprope.learn.packing import GroupRow, pack
from toprope.learn.step import own_logprobs
from toprope.policy import attention


def turn_rows(seed: int) -> list[GroupRow]:
    """Return groups of completions that begin alike, with observations between own tokens."""
    rng = random.Random(seed)

    def ids(least: int, most: int) -> tuple[int, ...]:
        return tuple(rng.randrange(1, 64) for _ in range(rng.randint(least, most)))

    rows = []
    for _ in range(3):
        completions, own = [], []
        first, seen = ids(2, 4), ids(3, 6)
        for _ in range(4):
            begun = rng.random() < 0.7
            said, shown = (first, seen) if begun else (ids(1, 4), ids(1, 5))
            more = ids(1, 5)
            completions.append((*said, *shown, *more))
            own.append((True,) * len(said) + (False,) * len(shown) + (True,) * len(more))
        advantages = tuple(rng.uniform(-1, 1) for _ in completions)
        sampled = tuple(tuple(-rng.random() for _ in one) for one in completions)
        rows.append(GroupRow(ids(1, 9), tuple(completions), advantages, sampled, own=tuple(own)))
    return rows


@pytest.mark.parametrize("family", FAMILIES)
def test_turns_learn_what_a_plain_pass_over_each_episode_would_in_fp32(family: str) -> None:
    model = tiny_model(family)
    model.set_attn_implementation(attention.NAME)
    rows = turn_rows(3)
    packed = pack(rows)
    ours = (own_logprobs(model, packed) * packed.advantages_T).sum()
    gradients = torch.autograd.grad(ours, list(model.parameters()), allow_unused=True)
    plain = torch.zeros(())
    for row in rows:
        assert row.own is not None
        for ids, own, advantage in zip(row.completions, row.own, row.advantages, strict=True):
            plain = (
                plain
                + advantage * plain_logprobs(model, row.prompt_ids, ids)[torch.tensor(own)].sum()
            )
    truth = torch.autograd.grad(plain, list(model.parameters()), allow_unused=True)
    gap = (ours - plain).detach().abs()
    assert gap < 1e-5 * plain.detach().abs()
    flat = [
        torch.cat([g.reshape(-1) for g in side if g is not None]) for side in (gradients, truth)
    ]
    assert float((flat[0] - flat[1]).norm() / flat[1].norm()) < 1e-5


def test_only_own_tokens_are_predicted_and_observations_are_shared_too() -> None:
    own = ((True, False, False, True), (True, False, False, True))
    sampled = ((-1.0, 0.0, 0.0, -2.0), (-1.0, 0.0, 0.0, -3.0))
    row = GroupRow((1,), ((3, 8, 9, 4), (3, 8, 9, 5)), (1.0, -0.25), sampled, own=own)
    packed = pack([row])
    assert packed.input_ids.tolist() == [[1, 3, 8, 9, 4, 5]]
    assert packed.target_T.tolist() == [3, 4, 5]
    assert packed.source_T.tolist() == [0, 3, 3]
    assert packed.advantages_T.tolist() == [0.75, 1.0, -0.25]
    assert packed.sampler_T is not None
    assert packed.sampler_T.tolist() == [-1.0, -2.0, -3.0]
    assert row.own_tokens == 4


def test_a_demonstrations_weights_are_those_of_its_own_tokens() -> None:
    weights, own = ((2.0, 7.0, 1.0),), ((True, False, True),)
    row = GroupRow((1,), ((3, 8, 4),), (1.0,), token_weights=weights, own=own)
    assert row.weights == [2.0, 1.0]
    assert pack([row]).weights_T.tolist() == [2.0, 1.0]
    assert GroupRow((1,), ((3, 8, 4),), (1.0,), own=own).weights == [1.0, 1.0]


def test_a_mask_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="one word a token"):
        pack([GroupRow((1,), ((3, 4),), (1.0,), own=((True,),))])
