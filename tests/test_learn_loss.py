"""The loss maths and one step's gradient, against numbers worked out by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from toprope.climb.training.learner import group_row, tossed
from toprope.learn.advantage import rloo
from toprope.learn.fit import Fit
from toprope.learn.loss import demonstration_loss, mismatch_weights, policy_loss
from toprope.learn.optimiser import MasterAdam
from toprope.learn.packing import GroupRow
from toprope.learn.step import learn_demonstrations, learn_groups
from toprope.terms import Episode, Mode, Outcome, Verdict

HALF = math.log(0.5)


def test_rloo_is_the_reward_minus_the_mean_of_the_others() -> None:
    assert rloo([1, 0, 0, 0]) == pytest.approx([1, -1 / 3, -1 / 3, -1 / 3])
    assert rloo([1, 1, 0, 0]) == pytest.approx([2 / 3, 2 / 3, -2 / 3, -2 / 3])
    assert rloo([1, 0]) == [1, -1]
    partial = [0.1, 0.7, 0.4]
    others = [(0.7 + 0.4) / 2, (0.1 + 0.4) / 2, (0.1 + 0.7) / 2]
    assert rloo(partial) == pytest.approx([r - o for r, o in zip(partial, others, strict=True)])


def test_equal_rewards_give_exact_zeros_and_one_reward_is_refused() -> None:
    assert rloo([0.1] * 3) == [0.0] * 3  # the mean of these is not exactly 0.1
    with pytest.raises(ValueError, match="at least 2 episodes"):
        rloo([1.0])


def test_mismatch_weights_are_capped_ratios_without_gradient() -> None:
    learner_T = torch.tensor([0.5, 0.6, 0.1]).log().requires_grad_()
    weights_T = mismatch_weights(learner_T, torch.tensor([0.5, 0.2, 0.4]).log())
    assert weights_T.tolist() == pytest.approx([1.0, 2.0, 0.25])
    assert not weights_T.requires_grad


@pytest.mark.parametrize(
    ("ratio", "advantage", "gain", "slope"),
    [
        (1.0, 2.0, 2.0, 2.0),
        (1.5, 1.0, 1.28, 0.0),  # already likelier than the clip allows: no push
        (1.5, -1.0, -1.5, -1.5),  # too likely and bad: the full push back
        (0.5, 1.0, 0.5, 0.5),
        (0.5, -1.0, -0.8, 0.0),
    ],
)
def test_the_clip_stops_only_what_goes_further_away(
    ratio: float, advantage: float, gain: float, slope: float
) -> None:
    old_T = torch.tensor([-1.0])
    logprobs_T = (old_T + math.log(ratio)).requires_grad_()
    ones_T = torch.ones(1)
    loss = policy_loss(
        logprobs_T, old_T, ones_T, torch.tensor([advantage]), episodes=2, token_limit=5
    )
    loss.backward()
    assert loss.item() == pytest.approx(-gain / 10, rel=1e-5)
    assert logprobs_T.grad is not None
    assert logprobs_T.grad.item() == pytest.approx(-slope / 10, rel=1e-5, abs=1e-9)


def test_the_policy_gradient_of_a_token_is_its_weighted_advantage_over_n_and_l() -> None:
    logprobs_T = torch.tensor([-1.0, -2.0, -3.0]).requires_grad_()
    weights_T, advantages_T = torch.tensor([1.0, 0.5, 2.0]), torch.tensor([1.0, 1.0, -1 / 3])
    loss = policy_loss(logprobs_T, logprobs_T, weights_T, advantages_T, episodes=8, token_limit=10)
    loss.backward()
    assert loss.item() == pytest.approx(-(1 + 0.5 - 2 / 3) / 80)
    assert logprobs_T.grad is not None
    assert logprobs_T.grad.tolist() == pytest.approx([-1 / 80, -0.5 / 80, (2 / 3) / 80])


def test_demonstration_pieces_add_up_to_the_mean_over_the_whole_batch() -> None:
    first, second = torch.tensor([-1.0]), torch.tensor([-2.0, -3.0, -6.0])
    one, three = torch.ones(1), torch.ones(3)
    whole = demonstration_loss(torch.cat([first, second]), torch.ones(4), total=4)
    assert whole.item() == pytest.approx(3.0)
    split = demonstration_loss(first, one, total=4) + demonstration_loss(second, three, total=4)
    assert split.item() == pytest.approx(3.0)  # a mean of means would be 2.33


def test_a_weighted_token_counts_that_often() -> None:
    logprobs_T, weights_T = torch.tensor([-1.0, -2.0, -4.0]), torch.tensor([1.0, 6.0, 1.0])
    loss = demonstration_loss(logprobs_T, weights_T, total=8)
    assert loss.item() == pytest.approx((1 + 6 * 2 + 4) / 8)


class Bigram(torch.nn.Module):
    """A model with two tokens and logits W[:, previous token], all zero at first.

    Every probability is one half, so the gradient of log p(t) with respect to W[:, s] is
    one half at t and minus one half at the other token.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lm_head = torch.nn.Linear(2, 2, bias=False)
        torch.nn.init.zeros_(self.lm_head.weight)

    def model(self, input_ids: torch.Tensor, **_: Any) -> SimpleNamespace:
        hidden = torch.nn.functional.one_hot(input_ids, 2).float()
        return SimpleNamespace(last_hidden_state=hidden)


class Recorded(MasterAdam):
    """Keeps the gradient that a step was about to use."""

    def step(self, learning_rate: float) -> float:
        assert self.master.grad is not None
        self.seen = self.master.grad.clone().view(2, 2)
        return super().step(learning_rate)


