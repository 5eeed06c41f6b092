"""Rung 5's decisions: how much a teacher takes, from where, for how long, and who knows the fix."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction

import pytest

from micro_world import make_tasks
from toprope.ladder.rung import Cold, Use
from toprope.ladder.takeover import TakeOver, hand_over, teacher_share
from toprope.ledger.diagnosis import Diagnosis
from toprope.ledger.rows import NOT_GIVEN
from toprope.terms import Attempt, Mode, Outcome, Task

TASK = make_tasks(train=1)[0]


@dataclass
class Knowing:
    """A teacher with one verified attempt, or with none."""

    action: str = "1|x"
    asked: list[str] = field(default_factory=list)
    name = "knowing"
    answer_key = False
    parameters = None
    ended = ""

    def attempts(self, task: Task, n: int, start: int = 0) -> list[Attempt]:
        self.asked.append(task.id)
        outcome = Outcome.PASSED if self.action else Outcome.FAILED
        return [Attempt(f"a{start}", task.id, "", "", "", 3, 2, outcome, "", self.action or None)]


def rung(teacher: Knowing, *, speaks: bool = False, patience: int = 12) -> TakeOver:
    return TakeOver(
        teacher, tasks=4, patience=patience, usable=lambda task, action: True, speaks=speaks
    )


def cold(*uses: Use) -> Cold:
    return Cold(TASK, False, 1, 0, uses)


def use(drawn: int = 2, passed: int = 2, setting: str = "") -> Use:
    return Use("5", setting, passed, drawn)


def test_the_teachers_share_decays_to_nothing() -> None:
    fifths = [Fraction(4, 5), Fraction(3, 5), Fraction(2, 5), Fraction(1, 5), 0, 0]
    assert [teacher_share(tries, 4) for tries in range(6)] == fifths
    assert [teacher_share(tries, 1) for tries in range(3)] == [Fraction(1, 2), 0, 0]


@pytest.mark.parametrize(
    ("share", "played", "most", "after"),
    [
        (Fraction(4, 5), 10, 20, 2),
        (Fraction(1, 5), 10, 20, 8),
        (Fraction(4, 5), 3, 20, 1),  # rounded up: the student plays some turns
        (Fraction(1, 5), 4, 20, 3),  # never the last: the student failed with it
        (Fraction(1, 5), 1, 20, 0),  # an attempt of one turn is taken over at its beginning
        (Fraction(1, 5), 12, 12, 9),  # three turns are left to the teacher
        (Fraction(1, 5), 2, 2, 0),
    ],
)
def test_the_student_keeps_its_share_of_the_turns_it_played(
    share: Fraction, played: int, most: int, after: int
) -> None:
    assert hand_over(share, played, most) == after


def test_the_next_try_hands_over_later_and_a_try_lost_to_us_is_none() -> None:
    taking = rung(Knowing())
    assert taking.share(cold()) == Fraction(4, 5)
    assert taking.share(cold(use(passed=0))) == Fraction(3, 5)
    assert taking.share(cold(use(), use(drawn=0, passed=0))) == Fraction(3, 5)
    assert taking.share(cold(Use("1", "", 0, 4))) == Fraction(4, 5)


def test_it_gives_up_when_the_share_is_nothing_or_the_uses_are_or_nobody_had_turns() -> None:
    taking = rung(Knowing())
    assert not taking.gave_up(cold(*[use()] * 3))
    assert taking.gave_up(cold(*[use()] * 4))
    assert not taking.gave_up(cold(*[use(drawn=0)] * 11))
    assert taking.gave_up(cold(*[use(drawn=0)] * 12))
    assert taking.gave_up(cold(use(drawn=0, setting=NOT_GIVEN)))
    assert rung(Knowing(), patience=2).gave_up(cold(use(), use()))


def test_a_fix_is_asked_for_once_and_who_knows_none_is_given_up() -> None:
    teacher = Knowing()
    given = rung(teacher).help([cold()], iteration=3)
    assert given is not None
    (practice,) = given.practice
    assert (practice.mode, practice.action, practice.share) == (Mode.TAKEN, "1|x", Fraction(4, 5))
    assert [attempt.id for attempt in given.attempts] == ["a0"]
    again = rung(teacher).help([cold(use())], iteration=4)
    assert again is not None
    assert again.attempts == ()  # booked before
    unknown = rung(Knowing(action="")).help([cold()], iteration=3)
    assert unknown is not None
    assert (unknown.practice, unknown.gave_up) == ((), (TASK.id,))


def test_a_teacher_that_takes_turns_itself_is_asked_for_no_attempt() -> None:
    teacher = Knowing()
    given = rung(teacher, speaks=True).help([cold()], iteration=3)
    assert given is not None
    assert len(given.practice) == 1
    assert teacher.asked == []
    assert rung(teacher).help([], iteration=3) is None


def test_it_suits_what_is_no_action_too_and_not_what_we_lost() -> None:
    taking = rung(Knowing())
    assert taking.suits(replace(cold(), diagnosis=Diagnosis.MALFORMED))
    assert not taking.suits(replace(cold(), diagnosis=Diagnosis.INFRA))
