"""What was sampled is what is learnt from: ids and log-probabilities, token by token."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from micro_world import make_tokenizer
from tiny_models import FAMILIES, plain_logprobs, tiny_model
from toprope.harness import lines
from toprope.learn.packing import GroupRow, pack
from toprope.learn.step import own_logprobs
from toprope.policy import attention
from toprope.policy.asks import Ask
from toprope.policy.cache import GroupCache
from toprope.policy.draw import draw, greedy
from toprope.policy.guide import Guide
from toprope.policy.randomness import episode_uniforms
from toprope.policy.sampler import TorchSampler
from toprope.terms import Completion

TOKENIZER = make_tokenizer()
VOCABULARY = len(TOKENIZER)
SMALLEST = 1e-4


def anything(text: str) -> bool:
    return True


def make_sampler(
    model: Any, *, seed: int = 0, max_tokens: int = 12, could_continue: Any = anything, **more: Any
) -> TorchSampler:
    guide = Guide(TOKENIZER, could_continue, lines.STOP, VOCABULARY)
    return TorchSampler(model, guide, seed=seed, max_tokens=max_tokens, **more)


def ragged_asks(seed: int = 0) -> list[Ask]:
    """Prompts of 1 to 30 tokens, in groups of 1 to 6 episodes, in no order."""
    rng = random.Random(seed)
    sizes = [(1, 3), (30, 6), (7, 1), (7, 6), (19, 2), (30, 4)]
    return [
        Ask(
            tuple(rng.randrange(1, VOCABULARY) for _ in range(length)),
            tuple(f"ask{at}/{draw_}" for draw_ in range(group)),
        )
        for at, (length, group) in enumerate(sizes)
    ]


def by_ask(asks: Sequence[Ask], found: Sequence[Completion]) -> list[list[Completion]]:
    known = {completion.episode_id: completion for completion in found}
    return [[known[episode] for episode in ask.episode_ids] for ask in asks]


def as_rows(asks: Sequence[Ask], groups: Sequence[Sequence[Completion]]) -> list[GroupRow]:
    return [
        GroupRow(
            ask.prompt_ids,
            tuple(c.ids for c in group),
            (1.0,) * len(group),
            tuple(c.logprobs for c in group),
        )
        for ask, group in zip(asks, groups, strict=True)
    ]


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest) -> Any:
    return tiny_model(request.param, vocabulary=VOCABULARY)


def test_log_probabilities_are_those_of_a_plain_forward_pass(model: Any) -> None:
    asks = ragged_asks()
    found = make_sampler(model).sample(asks)
    assert [c.episode_id for c in found] == [e for ask in asks for e in ask.episode_ids]
    assert len({len(c.ids) for c in found}) > 1  # ragged: some ended early, some late
    for ask, group in zip(asks, by_ask(asks, found), strict=True):
        for completion in group:
            with torch.no_grad():
                plain = plain_logprobs(model, ask.prompt_ids, completion.ids)
            sampled = torch.tensor(completion.logprobs)
            assert torch.allclose(sampled, plain, atol=SMALLEST), completion


def test_the_learner_computes_the_same_for_the_same_ids(model: Any) -> None:
    asks = ragged_asks(1)
    groups = by_ask(asks, make_sampler(model).sample(asks))
    packed = pack(as_rows(asks, groups))
    assert packed.sampler_T is not None
    with torch.no_grad():
        learnt = own_logprobs(model, packed)
    assert torch.allclose(learnt, packed.sampler_T, atol=SMALLEST)


def test_in_bf16_sampler_and_learner_stay_close(model: Any) -> None:
    model.to(torch.bfloat16)
    asks = ragged_asks(2)
    groups = by_ask(asks, make_sampler(model).sample(asks))
    packed = pack(as_rows(asks, groups))
    assert packed.sampler_T is not None
    with torch.no_grad():
        learnt = own_logprobs(model, packed)
    assert float((learnt - packed.sampler_T).abs().mean()) < 0.05


def test_the_same_seed_draws_the_same_whatever_is_batched_beside(model: Any) -> None:
    asks = ragged_asks()
    once = make_sampler(model).sample(asks)
    assert make_sampler(model).sample(asks) == once
    ids = {c.episode_id: c.ids for c in once}
    narrow = make_sampler(model, max_rows=4).sample(asks[::-1])
    assert {c.episode_id: c.ids for c in narrow} == ids
    (alone,) = make_sampler(model).sample([Ask(asks[1].prompt_ids, ("ask1/3",))])
    assert alone.ids == ids["ask1/3"]
    other = make_sampler(model, seed=1).sample(asks)
    assert sum(c.ids == ids[c.episode_id] for c in other) < len(other) / 2


def test_finished_rows_are_dropped_and_the_rest_is_not_disturbed(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    keep = GroupCache.keep

    def counted(self: GroupCache, left: Sequence[int]) -> None:
        kept.append(len(left))
        keep(self, left)

    monkeypatch.setattr(GroupCache, "keep", counted)
    asks = [
        Ask(ask.prompt_ids, tuple(f"{ask.prompt_ids}/{n}" for n in range(9 + at)))
        for at, ask in enumerate(ragged_asks())
    ]
    compacted = make_sampler(model, max_tokens=60).sample(asks)
    assert len(kept) >= 3
    monkeypatch.setattr(GroupCache, "thin", lambda self, living: None)
    whole = make_sampler(model, max_tokens=60).sample(asks)
    assert [c.ids for c in compacted] == [c.ids for c in whole]


def test_greedy_takes_the_likeliest_token_at_every_step(model: Any) -> None:
    asks = ragged_asks()
    for ask, group in zip(
        asks, by_ask(asks, make_sampler(model).sample(asks, temperature=0)), strict=True
    ):
        assert len({c.ids for c in group}) == 1
        ids = group[0].ids
        with torch.no_grad():
            model.set_attn_implementation("eager")
            logits_TV = model(input_ids=torch.tensor([[*ask.prompt_ids, *ids]])).logits[0]
            model.set_attn_implementation(attention.NAME)
        predicting_TV = logits_TV[len(ask.prompt_ids) - 1 : -1]
        chosen = predicting_TV.gather(1, torch.tensor(ids)[:, None])[:, 0]
        assert torch.allclose(chosen, predicting_TV.max(-1).values, atol=SMALLEST)


def test_an_episode_ends_by_its_end_token_its_stop_or_its_length(model: Any) -> None:
    eos, newline = TOKENIZER.eos_token_id, TOKENIZER.convert_tokens_to_ids("\n")
    asks = [Ask((5, 6, 7), tuple(f"many/{n}" for n in range(100)))]
    found = make_sampler(model).sample(asks)
    for completion in found:
        assert not {eos, newline} & set(completion.ids[:-1])
        if completion.stop == "length":
            assert len(completion.ids) == 12
        else:
            assert completion.stop == "stop"
            assert completion.ids[-1] in (eos, newline)
    assert {c.stop for c in found} == {"stop", "length"}


def test_any_of_several_tokens_or_texts_ends_an_episode() -> None:
    model = tiny_model("llama", vocabulary=VOCABULARY)
    a, b, c, d = TOKENIZER.convert_tokens_to_ids(["a", "b", "c", "d"])
    guide = Guide(TOKENIZER, anything, ("ab", "\n", "c"), VOCABULARY, ends=(d,))
    assert guide.advance("xa", b) == ("x", "stop")
    assert guide.advance("x", d) == ("x", "stop")
    asks = [Ask((5, 6, 7), tuple(f"many/{n}" for n in range(150)))]
    seen = set()
    for completion in TorchSampler(model, guide, seed=0, max_tokens=12).sample(asks):
        *before, last = completion.ids
        text = TOKENIZER.decode(before)
        assert not {c, d, TOKENIZER.eos_token_id} & set(before)
        assert "ab" not in text
        if completion.stop == "stop":
            assert last != b or before[-1] == a
            seen.add(last)
    assert {c, d, TOKENIZER.eos_token_id, TOKENIZER.convert_tokens_to_ids("\n")} <= seen


def test_an_episode_that_cannot_become_an_action_ends_at_once(model: Any) -> None:
    sampler = make_sampler(model, could_continue=lines.could_continue)
    found = sampler.sample([Ask((5, 6, 7), tuple(f"many/{n}" for n in range(200)))])
    malformed = [c for c in found if c.stop == "malformed"]
    assert len(malformed) > 100  # a random model says nothing sensible
    for completion in malformed:
        text = TOKENIZER.decode(completion.ids)
        assert not lines.could_continue(text.split(lines.STOP)[0])
        assert lines.could_continue(TOKENIZER.decode(completion.ids[:-1]))


def test_a_constrained_model_cannot_but_keep_to_the_form(model: Any) -> None:
    sampler = make_sampler(model, could_continue=lines.could_continue)
    asks = [Ask((5, 6, 7), tuple(f"many/{n}" for n in range(200)))]
    texts = []
    for completion in sampler.sample(asks, constrain=True):
        assert completion.stop in ("stop", "length")
        assert min(completion.logprobs) > float("-inf")
        texts.append(TOKENIZER.decode(completion.ids, skip_special_tokens=True))
        if completion.stop == "stop":
            number, bar, _ = texts[-1].partition("|")
            assert number.isdigit()
            assert bar
    lengths = {len(text.partition("|")[2]) for text in texts}
    assert len(lengths) > 5  # the line itself is free, and need not be empty


def test_constraining_keeps_the_model_s_own_odds_among_what_is_allowed(model: Any) -> None:
    sampler = make_sampler(model, could_continue=lines.could_continue, max_tokens=1)
    asks = [Ask((5, 6, 7), tuple(f"many/{n}" for n in range(400)))]
    found = sampler.sample(asks, constrain=True)
    digits = [TOKENIZER.convert_tokens_to_ids(d) for d in "0123456789"]
    model.set_attn_implementation("eager")
    with torch.no_grad():
        logits_V = model(input_ids=torch.tensor([[5, 6, 7]])).logits[0, -1]
    odds = dict(zip(digits, torch.softmax(logits_V[digits], -1).tolist(), strict=True))
    assert {c.ids[0] for c in found} <= set(digits)
    for completion in found:
        assert completion.logprobs[0] == pytest.approx(
            torch.tensor(odds[completion.ids[0]]).log().item(), abs=1e-3
        )


def test_draws_follow_the_distribution_exactly() -> None:
    torch.manual_seed(0)
    for V in (96, 1100):  # one block, and several
        logits_V = 3 * torch.randn(V)
        cdf = torch.softmax(logits_V.double(), -1).cumsum(-1)
        uniforms = torch.rand(4000, dtype=torch.float64)
        drawn = draw(logits_V.expand(4000, V).contiguous(), uniforms)
        expected = torch.searchsorted(cdf, uniforms, right=True).clamp_(max=V - 1)
        near = (cdf[drawn.ids] - uniforms).abs() < 1e-6  # rounding may choose either neighbour
        assert ((drawn.ids == expected) | near).all()
        logprobs_V = torch.log_softmax(logits_V, -1)
        assert torch.allclose(drawn.logprobs, logprobs_V[drawn.ids], atol=1e-5)


@pytest.mark.parametrize("uniform", [0.0, 1e-17, 0.5, 1 - 2**-53])
def test_what_is_ruled_out_is_never_drawn(uniform: float) -> None:
    torch.manual_seed(0)
    logits_RV = torch.full((300, 1100), float("-inf"))
    for row in logits_RV:
        allowed = torch.randint(1100, (3,))
        row[allowed] = 8 * torch.randn(3)
    drawn = draw(logits_RV, torch.full((300,), uniform, dtype=torch.float64))
    assert torch.isfinite(drawn.logprobs).all()
    assert torch.isfinite(greedy(logits_RV).logprobs).all()


def test_uniforms_depend_on_seed_episode_and_position_alone() -> None:
    twelve = episode_uniforms(7, "train/3/t/0", 12)
    assert (episode_uniforms(7, "train/3/t/0", 5) == twelve[:5]).all()
    assert (episode_uniforms(7, "train/3/t/1", 12) != twelve).all()
    assert (episode_uniforms(8, "train/3/t/0", 12) != twelve).all()
    assert ((twelve >= 0) & (twelve < 1)).all()