GROUP = GroupRow(
    prompt_ids=(0,),
    completions=((1,), (0, 1)),
    advantages=(1.0, -1.0),
    sampler_logprobs=((HALF,), (HALF, 0.0)),  # the last token's weight is .5 / 1
)
# Sum of w * A * dlogp, from token 0: 1 * (-.5, .5) - 1 * (.5, -.5) - .5 * (-.5, .5).
GROUP_SUM = torch.tensor([[-0.75, 0.0], [0.75, 0.0]])


def test_a_reinforcement_step_divides_the_sum_by_all_episodes_and_the_limit() -> None:
    model = Bigram()
    optimiser = Recorded(model)
    report = learn_groups(model, optimiser, [GROUP], learning_rate=0.0, episodes=4, token_limit=10)
    assert torch.allclose(optimiser.seen, -GROUP_SUM / 40)
    assert report.own_tokens == 3
    assert report.processed_tokens == 4
    assert report.loss == pytest.approx(-(1 - 1 - 0.5) / 40)
    assert report.weight_max == pytest.approx(1.0)
    assert report.mismatch_kl == pytest.approx((0.0 - HALF) / 3)


@pytest.mark.parametrize("most_tokens", [1, 8, 2048])
def test_a_reinforcement_step_is_the_same_in_pieces(most_tokens: int) -> None:
    longer = GroupRow((1, 0), ((1, 1), (0,)), (-2.0, 2.0), ((HALF, HALF), (HALF,)))
    # From token 0: -2 * (-.5, .5) + 2 * (.5, -.5); from token 1: -2 * (-.5, .5).
    longer_sum = torch.tensor([[2.0, 1.0], [-2.0, -1.0]])
    model = Bigram()
    optimiser = Recorded(model)
    learn_groups(
        model,
        optimiser,
        [GROUP, longer],
        learning_rate=0.0,
        episodes=6,
        token_limit=10,
        fit=Fit(most_tokens),
    )
    assert torch.allclose(optimiser.seen, -(GROUP_SUM + longer_sum) / 60)


@pytest.mark.parametrize("most_tokens", [1, 2048])
def test_a_demonstration_step_is_the_mean_over_its_own_tokens_in_pieces_or_not(
    most_tokens: int,
) -> None:
    rows = [GroupRow((0,), ((1,),), (1.0,)), GroupRow((0,), ((1, 1, 1),), (1.0,))]
    model = Bigram()
    optimiser = Recorded(model)
    report = learn_demonstrations(model, optimiser, rows, learning_rate=0.0, fit=Fit(most_tokens))
    # Four tokens, all 1: two after token 0, two after token 1, each one half.
    assert torch.allclose(optimiser.seen, -torch.tensor([[-1.0, -1.0], [1.0, 1.0]]) / 4)
    assert report.loss == pytest.approx(-HALF)
    assert report.own_tokens == 4


def test_the_prompt_carries_no_loss() -> None:
    model = Bigram()
    optimiser = Recorded(model)
    rows = [GroupRow((1, 1, 1, 0), ((1,),), (1.0,))]
    learn_demonstrations(model, optimiser, rows, learning_rate=0.0)
    assert torch.allclose(optimiser.seen, -torch.tensor([[-0.5, 0.0], [0.5, 0.0]]))


def episode(number: int, outcome: Outcome) -> Episode:
    return Episode(
        id=f"e{number}",
        task_id="t",
        version=0,
        mode=Mode.PLAIN,
        rung="",
        prompt_ids=(0,),
        sampled_ids=(number,),
        logprobs=(HALF,),
        text="",
        stop="stop",
        verdict=Verdict(outcome, float(outcome is Outcome.PASSED), ""),
    )


def test_what_infrastructure_lost_drops_out_before_the_advantages() -> None:
    outcomes = [Outcome.INFRA, Outcome.PASSED, Outcome.FAILED, Outcome.FAILED, Outcome.INFRA]
    row = group_row([episode(n, outcome) for n, outcome in enumerate(outcomes)])
    assert row is not None
    assert row.completions == ((1,), (2,), (3,))
    assert row.advantages == pytest.approx((1.0, -0.5, -0.5))


@pytest.mark.parametrize(
    "outcomes",
    [
        [Outcome.PASSED, Outcome.INFRA, Outcome.INFRA],
        [Outcome.PASSED, Outcome.PASSED, Outcome.INFRA],
        [Outcome.FAILED, Outcome.MALFORMED, Outcome.TIMEOUT],
    ],
)
def test_a_group_that_says_nothing_is_dropped(outcomes: list[Outcome]) -> None:
    assert group_row([episode(n, outcome) for n, outcome in enumerate(outcomes)]) is None


def test_a_coins_rewards_follow_from_the_episode_and_not_from_its_grade() -> None:
    failed = [episode(n, Outcome.FAILED) for n in range(64)]
    passed = [episode(n, Outcome.PASSED) for n in range(64)]
    toss = tossed(0.5, seed=1)
    rewards = [toss(e) for e in failed]
    assert rewards == [toss(e) for e in passed] != [tossed(0.5, seed=2)(e) for e in failed]
    assert {*rewards} == {0.0, 1.0}
    assert 16 < sum(rewards) < 48
    assert sum(tossed(0.1, seed=1)(e) for e in failed) < 16
    row = group_row(failed[:8], toss)
    assert row is not None
    assert row.advantages == pytest.approx(tuple(rloo(rewards[:8])))


def test_infrastructure_drops_out_whatever_its_coin() -> None:
    lost = [episode(n, Outcome.INFRA) for n in range(8)]
    assert group_row(lost, tossed(0.5, seed=1)) is None
