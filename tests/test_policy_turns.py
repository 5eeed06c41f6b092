"""A conversation's next turn goes on from what was computed, and draws what it would have drawn."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from test_policy_opening import likely
from test_policy_sampler import SMALLEST, VOCABULARY, as_rows, make_sampler
from tiny_models import FAMILIES, plain_logprobs, tiny_model
from toprope.learn.optimiser import MasterAdam
from toprope.learn.packing import pack
from toprope.learn.step import own_logprobs
from toprope.policy.asks import Ask, Work
from toprope.policy.sampler import TorchSampler
from toprope.terms import Completion

GROUPS, GROUP, TURNS = 2, 3, 3
Turns = list[list[tuple[Ask, Completion]]]


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest) -> Any:
    return tiny_model(request.param, vocabulary=VOCABULARY)


def first_asks(model: Any, *, drafted: bool = False) -> list[Ask]:
    rng = random.Random(5)
    asks = []
    for at in range(GROUPS):
        prompt = tuple(rng.randrange(1, VOCABULARY) for _ in range(9 + 4 * at))
        names = tuple(f"{at}/{n}" for n in range(GROUP))
        draft = likely(model, prompt, 5) if drafted else ()
        asks.append(Ask(prompt, tuple(f"{n}#0" for n in names), draft, turns_of=names))
    return asks


def next_ask(ask: Ask, name: str, turn: int, ids: tuple[int, ...]) -> Ask:
    """The whole context so far, and an observation: 1 to 6 tokens that depend on name and turn."""
    rng = random.Random(f"{name}#{turn}")
    seen = tuple(rng.randrange(1, VOCABULARY) for _ in range(rng.randrange(1, 7)))
    return Ask(ask.prompt_ids + ids + seen, (f"{name}#{turn}",), turns_of=(name,))


def play(sampler: TorchSampler, asks: list[Ask], *, backwards: bool = False) -> Turns:
    """Return every turn's asks and completions; episodes go on whatever ended their turn."""
    turns: Turns = []
    for turn in range(TURNS):
        if turn:
            asks = [
                next_ask(ask, name, turn, done.ids)
                for ask, done in turns[-1]
                for name in [done.episode_id.partition("#")[0]]
            ]
        if backwards:
            asks = asks[::-1]
        by_id = {c.episode_id: c for c in sampler.sample(asks)}
        turns.append([(ask, by_id[e]) for ask in asks for e in ask.episode_ids])
    return turns


def drawn(turns: Turns) -> dict[str, tuple[int, ...]]:
    return {done.episode_id: done.ids for turn in turns for _, done in turn}


