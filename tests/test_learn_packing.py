"""A packed row computes what separate rows would, loss and gradients both."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from tiny_models import FAMILIES, plain_logprobs, tiny_model
from toprope.learn.head import CHUNK, token_logprobs
from toprope.learn.packing import GroupRow, pack, pieces
from toprope.learn.step import own_logprobs
from toprope.policy import attention


def random_rows(seed: int, vocabulary: int = 64) -> list[GroupRow]:
    """Return groups whose completions begin alike here and there."""
    rng = random.Random(seed)

    def ids(least: int, most: int) -> tuple[int, ...]:
        return tuple(rng.randrange(1, vocabulary) for _ in range(rng.randint(least, most)))

    rows = []
    for _ in range(3):
        stem = ids(3, 6)
        completions = tuple(
            stem[: rng.randint(0, len(stem))] + ids(1, 9) for _ in range(rng.randint(2, 5))
        )
        advantages = tuple(rng.uniform(-1, 1) for _ in completions)
        rows.append(GroupRow(ids(1, 20), completions, advantages))
    return rows


def separate(rows: Sequence[GroupRow]) -> list[GroupRow]:
    return [
        GroupRow(row.prompt_ids, (one,), (advantage,))
        for row in rows
        for one, advantage in zip(row.completions, row.advantages, strict=True)
    ]


def gradient(model: Any, rows: Sequence[GroupRow]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a loss over log-probabilities and its flat gradient."""
    model.zero_grad()
    packed = pack(rows)
    loss = (own_logprobs(model, packed) * packed.advantages_T).sum()
    loss.backward()
    grads = [p.grad.reshape(-1).float() for p in model.parameters() if p.grad is not None]
    return loss.detach()[None], torch.cat(grads)


def once_each(row: GroupRow) -> list[tuple[int, int]]:
    """Return (completion, token) of every prediction that no earlier completion makes too."""
    seen: set[tuple[int, ...]] = set()
    found = []
    for number, completion in enumerate(row.completions):
        for at in range(len(completion)):
            if completion[: at + 1] not in seen:
                seen.add(completion[: at + 1])
                found.append((number, at))
    return found


def distance(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_packed_row_equals_separate_rows_in_fp32(family: str) -> None:
    model = tiny_model(family)
    model.set_attn_implementation(attention.NAME)
    rows = random_rows(1)
    packed, unshared = gradient(model, rows), gradient(model, separate(rows))
    assert distance(packed[0], unshared[0]) < 1e-5
    assert distance(packed[1], unshared[1]) < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_log_probabilities_are_those_of_a_plain_forward_pass(family: str) -> None:
    model = tiny_model(family)
    model.set_attn_implementation(attention.NAME)
    rows = random_rows(2)
    with torch.no_grad():
        packed = own_logprobs(model, pack(rows))
        plain = []
        for row in rows:
            each = [plain_logprobs(model, row.prompt_ids, one) for one in row.completions]
            plain += [each[number][at] for number, at in once_each(row)]
    assert torch.allclose(packed, torch.stack(plain), atol=2e-5)


def test_what_completions_share_is_packed_and_predicted_once() -> None:
    row = GroupRow((1, 2), ((3, 4, 5), (3, 4, 6), (3, 7)), (1.0, -0.5, -0.25))
    packed = pack([row])
    assert row.width == packed.input_ids.shape[1] == 2 + 5  # 3, 4, 5, 6, 7
    assert packed.target_T.tolist() == [3, 4, 5, 6, 7]
    assert packed.advantages_T.tolist() == [0.25, 0.5, 1.0, -0.5, -0.25]
    assert packed.source_T.tolist() == [1, 2, 3, 3, 2]
    assert packed.position_ids.tolist() == [[0, 1, 2, 3, 4, 4, 3]]
    assert packed.mask[0, 0, 5].tolist() == [True, True, True, True, False, True, False]
    assert row.own_tokens == 8


def test_a_shared_token_that_was_sampled_with_two_likelihoods_counts_with_each() -> None:
    sampled = ((-1.0, -2.0), (-1.5, -2.0))
    row = GroupRow((1, 2), ((3, 4), (3, 5)), (1.0, -0.5), sampled)
    packed = pack([row])
    assert packed.input_ids.shape[1] == 2 + 3
    assert packed.target_T.tolist() == [3, 4, 3, 5]
    assert packed.sampler_T is not None
    assert packed.sampler_T.tolist() == [-1.0, -2.0, -1.5, -2.0]
    assert packed.advantages_T.tolist() == [1.0, 1.0, -0.5, -0.5]


@pytest.mark.parametrize("family", FAMILIES)
def test_in_bf16_a_packed_row_is_no_further_from_fp32_than_separate_rows_are(family: str) -> None:
    packed_off, unshared_off = torch.zeros(2), torch.zeros(2)
    for seed in range(8):
        model = tiny_model(family, seed=seed)
        model.set_attn_implementation(attention.NAME)
        rows = random_rows(seed)
        truth = gradient(model, separate(rows))
        model.to(torch.bfloat16)
        packed, unshared = gradient(model, rows), gradient(model, separate(rows))
        packed_off += torch.tensor([distance(p, t) for p, t in zip(packed, truth, strict=True)])
        unshared_off += torch.tensor([distance(u, t) for u, t in zip(unshared, truth, strict=True)])
    assert (packed_off < 1.1 * unshared_off).all(), (packed_off, unshared_off)


def test_a_completion_does_not_see_its_siblings() -> None:
    model = tiny_model("llama")
    model.set_attn_implementation(attention.NAME)
    alone = GroupRow((1, 2, 3), ((4, 5, 6),), (1.0,))
    crowded = GroupRow((1, 2, 3), ((9, 9, 9, 9), (4, 5, 6), (7,)), (1.0, 1.0, 1.0))
    with torch.no_grad():
        among = own_logprobs(model, pack([crowded]))[4:7]
        assert torch.allclose(own_logprobs(model, pack([alone])), among, atol=1e-5)


def test_pieces_keep_every_row_and_the_limit_where_a_row_allows_it() -> None:
    rows = [row for seed in range(6) for row in random_rows(seed)]
    batches = pieces(rows, 90)
    assert sorted(map(id, (r for b in batches for r in b))) == sorted(map(id, rows))
    assert all(len(b) == 1 or max(r.width for r in b) * len(b) <= 90 for b in batches)
    assert len(batches) < len(rows)


def test_a_row_without_tokens_is_refused() -> None:
    for row in (GroupRow((), ((1,),), (1.0,)), GroupRow((1,), ((),), (1.0,))):
        with pytest.raises(ValueError, match="at least one token"):
            pack([row])


def test_the_chunked_head_equals_the_whole_one() -> None:
    torch.manual_seed(0)
    T = 2 * CHUNK + 37
    hidden_TD = torch.randn(T, 24, requires_grad=True)
    weight_VD = torch.randn(50, 24, requires_grad=True)
    target_T = torch.randint(50, (T,))
    upstream_T = torch.randn(T)
    chunked = token_logprobs(hidden_TD, weight_VD, target_T)
    ours = torch.autograd.grad(chunked, [hidden_TD, weight_VD], upstream_T)
    whole = torch.log_softmax(hidden_TD @ weight_VD.T, dim=-1).gather(1, target_T[:, None])[:, 0]
    theirs = torch.autograd.grad(whole, [hidden_TD, weight_VD], upstream_T)
    assert torch.allclose(chunked, whole, atol=1e-5)
    assert all(distance(o, t) < 1e-6 for o, t in zip(ours, theirs, strict=True))
