"""Rung 7 decides: whom it helps, when it gives up, whose turn comes first; and its settings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from micro_world import make_tokenizer
from test_ladder_rungs import Teacher, cold
from toprope.climb.config import ConfigError, load_config
from toprope.ladder.demonstration import Demonstrate
from toprope.ladder.ladder import Ladder
from toprope.ladder.logits import Logits, divergence, setting
from toprope.ladder.resample import Resample
from toprope.ladder.rung import Cold, Use
from toprope.ledger.diagnosis import Diagnosis
from toprope.policy.whitebox import OtherTokenizer, require_same_tokens


def logits(*, patience: int = 12, left: bool = True) -> Logits:
    return Logits(tasks=2, patience=patience, within=lambda: left)


def given(*nats: float) -> Cold:
    one = cold(1, pilots=1)[0]
    return replace(one, uses=tuple(Use("7", setting(n)) for n in nats))


def test_a_use_keeps_the_divergence_that_it_began_with() -> None:
    assert divergence(Use("7", setting(1.25))) == 1.25
    assert divergence(Use("7")) is None  # lost to failures of ours


@pytest.mark.parametrize(
    ("nats", "over"),
    [
        ((), False),
        ((0.01,), False),  # one group is an estimate
        ((0.5, 0.02, 0.01), True),  # they agree
        ((0.01, 0.03), False),
        ((3.0, 2.0, 1.0, 1.0, 1.0, 1.0), False),
        ((3.0, 2.0, 1.0, 1.0, 2.0, 3.0), True),  # as far apart as at first
        ((1.0,) * 5, False),
    ],
)
def test_it_gives_up_where_nothing_is_left_to_learn(nats: tuple[float, ...], over: bool) -> None:
    assert logits().gave_up(given(*nats)) is over


def test_it_gives_up_when_its_groups_are_used_up() -> None:
    assert logits(patience=2).gave_up(given(3.0, 2.0))


def test_it_helps_neither_the_control_nor_beyond_its_limit_nor_where_the_form_is_missing() -> None:
    tasks = cold(5, pilots=1, control=2)
    help_ = logits().help(tasks, iteration=1)
    assert help_ is not None
    assert [p.task.id for p in help_.practice] == [c.task.id for c in tasks[2:4]]
    assert all(p.distil and not p.hint and not p.keep for p in help_.practice)
    assert logits(left=False).help(tasks, iteration=1) is None
    for unfit in (Diagnosis.INFRA, Diagnosis.MALFORMED):
        assert logits().help([replace(c, diagnosis=unfit) for c in tasks], iteration=1) is None


def test_it_waits_until_the_demonstrations_are_given() -> None:
    asked = [False]
    demonstrate = Demonstrate(
        Teacher(lambda task, at: True), wanted=1, per_task=1, asked=lambda: asked[0]
    )
    ladder = Ladder([Resample(2, 0), logits(), demonstrate])
    tasks = cold(3, pilots=1)
    first = ladder.help(tasks, iteration=1, malformed_share=0.0)
    assert [help_.rung for help_ in first] == ["6"]
    asked[0] = True
    then = ladder.help(tasks, iteration=2, malformed_share=0.0)
    assert "7" in [help_.rung for help_ in then]
    assert not ladder.waiting(tasks)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["ladder.rungs=[0, 7]"], "teacher.whitebox is empty"),
        (['teacher.whitebox="x"'], "ladder.rungs has no 7"),
        (["ladder.rungs=[0, 7]", 'teacher.whitebox="x"', 'student.model="x"'], "student itself"),
    ],
)
def test_contradictions_are_refused_with_what_to_change(overrides: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_config("small", ["seeding.demonstrations=0", *overrides])


def test_a_teacher_with_other_tokens_is_refused_at_the_first_that_differs() -> None:
    require_same_tokens(make_tokenizer(), make_tokenizer(), "twin")
    more = make_tokenizer()
    more.add_tokens(["<more>"])
    with pytest.raises(OtherTokenizer, match="no token for the student and '<more>' for it"):
        require_same_tokens(make_tokenizer(), more, "more")
    with pytest.raises(OtherTokenizer, match="choose a teacher of the student's own family"):
        require_same_tokens(more, make_tokenizer(), "fewer")
    ends = make_tokenizer()
    ends.eos_token = "?"
    with pytest.raises(OtherTokenizer, match=r"ends an answer with token '\?'"):
        require_same_tokens(make_tokenizer(), ends, "ends")