@pytest.mark.parametrize("drafted", [False, True])
def test_turns_draw_the_same_whether_kept_evicted_or_batched_otherwise(
    model: Any, drafted: bool
) -> None:
    asks = first_asks(model, drafted=drafted)
    kept = make_sampler(model, max_tokens=8)
    turns = play(kept, asks)
    assert len(kept.retained) == GROUPS * GROUP
    nothing = make_sampler(model, max_tokens=8, kept_bytes=0)
    assert drawn(play(nothing, asks)) == drawn(turns)
    assert len(nothing.retained) == 0
    some = make_sampler(model, max_tokens=8, kept_bytes=kept.retained.bytes // 3)
    assert drawn(play(some, asks)) == drawn(turns)
    assert 0 < len(some.retained) < GROUPS * GROUP
    narrow = make_sampler(model, max_tokens=8, max_rows=5)
    assert drawn(play(narrow, asks, backwards=True)) == drawn(turns)


def test_log_probabilities_of_every_turn_are_those_of_a_plain_pass_and_of_the_learner(
    model: Any,
) -> None:
    turns = play(make_sampler(model, max_tokens=8), first_asks(model))
    for ask, done in turns[-1] + turns[1]:
        with torch.no_grad():
            plain = plain_logprobs(model, ask.prompt_ids, done.ids)
        assert torch.allclose(torch.tensor(done.logprobs), plain, atol=SMALLEST)
    packed = pack(as_rows([ask for ask, _ in turns[-1]], [[done] for _, done in turns[-1]]))
    assert packed.sampler_T is not None
    with torch.no_grad():
        learnt = own_logprobs(model, packed)
    assert torch.allclose(learnt, packed.sampler_T, atol=SMALLEST)


def test_in_bf16_a_kept_turn_stays_as_close_to_the_learner_as_one_turn_does(model: Any) -> None:
    model.to(torch.bfloat16)
    turns = play(make_sampler(model, max_tokens=8), first_asks(model))
    packed = pack(as_rows([ask for ask, _ in turns[-1]], [[done] for _, done in turns[-1]]))
    assert packed.sampler_T is not None
    with torch.no_grad():
        learnt = own_logprobs(model, packed)
    assert float((learnt - packed.sampler_T).abs().mean()) < 0.05


def computed(sampler: TorchSampler, ask: Ask) -> int:
    """Return how many tokens a greedy answer of one token takes to compute."""
    sampler.work = Work()
    sampler.sample([ask], temperature=0.0)
    return sampler.work.positions


def test_only_what_is_new_is_computed(model: Any) -> None:
    sampler = make_sampler(model, max_tokens=1)
    first = Ask((5, 6, 7, 8), ("a#0",), turns_of=("a",))
    assert computed(sampler, first) == 4
    longer = Ask((5, 6, 7, 8, 9, 10, 11), ("a#1",), turns_of=("a",))
    assert computed(sampler, longer) == 3
    assert computed(sampler, longer) == 1  # the last token's state is always wanted
    other = Ask((5, 6, 3, 8, 9), ("a#2",), turns_of=("a",))
    assert computed(sampler, other) == 3  # what differs, and all behind it
    assert computed(sampler, Ask(longer.prompt_ids, ("b#0",), turns_of=("b",))) == 7
    assert computed(sampler, Ask(longer.prompt_ids, ("c",))) == 7


def test_a_group_keeps_its_prompt_once(model: Any) -> None:
    prompt = tuple(range(1, 31))

    def kept(episodes: int) -> int:
        sampler = make_sampler(model, max_tokens=1)
        names = tuple(str(n) for n in range(episodes))
        sampler.sample([Ask(prompt, names, turns_of=names)])
        assert len(sampler.retained) == episodes
        return sampler.retained.bytes

    assert kept(8) == kept(1) > 0


def test_a_step_of_the_learner_makes_what_was_kept_worthless(model: Any) -> None:
    sampler = make_sampler(model, max_tokens=1)
    first, longer = (Ask(tuple(range(1, n)), (f"a#{n}",), turns_of=("a",)) for n in (9, 14))
    optimiser = MasterAdam(model)
    assert computed(sampler, first) == 8
    assert optimiser.master.grad is not None
    optimiser.master.grad.fill_(1.0)
    optimiser.step(0.1)
    assert computed(sampler, longer) == 13
    found = sampler.sample([longer])
    fresh = make_sampler(model, max_tokens=1, kept_bytes=0).sample([longer])
    assert found[0].logprobs == pytest.approx(fresh[0].logprobs, abs=SMALLEST)


def test_what_was_used_longest_ago_goes_first_but_not_what_a_call_waits_for(model: Any) -> None:
    sampler = make_sampler(model, max_tokens=1)

    def ask(name: str, size: int) -> Ask:
        return Ask(tuple(range(1, size + 1)), (f"{name}#{size}",), turns_of=(name,))

    sampler.sample([ask("a", 10)])
    sampler.retained.most_bytes = 5 * sampler.retained.bytes // 2
    sampler.sample([ask("b", 10)])
    assert computed(sampler, ask("a", 10)) == 1
    sampler.sample([ask("c", 10)])  # in place of b
    assert computed(sampler, ask("a", 10)) == 1
    assert computed(sampler, ask("b", 10)) == 10  # in place of c
    sampler.work = Work()
    sampler.max_rows = 1
    sampler.sample([ask("new", 9), ask("a", 10), ask("b", 10)], temperature=0.0)
    assert sampler.work.positions == 9 + 1 + 1
    assert sampler.retained.bytes <= sampler.retained.most_bytes
