"""Demonstrations in rounds: what is kept, when the next is due, and on which tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from micro_world import make_tasks
from sittings import sit
from toprope.climb.config import ClimbConfig, ConfigError, load_config
from toprope.climb.help.helping import quiet_reason
from toprope.climb.help.rounds import ROUND, later_round
from toprope.ladder.demonstration import Demonstrate, Later
from toprope.ladder.rung import Cold
from toprope.ledger.rows import FRESH, Seed, TaskRow
from toprope.ledger.states import Transition
from toprope.ledger.store import Ledger
from toprope.ledger.summary import summarise
from toprope.report.words import closing
from toprope.terms import Attempt, Outcome, Split, State, Task

TASKS = [task for task in make_tasks() if task.split is Split.TRAIN][:8]
IDS = [task.id for task in TASKS]
KEPT = {"demonstrations": 5, "later": 2, "later_after": 4}
CONFIG = ClimbConfig.model_validate({"seeding": KEPT})


def cold(ids: Sequence[str] = IDS, control: Sequence[str] = ()) -> list[Cold]:
    return [Cold(task, task.id in control, 1, 1) for task in TASKS if task.id in ids]


class Teacher:
    """Solves at once what it answers at all."""

    name, answer_key, parameters, ended = "invented", False, None, ""

    def __init__(self, silent: Sequence[str] = ()) -> None:
        self.silent, self.asked = silent, list[str]()

    def attempts(self, task: Task, n: int, start: int = 0) -> list[Attempt]:
        self.asked.append(task.id)
        if task.id in self.silent:
            return []
        name = f"{task.id}:{start}"
        return [Attempt(name, task.id, "t", "", "", 9, 5, Outcome.PASSED, "", "1|x")]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A run whose first round, in iteration 2, asked about four tasks and imitated three."""
    with Ledger.open(tmp_path / "ledger.sqlite", create=True) as opened:
        opened.register_tasks(TaskRow(t, Split.TRAIN, None, t, at) for at, t in enumerate(IDS))
        opened.record_transitions(0, [Transition(t, State.UNSEEN, State.COLD, "told") for t in IDS])
        opened.commit(0, 0, "base")
        opened.note(2, ROUND, IDS[:4])
        opened.record_seeds(Seed(2, 0, t, "6", t, FRESH, 3) for t in IDS[:3])
        opened.commit(2, 1, "base")
        yield opened


def go_on(ledger: Ledger, iteration: int) -> None:
    ledger.commit(iteration, 1, "base")


def test_a_later_round_gives_what_is_left_on_tasks_nobody_was_asked_about() -> None:
    teacher, later = Teacher(), [Later(2, {*IDS[:4]}, due=False)]
    rung = Demonstrate(teacher, wanted=3, asked=lambda: True, later=lambda: later[0])
    assert not rung.waiting(cold())
    assert rung.help(cold(), iteration=5) is None
    assert not rung.gave_up(cold()[4])  # its round is still to come
    assert rung.gave_up(cold()[0])
    assert rung.gave_up(cold(control=IDS[4:5])[4])
    later[0] = Later(2, {*IDS[:4]}, due=True)
    assert not rung.waiting(cold(IDS[:4]))
    given = rung.help(cold(control=IDS[4:5]), iteration=6)
    assert given is not None
    assert [d.task.id for d in given.demonstrations] == IDS[5:7]
    assert {*teacher.asked} == {*IDS[5:7]}
    later[0] = Later(0, {*IDS[:7]}, due=True)
    assert not rung.waiting(cold())
    assert rung.gave_up(cold()[7])


def test_without_later_rounds_one_round_is_all() -> None:
    rung = Demonstrate(Teacher(), wanted=3, asked=lambda: True)
    assert not rung.waiting(cold())
    assert rung.gave_up(cold()[7])


def test_a_teacher_with_nothing_to_say_holds_a_later_round_up_once() -> None:
    teacher = Teacher(silent=IDS[:5])
    rung = Demonstrate(teacher, wanted=3, asked=lambda: True, later=lambda: Later(2, (), due=True))
    assert rung.help(cold(IDS[:5]), iteration=6) is None
    assert not rung.waiting(cold(IDS[:5]))
    given = rung.help(cold(), iteration=7)  # others may have turned cold since
    assert given is not None
    assert [d.task.id for d in given.demonstrations] == IDS[5:7]


