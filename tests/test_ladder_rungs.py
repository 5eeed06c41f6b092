"""The ladder: cheapest help first, few seeds, and a teacher that is not asked in vain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from micro_world import make_tasks
from toprope.ladder.demonstration import ATTEMPTS, Demonstrate
from toprope.ladder.ladder import Ladder
from toprope.ladder.resample import Resample
from toprope.ladder.rung import Cold
from toprope.teacher import BudgetExhausted
from toprope.terms import Attempt, Outcome, Split, Task


@cache
def tasks() -> list[Task]:
    return [task for task in make_tasks() if task.split is Split.TRAIN]


def cold(count: int, *, pilots: int = 0, last_look: int = 0, control: int = 0) -> list[Cold]:
    return [
        Cold(task, at < control, pilots, last_look, ()) for at, task in enumerate(tasks()[:count])
    ]


@dataclass
class Teacher:
    """Solves what it is told to, at the attempt it is told to; counts what it was asked."""

    solves: Callable[[Task, int], bool]
    affordable: int = 1000
    asked: list[str] = field(default_factory=list)
    name: str = "invented"
    answer_key: bool = False
    parameters: int | None = None

    def attempts(self, task: Task, n: int, start: int = 0) -> list[Attempt]:
        if len(self.asked) == self.affordable:
            raise BudgetExhausted("calls", self.affordable)
        self.asked.append(task.id)
        solved = self.solves(task, start)
        return [
            Attempt(
                id=f"{task.id}:{start}",
                task_id=task.id,
                teacher=self.name,
                prompt="",
                text="",
                prompt_tokens=10,
                completion_tokens=5,
                outcome=Outcome.PASSED if solved else Outcome.FAILED,
                why="",
                action=f"1|{start}" if solved else None,
            )
        ]


def test_pilots_come_after_1_2_4_8_updates_the_longest_waiting_first() -> None:
    rung = Resample(2)
    waiting = [*cold(2, pilots=1, last_look=5), *cold(4, pilots=1, last_look=3)[2:]]
    assert rung.help(waiting, iteration=4) is None
    given = rung.help(waiting, iteration=5)
    assert given is not None
    assert [task.id for task in given.pilots] == [task.id for task in tasks()[2:4]]
    later = rung.help(cold(9, pilots=3, last_look=10), iteration=18)
    assert later is not None
    assert len(later.pilots) == 2
    assert rung.help(cold(9, pilots=3, last_look=10), iteration=17) is None


def test_the_first_look_is_wide_enough_to_choose_seeds_from() -> None:
    first = Resample(2, first_look=20).help(cold(30), iteration=1)
    assert first is not None
    assert len(first.pilots) == 20
    mixed = [*cold(1, pilots=1), *cold(30)[1:]]
    after = Resample(2, first_look=20).help(mixed, iteration=2)
    assert after is not None
    assert len(after.pilots) == 2


def test_a_demonstration_is_given_once_a_task_at_the_price_of_its_failures() -> None:
    teacher = Teacher(lambda task, at: at == 2)
    given = Demonstrate(teacher, wanted=3).help(cold(10, pilots=1, control=2), iteration=2)
    assert given is not None
    assert len(given.demonstrations) == 3
    assert {d.teacher_tokens for d in given.demonstrations} == {3 * 15}
    assert len(given.attempts) == len(teacher.asked) == 9
    control = {task.id for task in tasks()[:2]}
    assert not control & set(teacher.asked)  # the control is not even asked about


def test_what_has_no_form_in_the_dialect_is_paid_for_and_not_imitated() -> None:
    teacher = Teacher(lambda task, at: True)
    refused = {task.id for task in tasks()[:3]}
    rung = Demonstrate(teacher, wanted=9, usable=lambda task, action: task.id not in refused)
    given = rung.help(cold(5), iteration=2)
    assert given is not None
    assert not refused & {d.task.id for d in given.demonstrations}
    assert len(given.demonstrations) == 2
    assert refused <= set(given.gave_up)


def test_source_functions_take_turns() -> None:
    twice = [c for c in cold(6) for _ in range(2)]
    teacher = Teacher(lambda task, at: True)
    given = Demonstrate(teacher, wanted=6).help(twice, iteration=2)
    assert given is not None
    assert len({d.task.source.cluster for d in given.demonstrations}) == 6


def test_once_it_has_seeded_it_is_done_whether_or_not_the_seeded_are_still_cold() -> None:
    booked = [False]
    teacher = Teacher(lambda task, at: True)
    rung = Demonstrate(teacher, wanted=2, asked=lambda: booked[0])
    assert rung.waiting(cold(4))
    given = rung.help(cold(4), iteration=2)
    assert given is not None
    booked[0] = True
    thawed = {d.task.id for d in given.demonstrations}
    left = [c for c in cold(4) if c.task.id not in thawed]
    assert not rung.waiting(left)
    assert rung.help(left, iteration=3) is None


def test_a_teacher_that_solves_nothing_is_asked_once_and_holds_nobody_up() -> None:
    teacher = Teacher(lambda task, at: False)
    rung = Demonstrate(teacher, wanted=2)
    given = rung.help(cold(3), iteration=2)
    assert given is not None
    assert given.demonstrations == ()
    assert len(given.attempts) == 3 * ATTEMPTS
    assert sorted(given.gave_up) == sorted(c.task.id for c in cold(3))
    assert not rung.waiting(cold(3))
    assert rung.help(cold(3), iteration=3) is None
    assert len(teacher.asked) == 3 * ATTEMPTS
    resumed = Demonstrate(teacher, wanted=2, asked=lambda: True)  # what was booked says so
    assert not resumed.waiting(cold(3))


def test_a_teacher_without_any_answer_holds_nobody_up() -> None:
    silent = Teacher(lambda task, at: True)
    silent.attempts = lambda task, n, start=0: []  # type: ignore[method-assign]
    rung = Demonstrate(silent, wanted=2)
    assert rung.waiting(cold(3))
    assert rung.help(cold(3), iteration=2) is None
    assert not rung.waiting(cold(3))


def test_a_budget_that_runs_out_keeps_what_was_bought() -> None:
    teacher = Teacher(lambda task, at: at == 1, affordable=5)
    given = Demonstrate(teacher, wanted=8).help(cold(8), iteration=2)
    assert given is not None
    assert len(given.attempts) == 5
    assert len(given.demonstrations) == 2


def test_a_dearer_rung_waits_for_pilots_unless_the_protocol_is_missing() -> None:
    def ladder() -> Ladder:
        return Ladder([Demonstrate(Teacher(lambda task, at: True), wanted=4), Resample(2, 20)])

    assert ladder().numbers == ("0", "6")
    (first,) = ladder().help(cold(8), iteration=1, malformed_share=0.5)
    assert (first.rung, len(first.pilots)) == ("0", 8)
    assert ladder().waiting(cold(8))
    piloted = cold(8, pilots=1, last_look=1)
    assert [h.rung for h in ladder().help(piloted, iteration=2, malformed_share=0.5)] == ["6"]
    at_once = ladder().help(cold(8), iteration=1, malformed_share=0.95)
    assert [h.rung for h in at_once] == ["6"]  # and no pilots of the policy it changes
    assert ladder().help([], iteration=3, malformed_share=0.0) == []
