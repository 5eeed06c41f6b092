"""Departures from a draft are draws of the model: the same odds as token by token."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from test_policy_sampler import SMALLEST, TOKENIZER, VOCABULARY, make_sampler
from tiny_models import FAMILIES, plain_logprobs, tiny_model
from toprope.policy.asks import Ask, Work
from toprope.policy.opening import Opening, Piece, openings

DRAFT = (3, 9, 14, 5, 21, 8)
PROMPT = (7, 2, 11, 30)


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest) -> Any:
    return tiny_model(request.param, vocabulary=VOCABULARY)


def likely(model: Any, prompt: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Return what the model itself would greedily say: a draft that is often copied far."""
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(count):
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    return tuple(ids[len(prompt) :])


def asks_for(model: Any) -> list[Ask]:
    prompts = [PROMPT, (1, 2, 3), tuple(range(1, 20))]
    return [
        Ask(prompt, tuple(f"{at}/{n}" for n in range(40)), likely(model, prompt, 5 + at))
        for at, prompt in enumerate(prompts)
    ]


def test_log_probabilities_are_those_of_a_plain_forward_pass(model: Any) -> None:
    asks = asks_for(model)
    found = make_sampler(model, max_tokens=6).sample(asks)
    by_id = {c.episode_id: c for c in found}
    assert len({c.copied for c in found}) > 2
    for ask in asks:
        for episode in ask.episode_ids:
            one = by_id[episode]
            assert one.ids[: one.copied] == ask.draft_ids[: one.copied]
            departed = one.ids[: one.copied + 1] != ask.draft_ids[: one.copied + 1]
            assert departed or one.copied == len(ask.draft_ids)
            with torch.no_grad():
                plain = plain_logprobs(model, ask.prompt_ids, one.ids)
            assert torch.allclose(torch.tensor(one.logprobs), plain, atol=SMALLEST)


def test_an_episode_draws_the_same_whatever_the_batch(model: Any) -> None:
    asks = asks_for(model)
    together = {c.episode_id: c.ids for c in make_sampler(model, max_tokens=6).sample(asks)}
    for ask in asks:
        alone = make_sampler(model, max_tokens=6, max_rows=2).sample([ask])
        assert {c.episode_id: c.ids for c in alone}.items() <= together.items()


def opened(logits: torch.Tensor, *piece: Any, temperature: float = 1.0) -> list[Opening]:
    (found,) = openings(torch.clone, logits, [Piece(*piece)], temperature=temperature)
    return found


def test_departures_have_the_odds_of_token_by_token_draws() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 4)
    p = torch.softmax(logits.double(), -1)
    draft = (1, 2)
    G = 40_000
    uniforms = np.random.default_rng(0).random((G, 2))
    found = Counter(tuple(one.ids) for one in opened(logits, draft, uniforms))
    expected = {(t,): p[0, t] for t in range(4) if t != 1}
    expected |= {(1, t): p[0, 1] * p[1, t] for t in range(4)}
    assert set(found) == set(expected)
    for ids, chance in expected.items():
        spread = float((chance * (1 - chance) / G).sqrt())
        assert abs(found[ids] / G - float(chance)) < 5 * spread, ids


def test_greedy_and_temperature() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0], [2.0, 0.0, 1.0]])
    uniforms = np.full((1, 2), 0.999)
    (greedy,) = opened(logits, (1, 2), uniforms, temperature=0.0)
    assert (greedy.ids, greedy.copied) == ([1, 0], 1)
    assert greedy.logprobs == pytest.approx(
        [float(torch.log_softmax(logits, -1)[0, 1]), float(torch.log_softmax(logits, -1)[1, 0])]
    )
    (cold,) = opened(logits, (1, 2), uniforms, temperature=0.01)
    assert cold.ids == [1, 0]


def test_held_tokens_are_copied_whatever_the_model_says() -> None:
    logits = torch.tensor([[9.0, -9.0, 0.0], [9.0, -9.0, 0.0], [9.0, -9.0, 0.0]])
    uniforms = np.full((4, 3), 0.5)
    for one in opened(logits, (1, 1, 1), uniforms, 2):
        assert (one.ids, one.copied) == ([1, 1, 0], 2)
        assert one.logprobs[:2] == [0.0, 0.0]


def test_a_copied_draft_ends_the_episode_and_a_mixture_is_refused() -> None:
    model = tiny_model("llama", vocabulary=VOCABULARY)
    draft = likely(model, PROMPT, 4)
    sampler = make_sampler(model, max_tokens=6)
    (one,) = sampler.sample([Ask(PROMPT, ("a",), draft)], temperature=0.0)
    assert (one.ids, one.copied, one.stop) == (draft, 4, "stop")
    with pytest.raises(ValueError, match="draft"):
        sampler.sample([Ask(PROMPT, ("a",), draft), Ask(PROMPT, ("b",))])
    assert len(TOKENIZER) == VOCABULARY


def test_an_episode_that_leaves_what_every_answer_keeps_is_hopeless(model: Any) -> None:
    ask = Ask(PROMPT, tuple(f"{n}" for n in range(40)), likely(model, PROMPT, 5), held=3)
    found = make_sampler(model, max_tokens=6).sample([ask])
    assert {c.stop == "malformed" for c in found if c.copied < 3} == {True}
    assert all(len(c.ids) == c.copied + 1 for c in found if c.copied < 3)
    forced = make_sampler(model, max_tokens=6).sample([ask], constrain=True)
    assert all(c.copied >= 3 for c in forced)


def test_a_draft_is_computed_only_where_somebody_copies_it(model: Any) -> None:
    copied = likely(model, PROMPT, 6)
    shunned = ((copied[0] + 1) % VOCABULARY, *copied[1:])
    sampler = make_sampler(model, max_tokens=1)
    for draft, computed in ((copied, len(PROMPT) + 5), (shunned, len(PROMPT))):
        sampler.work = Work()
        sampler.sample([Ask(PROMPT, ("a", "b"), draft)], temperature=0.0)
        assert sampler.work.positions == computed


def test_numbers_of_the_same_name_draw_the_same_under_other_ids(model: Any) -> None:
    draft, numbers = likely(model, PROMPT, 5), tuple(str(n) for n in range(20))
    sampler = make_sampler(model, max_tokens=6)
    (one,) = [[c.ids for c in sampler.sample([Ask(PROMPT, numbers, draft)])]]
    other = tuple(f"later/{n}" for n in numbers)
    named = sampler.sample([Ask(PROMPT, other, draft, numbers=numbers)])
    assert [c.ids for c in named] == one
    assert [c.episode_id for c in named] == list(other)
    assert [c.ids for c in sampler.sample([Ask(PROMPT, other, draft)])] != one