def test_a_round_is_due_some_iterations_after_the_one_before(ledger: Ledger) -> None:
    assert later_round(ledger.db, CONFIG) == Later(2, frozenset(IDS[:4]), due=False)
    go_on(ledger, 4)
    assert later_round(ledger.db, CONFIG) == Later(2, frozenset(IDS[:4]), due=False)
    go_on(ledger, 5)
    assert later_round(ledger.db, CONFIG) == Later(2, frozenset(IDS[:4]), due=True)
    ledger.note(6, ROUND, IDS[4:5])
    ledger.record_seeds([Seed(6, 0, IDS[4], "6", "a", FRESH, 3)])
    go_on(ledger, 6)
    assert later_round(ledger.db, CONFIG) == Later(1, frozenset(IDS[:5]), due=False)
    ledger.rollback_after(5)
    assert later_round(ledger.db, CONFIG) == Later(2, frozenset(IDS[:4]), due=True)
    ledger.rollback_after(0)
    assert later_round(ledger.db, CONFIG) is None  # the first is still to be given
    assert later_round(ledger.db, ClimbConfig()) is None


def test_a_teacher_between_rounds_is_quiet_for_that_reason(ledger: Ledger) -> None:
    def reason(config: ClimbConfig, left: list[Cold]) -> str:
        crew = SimpleNamespace(
            ledger=ledger, config=config, teacher=Teacher(), distiller=None, cold=lambda: left
        )
        return quiet_reason(crew)  # type: ignore[arg-type]

    assert reason(CONFIG, cold()) == "later"
    assert reason(CONFIG, cold(IDS[:4])) == "exhausted"
    assert reason(CONFIG, cold(IDS[3:5], control=IDS[4:5])) == "exhausted"
    once = ClimbConfig.model_validate({"seeding": {"demonstrations": 5}})
    assert reason(once, cold()) == "exhausted"
    spent = ClimbConfig.model_validate({"seeding": {**KEPT, "demonstrations": 3}})
    assert reason(spent, cold()) == "budget"


def test_what_is_kept_must_leave_a_first_round_and_is_for_cold_tasks() -> None:
    for overrides, why in (
        (["seeding.demonstrations=4", "seeding.later=4"], "nothing of them for the first round"),
        (["seeding.later=4", 'seeding.on="random"'], "take out one of them"),
    ):
        with pytest.raises(ConfigError, match=why):
            load_config("small", overrides)


@pytest.mark.slow
def test_a_climb_in_rounds_seeds_again_and_kills_change_nothing(
    micro_tasks: Path, micro_student: Path, tmp_path: Path
) -> None:
    settings = "seeding.later=3 seeding.later_after=3 limits.steps=9 limits.checkpoint_every=4"
    ends = ("toprope.climb.help.helping:_imitate#2", "toprope.climb.help.helping:look_again", "")
    whole, killed = sit(tmp_path, micro_tasks, micro_student, "", "--", *ends, settings=settings)
    assert [at["status"] for at in killed["sittings"]] == [-9, -9, 0]
    assert killed["left"] == whole["left"]
    with Ledger.open(tmp_path / "0") as ledger:
        asked = ledger.db.execute("SELECT iteration FROM notes WHERE key = ?", [ROUND]).fetchall()
        seeds = ledger.db.execute(
            "SELECT iteration, count(*), count(DISTINCT task_id) FROM seeds WHERE rung = '6' "
            "GROUP BY iteration ORDER BY iteration"
        ).fetchall()
        summary = summarise(ledger.db)
    assert [row[1:] for row in seeds] == [(3, 3), (3, 3)]
    assert seeds[1][0] - seeds[0][0] == 3
    assert [at for (at,) in asked] == [at for at, *_ in seeds]
    assert summary["teacher"]["rounds"] == 2
    assert "with 1 later round of demonstrations" in "".join(closing(summary).not_shown)
