"""Rungs 1 to 4: whose turn it is, what is tried next, when a rung gives up. No model, no climb."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from micro_world import make_tasks
from toprope.ladder.demonstration import Demonstrate
from toprope.ladder.hint import Hint, hint_text, next_tier
from toprope.ladder.ladder import Ladder
from toprope.ladder.partial_credit import PartialCredit, credit
from toprope.ladder.prefix import Prefix, next_length
from toprope.ladder.resample import Resample
from toprope.ladder.retry import Retry, feedback
from toprope.ladder.rung import Cold, Help, Use
from toprope.learn.advantage import rloo
from toprope.ledger.diagnosis import Diagnosis, Draw, diagnose
from toprope.ledger.rows import NOT_GIVEN
from toprope.teacher import BudgetExhausted
from toprope.terms import Attempt, Focus, Mode, Outcome, Source, Split, Task

NEAR, FAR, MALFORMED = Diagnosis.NEAR, Diagnosis.FAR, Diagnosis.MALFORMED


@cache
def tasks() -> list[Task]:
    return [task for task in make_tasks() if task.split is Split.TRAIN]


def cold(at: int = 0, *uses: Use, diagnosis: Diagnosis = NEAR, differ: bool = True) -> Cold:
    return Cold(tasks()[at], False, 1, 1, uses, diagnosis, differ)


class Teacher:
    """Solves from the `at`-th attempt on (never if None) while it can afford to."""

    name, answer_key, parameters = "invented", False, None

    def __init__(self, at: int | None = 0, affordable: int = 99) -> None:
        self.at, self.affordable = at, affordable
        self.asked: list[tuple[str, int]] = []

    def attempts(self, task: Task, n: int, start: int = 0) -> list[Attempt]:
        if len(self.asked) == self.affordable:
            raise BudgetExhausted("calls", self.affordable)
        self.asked.append((task.id, start))
        good = self.at is not None and start >= self.at
        outcome = Outcome.PASSED if good else Outcome.FAILED
        action = "1|x" if good else None
        return [
            Attempt(f"{task.id}:{start}", task.id, self.name, "", "", 10, 5, outcome, "", action)
        ]


def rungs(teacher: Any = None, patience: int = 12) -> dict[str, Any]:
    teacher = teacher or Teacher()
    bounds: dict[str, Any] = {"tasks": 4, "patience": patience}
    asking: dict[str, Any] = {"usable": lambda task, action: True, **bounds}
    made = [
        PartialCredit(**bounds),
        Retry(**bounds),
        Hint(teacher, **asking),
        Prefix(teacher, length=lambda task, action: 8, **asking),
        Demonstrate(teacher, wanted=4),
    ]
    return {rung.number: rung for rung in made}


def whole_ladder(**given: Any) -> Ladder:
    return Ladder([Resample(4), *rungs(**given).values()])


def test_the_share_of_tests_is_the_reward_and_never_as_good_as_a_success() -> None:
    draws = [(Outcome.PASSED, 4, 4), (Outcome.FAILED, 3, 4), (Outcome.FAILED, 0, 4)]
    rewards = [credit(*draw) for draw in draws]
    assert rewards == [1.0, -0.25, -1.0]
    # mean -1/12: A = 3/2 (r + 1/12), and the three add up to nothing
    assert rloo(rewards) == pytest.approx([1.625, -0.25, -1.375])
    assert credit(Outcome.MALFORMED, None, None) == credit(Outcome.HACK, 3, 4) == -1.0
    assert credit(Outcome.TIMEOUT, 2, 4) == -0.5


def test_why_draws_failed() -> None:
    failed, malformed = Draw(Outcome.FAILED, 0, 4), Draw(Outcome.MALFORMED)
    assert diagnose([failed, Draw(Outcome.FAILED, 1, 4), malformed]) is NEAR
    assert diagnose([failed, malformed]) is FAR
    assert diagnose([failed, malformed, malformed]) is MALFORMED
    assert diagnose([Draw(Outcome.INFRA)] * 9 + [malformed]) is MALFORMED
    assert diagnose([Draw(Outcome.INFRA)]) is Diagnosis.INFRA
    assert diagnose([]) is Diagnosis.INFRA


def test_the_cheapest_rung_that_suits_the_diagnosis_has_the_turn() -> None:
    ladder = whole_ladder()

    def turn(one: Cold) -> str | None:
        rung = ladder.turn_of(one)
        return rung.number if rung else None

    assert ladder.numbers == ("0", "1", "2", "3", "4", "6")
    assert turn(cold()) == "1"
    assert turn(cold(differ=False)) == "2"  # equal shares give no gradient
    assert turn(cold(diagnosis=FAR)) == "2"
    assert turn(cold(diagnosis=MALFORMED)) == "4"  # no hint teaches the form
    assert turn(cold(diagnosis=Diagnosis.INFRA)) is None
    control = Cold(tasks()[0], True, 1, 1, (), NEAR, True)
    assert turn(control) is None


def test_a_rung_that_gave_up_hands_the_task_to_the_next_one() -> None:
    ladder, uses = whole_ladder(patience=3), list[Use]()
    order = []
    while (rung := ladder.turn_of(cold(0, *uses))) is not None:
        order.append(rung.number)
        setting = {"3": "where", "4": "4/8"}.get(rung.number, "")
        uses.append(Use(rung.number, setting, 1 if rung.number in "34" else 0, 8))
    assert order == [*"111", *"22", *"333", *"444"]
    assert not ladder.exhausted(cold(0, *uses))  # a demonstration is left
    (given,) = ladder.help([cold(0, *uses)], iteration=3, malformed_share=0.0)
    assert given.rung == "6"


def test_demonstrations_wait_while_a_cheaper_rung_is_at_work() -> None:
    worn = [Use("4", NOT_GIVEN), Use("3", NOT_GIVEN), *[Use("2")] * 2, *[Use("1")] * 12]
    some = [cold(0, *worn), cold(1, *worn), cold(2)]
    ladder = whole_ladder()
    assert [h.rung for h in ladder.help(some, iteration=2, malformed_share=0.0)] == ["1"]
    enough = [cold(at, *worn) for at in range(4)]
    assert ladder.help([*enough, cold(9)], iteration=2, malformed_share=0.0)[-1].rung == "6"
    assert not ladder.waiting(some)  # and reinforcement does not wait for them
    assert whole_ladder().help(some, iteration=2, malformed_share=0.95)[-1].rung == "6"


def test_tasks_that_were_not_looked_at_again_get_no_help() -> None:
    one = Cold(tasks()[0], False, 0, 0, (), NEAR, True)
    assert whole_ladder().help([one], iteration=0, malformed_share=0.0) == []


def test_a_rung_keeps_to_the_tasks_that_it_has_begun_with() -> None:
    begun = [cold(at, Use("2", "feedback", 0, 8), differ=False) for at in (5, 6)]
    fresh = [cold(at, differ=False) for at in range(5)]
    given = rungs()["2"].help([*fresh, *begun], iteration=4)
    assert [p.task for p in given.practice] == [tasks()[at] for at in (5, 6, 0, 1)]


@pytest.mark.parametrize(
    ("past", "tier"),
    [
        ([], 0),
        ([("where", 0)], 1),
        ([("where", 0), ("what", 0)], 2),
        ([("where", 0), ("what", 0), ("how", 0)], None),
        ([("where", 0), ("what", 3)], 1),  # mixed: stays
        ([("where", 0), ("what", 4)], 0),  # half of them: a smaller hint
        ([("where", 8)], 0),
    ],
)
def test_the_smallest_hint_that_gives_a_mixed_group(past: Any, tier: int | None) -> None:
    assert next_tier([Use("3", setting, passed, 8) for setting, passed in past]) == tier


def test_draws_that_we_lost_decide_nothing() -> None:
    assert next_tier([Use("3", "where", 0, 8), Use("3", "what", 0, 0)]) == 1
    assert next_length([Use("4", "4/8", 0, 0)], 8) == 4


@pytest.mark.parametrize(
    ("past", "length"),
    [
        ([], 4),
        ([(4, 0)], 6),
        ([(4, 0), (6, 0)], 7),
        ([(4, 0), (6, 0), (7, 0)], None),  # all but the last token, and still nothing
        ([(4, 8)], 2),
        ([(4, 8), (2, 0)], 3),
        ([(4, 8), (2, 0), (3, 2)], 3),  # mixed: stays
        ([(4, 8), (2, 0), (3, 2), (3, 4)], 1),  # learned: shorter ones are tried anew
        ([(4, 8), (2, 8), (1, 8)], 0),
    ],
)
def test_the_length_of_a_prefix_is_halved_to_a_mixed_group_and_withdrawn(
    past: list[tuple[int, int]], length: int | None
) -> None:
    uses = [Use("4", f"{k}/8", passed, 8) for k, passed in past]
    assert next_length(uses, 8) == length


def fix_in(shown: str) -> Task:
    source = Source("p", "1", "m.py", 1, "Apache-2.0", "f", "op")
    return Task(
        "t", Split.TRAIN, None, "f(2) is wrong", {"m.py": shown}, Focus("m.py", 1, 2), ("m.py",),
        "m.py:f", (), ("c",), (), {}, source,
    )  # fmt: skip


def test_a_hint_says_where_then_what_then_how() -> None:
    task = fix_in("def f(n):\n    return n + offset1\n")
    said = [hint_text(task, "2|    return n - offset1", tier) for tier in ("where", "what", "how")]
    assert said == [
        "Line 2 is wrong: return n + offset1",
        "Line 2 is wrong: return n + offset1\nChange `+` in it.",
        "Line 2 is wrong: return n + offset1\nChange `+` in it.\nWrite `-` there.",
    ]
    assert "-" not in said[1]
    whole = hint_text(task, "2|    return n + offset2", "how")
    assert whole.endswith("Change `offset1` in it.\nWrite `offset2` there.")  # words stay whole
    more = hint_text(task, "2|    return n + offset1 + 1", "how")
    assert more.endswith("Something is missing in it.\nWrite ` + 1` there.")
    less = hint_text(task, "2|    return n", "how")
    assert less.endswith("Change ` + offset1` in it.\nTake ` + offset1` out.")


def test_a_fix_is_asked_for_until_one_is_verified_and_booked_once() -> None:
    teacher = Teacher(at=2)
    hint = rungs(teacher)["3"]
    first = hint.help([cold()], iteration=2)
    assert first.practice[0].mode is Mode.HINTED
    assert [a.id for a in first.attempts] == [f"{tasks()[0].id}:{at}" for at in range(3)]
    again = hint.help([cold(0, Use("3", "where", 0, 8))], iteration=3)
    assert again.attempts == ()
    assert again.practice[0].setting == "what"
    begun = rungs(teacher)["4"].help([cold(0, Use("3", "where", 0, 8))], iteration=3)
    assert begun.attempts == ()  # the same fix, from the same attempts
    assert (begun.practice[0].setting, begun.practice[0].keep) == ("4/8", 4)


@pytest.mark.parametrize("teacher", [Teacher(at=None), Teacher(affordable=0)])
@pytest.mark.parametrize("number", ["3", "4"])
def test_a_rung_without_a_fix_gives_the_task_up(teacher: Teacher, number: str) -> None:
    rung = rungs(teacher)[number]
    given: Help = rung.help([cold()], iteration=2)
    assert given.practice == ()
    assert given.gave_up == (tasks()[0].id,)
    assert not rung.gave_up(cold())
    assert rung.gave_up(cold(0, Use(number, NOT_GIVEN)))


def test_retries_end_after_two_in_vain_or_four_good_ones() -> None:
    rung = rungs()["2"]
    good, vain = Use("2", "feedback", 3, 8), Use("2", "feedback", 0, 8)
    assert not rung.gave_up(cold(0, good, vain))
    assert rung.gave_up(cold(0, good, vain, vain))
    assert not rung.gave_up(cold(0, vain, good, vain))
    assert rung.gave_up(cold(0, good, vain, good, good, good))


def test_feedback_shows_the_answer_and_the_words_of_the_tests() -> None:
    said = feedback("2|x\n", "1 of 4 tests fail")
    assert said == "Your answer\n2|x\nfailed: 1 of 4 tests fail\nAnswer again."
