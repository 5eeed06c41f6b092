"""Episodes come and go in mid-batch, and what fails there is named, contained and made good."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch

from test_policy_opening import asks_for
from test_policy_sampler import SMALLEST, VOCABULARY, make_sampler
from tiny_models import plain_logprobs, tiny_model
from toprope.policy.asks import Ask
from toprope.policy.cache import GroupCache
from toprope.policy.device import DeviceLost, OutOfMemory
from toprope.policy.flight import LOST, Flight
from toprope.policy.soundness import NotFinite
from toprope.terms import Completion

Forward = Callable[..., Any]


@pytest.fixture(params=["llama", "gemma3"])  # without and with a sliding window
def model(request: pytest.FixtureRequest) -> Any:
    return tiny_model(request.param, vocabulary=VOCABULARY)


def many_asks() -> list[Ask]:
    """Groups of 1 to 5 episodes after prompts of 2 to 25 tokens."""
    rng = random.Random(4)
    return [
        Ask(
            tuple(rng.randrange(1, VOCABULARY) for _ in range(rng.randrange(2, 26))),
            tuple(f"many{at}/{n}" for n in range(1 + at % 5)),
        )
        for at in range(10)
    ]


def every_forward(model: Any, monkeypatch: pytest.MonkeyPatch, around: Forward) -> None:
    """Have the real forward pass of the decoder called by `around(forward, cache, **inputs)`."""
    forward = model.model.forward

    def called(*args: Any, cache: GroupCache | None = None, **inputs: Any) -> Any:
        if cache is None:
            return forward(*args, **inputs)
        return around(lambda: forward(*args, cache=cache, **inputs), cache)

    monkeypatch.setattr(model.model, "forward", called)


def test_whoever_waits_takes_the_place_of_whoever_has_ended(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks = many_asks()
    together = make_sampler(model, max_tokens=20, max_rows=64).sample(asks)
    rows: list[int] = []
    joined: list[int] = []
    join = GroupCache.join

    def noted(self: GroupCache, other: GroupCache) -> None:
        joined.append(self.step)
        join(self, other)

    def counted(forward: Forward, cache: GroupCache) -> Any:
        if cache.width:
            rows.append(len(cache.owners))
        return forward()

    monkeypatch.setattr(GroupCache, "join", noted)
    every_forward(model, monkeypatch, counted)
    found = make_sampler(model, max_tokens=20, max_rows=8).sample(asks)
    assert [c.ids for c in found] == [c.ids for c in together]
    assert max(rows) <= 8
    assert len(joined) > 3
    assert max(joined) > 20  # a batch that lived longer than any of its episodes
    by_id = {c.episode_id: c for c in found}
    for ask in asks:
        for one in (by_id[episode] for episode in ask.episode_ids[-1:]):
            with torch.no_grad():
                plain = plain_logprobs(model, ask.prompt_ids, one.ids)
            assert torch.allclose(torch.tensor(one.logprobs), plain, atol=SMALLEST)


def test_filling_up_takes_fewer_steps_than_waiting_for_the_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny_model("llama", vocabulary=VOCABULARY)
    asks, steps = many_asks(), [0]

    def counted(forward: Forward, cache: GroupCache) -> Any:
        steps[0] += bool(cache.width)
        return forward()

    every_forward(model, monkeypatch, counted)
    make_sampler(model, max_tokens=20, max_rows=8).sample(asks)
    filled, steps[0] = steps[0], 0
    admit = Flight._admit

    def waiting(self: Flight) -> bool:
        return True if any(row.stop is None for row in self.rows) else admit(self)

    monkeypatch.setattr(Flight, "_admit", waiting)
    make_sampler(model, max_tokens=20, max_rows=8).sample(asks)
    assert filled < 0.9 * steps[0]


def test_episodes_are_told_of_once_each_and_while_others_go_on(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks, steps, told = many_asks(), [0], dict[str, tuple[int, Completion]]()

    def counted(forward: Forward, cache: GroupCache) -> Any:
        steps[0] += 1
        return forward()

    def ended(one: Completion) -> None:
        assert one.episode_id not in told
        told[one.episode_id] = steps[0], one

    every_forward(model, monkeypatch, counted)
    found = make_sampler(model, max_tokens=20, max_rows=8).sample(asks, ended=ended)
    assert [told[c.episode_id][1] for c in found] == found
    assert len({at for at, _ in told.values()}) > 5  # not all at the end
    assert min(told.values())[0] < steps[0] / 4


def test_drafts_are_followed_in_mid_batch_too(model: Any) -> None:
    asks = asks_for(model)
    together = make_sampler(model, max_tokens=6, max_rows=200).sample(asks)
    for most in (7, 50):
        told: dict[str, Completion] = {}
        sampler = make_sampler(model, max_tokens=6, max_rows=most)
        found = sampler.sample(
            asks, ended=lambda one, told=told: told.update({one.episode_id: one})
        )
        assert [told[c.episode_id] for c in found] == found
        assert [(c.ids, c.copied, c.stop) for c in found] == [
            (c.ids, c.copied, c.stop) for c in together
        ]


def test_a_group_that_is_too_many_at_once_is_drawn_in_parts(model: Any) -> None:
    ask = Ask((5, 6, 7), tuple(f"many/{n}" for n in range(30)))
    whole = make_sampler(model).sample([ask])
    assert [c.ids for c in make_sampler(model, max_rows=4).sample([ask])] == [c.ids for c in whole]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        MemoryError(),
    ],
)
def test_too_little_memory_is_answered_by_fewer_rows_and_loses_nothing(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model("llama", vocabulary=VOCABULARY)
    asks = many_asks()
    expected = make_sampler(model, max_tokens=20).sample(asks)
    refused = [0]

    def full(forward: Forward, cache: GroupCache) -> Any:
        # Prompts fit; what they go on to does not, some steps later.
        if cache.width and cache.step > 4 and len(cache.owners) > 6:
            refused[0] += 1
            raise error
        return forward()

    every_forward(model, monkeypatch, full)
    sampler = make_sampler(model, max_tokens=20)
    told: list[Completion] = []
    found = sampler.sample(asks, ended=told.append)
    assert [(c.ids, c.stop) for c in found] == [(c.ids, c.stop) for c in expected]
    assert sorted(told, key=lambda c: c.episode_id) == sorted(found, key=lambda c: c.episode_id)
    tries, refused[0] = refused[0], 0
    assert tries >= 2
    assert [c.ids for c in sampler.sample(asks)] == [c.ids for c in found]
    assert refused[0] == 0  # it has learnt what fits


def test_one_episode_that_does_not_fit_is_an_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny_model("llama", vocabulary=VOCABULARY)

    def full(forward: Forward, cache: GroupCache) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    every_forward(model, monkeypatch, full)
    with pytest.raises(OutOfMemory, match=r"cpu has not .* lower student.max_tokens"):
        make_sampler(model).sample(many_asks())


def test_a_device_that_fails_is_named_and_other_faults_are_not_disguised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny_model("llama", vocabulary=VOCABULARY)
    faults: list[Exception] = [
        torch.AcceleratorError("CUDA error: unspecified launch failure\nmore"),
        RuntimeError("The size of tensor a (3) must match"),
    ]

    def fails(forward: Forward, cache: GroupCache) -> Any:
        if cache.step == 2:
            raise faults[0]
        return forward()

    every_forward(model, monkeypatch, fails)
    with pytest.raises(DeviceLost, match=r"cpu failed \(CUDA error: unspecified launch failure\)"):
        make_sampler(model).sample(many_asks())
    faults.pop(0)
    with pytest.raises(RuntimeError, match="The size of tensor"):
        make_sampler(model).sample(many_asks())


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("drafted", [False, True])
def test_an_episode_without_numbers_is_lost_and_alone(
    wrong: float, drafted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model("llama", vocabulary=VOCABULARY)
    asks = asks_for(model) if drafted else many_asks()
    expected = make_sampler(model, max_tokens=6).sample(asks)
    forward, calls = model.lm_head.forward, [0]

    def damaged(states: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = forward(states)
        calls[0] += 1
        if calls[0] == 2 and wrong > 0:
            logits[0, 3] = wrong
        elif calls[0] == 2:
            logits[0] = wrong
        return logits

    monkeypatch.setattr(model.lm_head, "forward", damaged)
    found = make_sampler(model, max_tokens=6).sample(asks)
    lost = [c for c in found if c.stop == LOST]
    assert lost
    assert len(lost) < len(found)
    assert {(c.ids, c.logprobs) for c in lost} == {((), ())}
    known = {c.episode_id: c.ids for c in expected}
    assert all(c.ids == known[c.episode_id] for c in found if c.stop != LOST)


def test_weights_that_are_no_numbers_are_named() -> None:
    model = tiny_model("llama", vocabulary=VOCABULARY)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 5] = float("nan")
    with pytest.raises(NotFinite, match=r"layers\.1\.mlp\.up_proj.*earlier checkpoint"):
        make_sampler(model).sample(many_asks())
