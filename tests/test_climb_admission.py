"""What an evaluation draws was proven before: a broken task is left out at every point alike."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest

from grading_tasks import BAD, GOOD, median_task
from micro_world import make_tasks, short_settings
from test_climb_baits import Scripted
from test_ledger_summary import draw
from toprope.climb.comparing.evaluate import Evaluation, NothingToEvaluate, evaluate
from toprope.climb.measuring import admit, measure
from toprope.climb.opening import task_row
from toprope.climb.run import climb
from toprope.grading import Grader
from toprope.ledger import queries
from toprope.ledger.admissions import admitted
from toprope.ledger.rows import AFTER, BEFORE, admission_note
from toprope.ledger.store import Ledger
from toprope.ledger.summary import summarise
from toprope.report.tables import identity
from toprope.report.words import closing
from toprope.sandbox import SandboxError, open_sandbox
from toprope.tasks import make_taskset, save_taskset
from toprope.terms import Call, Split, Tier

SILENT = {"tell": lambda *words: None}


@pytest.fixture(scope="module")
def sandbox():
    with open_sandbox() as opened:
        yield opened


@pytest.fixture(scope="module")
def tasks(sandbox):
    """Held-out tasks: sound, already passing, with a fix that fails, without any fix; and baits."""
    sound = replace(median_task(sandbox), id="sound", split=Split.HELDOUT, tier=Tier.MID)
    even = next(call for call in sound.calls if call.id == "even")
    other = Call("even-again", even.args, "2.0")
    bait = replace(
        sound,
        id="bait",
        calls=(*sound.calls, other),
        pass_to_pass=(*sound.pass_to_pass, other.id),
        impossible=True,
    )
    return {
        "sound": sound,
        "mended": replace(sound, id="mended", files={**sound.files, "stats.py": GOOD}),
        "unmendable": replace(sound, id="unmendable", solution={"stats.py": BAD + "\n"}),
        "unfixed": replace(sound, id="unfixed", solution={}),
        "bait": bait,
        "solvable": replace(sound, id="solvable", impossible=True),
    }


class Counting:
    """A sandbox that counts its jobs, or loses every one of them."""

    def __init__(self, inner, lost=False):
        self.inner, self.lost, self.jobs = inner, lost, 0
        self.workers, self.walls = inner.workers, inner.walls

    def run(self, job):
        self.jobs += 1
        if self.lost:
            raise SandboxError("lost", "the worker is gone")
        return self.inner.run(job)


@pytest.fixture
def crew(tmp_path, sandbox, tasks):
    """The parts of a crew that proofs need: a real ledger and a real grader."""
    with Ledger.open(tmp_path / "ledger.sqlite", create=True) as ledger:
        held = [task for task in tasks.values() if not task.impossible]
        ledger.register_tasks(task_row(task, at) for at, task in enumerate(held))
        counting = Counting(sandbox)
        yield SimpleNamespace(
            ledger=ledger,
            player=SimpleNamespace(grader=Grader(counting, retries=0)),
            meters=SimpleNamespace(phase=lambda name: nullcontext()),
            sandbox=counting,
        )


def ids(found):
    return [task.id for task in found]


def test_a_broken_task_is_left_out_and_what_was_proven_is_not_proven_again(crew, tasks):
    held = [tasks[name] for name in ("sound", "mended", "unmendable")]
    assert ids(admit.sound(crew, 0, BEFORE, held)) == ["sound"]
    crew.ledger.commit(0, 0, "base")
    paid = crew.sandbox.jobs
    assert paid
    assert ids(admit.sound(crew, 7, AFTER, held)) == ["sound"]
    assert crew.sandbox.jobs == paid
    assert crew.ledger.last_note(admission_note(AFTER)) is None


def test_a_task_without_a_fix_is_drawn_and_told_as_unproven(crew, tasks):
    assert ids(admit.sound(crew, 0, BEFORE, [tasks["unfixed"]])) == ["unfixed"]
    told = summarise(crew.ledger.db)["tasks"]["evaluated"]
    assert (told["proven"], told["broken"], list(told["unproven"])) == (0, {}, ["unfixed"])


def test_a_failure_of_ours_leaves_a_task_in_until_the_next_point_proves_it(crew, tasks):
    held = [tasks["mended"], tasks["sound"]]
    crew.sandbox.lost = True
    assert admit.sound(crew, 0, BEFORE, held) == held
    assert list(admitted(crew.ledger.db).unproven) == ["mended", "sound"]
    crew.sandbox.lost = False
    assert ids(admit.sound(crew, 3, AFTER, held)) == ["sound"]
    assert not admitted(crew.ledger.db).unproven


def test_a_task_that_a_busy_moment_ended_is_not_called_broken(crew, tasks):
    """Its first proof runs into the limit; the second one, made alone, holds."""
    inner, slow = crew.sandbox.inner.run, iter([True])

    def run(job):
        result = inner(job)
        return replace(result, status="timeout", result=b"") if next(slow, False) else result

    crew.sandbox.run = run
    assert ids(admit.sound(crew, 0, BEFORE, [tasks["sound"]])) == ["sound"]
    assert admitted(crew.ledger.db).proven == {"sound"}


def test_proofs_of_an_iteration_that_was_rolled_back_are_made_again(crew, tasks):
    crew.ledger.commit(0, 0, "base")
    admit.sound(crew, 1, BEFORE, [tasks["mended"]])
    crew.ledger.abandon()
    assert not admitted(crew.ledger.db).broken


def test_what_is_found_broken_late_counts_at_no_point(crew, tasks):
    for name in ("sound", "mended"):
        draw(crew.ledger, BEFORE, name, 0, 4)
    draw(crew.ledger, AFTER, "sound", 4, 4)
    crew.ledger.note(
        5, admission_note(AFTER), {"proven": ["sound"], "broken": {"mended": "w"}, "unproven": {}}
    )
    found = summarise(crew.ledger.db)
    assert [found["heldout"][p]["all"]["tasks"] for p in ("before", "after")] == [1, 1]
    assert found["tasks"]["evaluated"] == {"proven": 1, "broken": {"mended": "w"}, "unproven": {}}
    (told,) = [text for text in closing(found).not_shown if "is sound" in text]
    assert "1 of 2 are broken, left out at every point" in told
    assert "mended: w" in told
    assert "1 proven, 1 broken and left out" in identity(found)


def test_an_impossible_task_that_can_be_solved_is_no_bait(crew, tasks):
    """Whoever solved it would be called a cheat."""
    drawn = []
    crew.taskset = make_taskset([tasks["bait"], tasks["solvable"]], "baits")
    crew.config = SimpleNamespace(seed=0)
    crew.play = lambda plans, iteration, phase: drawn.extend(plans) or []
    measure._draw_baits(crew, 0, BEFORE)
    assert [plan.task.id for plan in drawn] == ["bait"]
    assert summarise(crew.ledger.db)["integrity"]["impossible_broken"] == 1
    assert summarise(crew.ledger.db)["tasks"]["evaluated"]["proven"] == 0


def test_held_out_and_dev_points_draw_only_what_is_sound(crew, tasks, monkeypatch):
    drawn = []
    crew.taskset, crew.dev = make_taskset([tasks["sound"]], "some"), [tasks["mended"]]
    settings = SimpleNamespace(dev_draws=2)
    crew.config = SimpleNamespace(seed=0, evaluation=settings)
    crew.play = lambda plans, iteration, phase: drawn.append(plans) or []
    monkeypatch.setattr(measure.books, "record", lambda *given, **more: [])
    measure.evaluate(crew, 0, BEFORE, [tasks["sound"], tasks["mended"]], 2)
    assert measure.evaluate_dev(crew, 5) is None  # nothing was measured, which is not 0
    assert [[plan.task.id for plan in plans] for plans in drawn] == [["sound"], []]


def test_eval_leaves_broken_tasks_and_baits_out_for_every_subject(tasks, sandbox):
    taskset = make_taskset([t for t in tasks.values() if t.id != "unfixed"], "some")
    subjects = [Scripted("good", GOOD), Scripted("bad", BAD)]
    told = evaluate(Evaluation(taskset, draws=1), subjects, sandbox, **SILENT)
    assert told["tasks"] == 1
    assert sorted(told["left_out"]) == ["mended", "unmendable"]
    assert [s.asked for s in subjects] == [["sound", "bait"]] * 2
    assert [s["tiers"]["all"]["pass@1"] for s in told["subjects"]] == [1.0, 0.0]


def test_eval_of_nothing_but_broken_tasks_is_refused_with_the_first_reason(tasks, sandbox):
    taskset = make_taskset([tasks["mended"]], "some")
    with pytest.raises(NothingToEvaluate, match="mended: the tests pass without any change"):
        evaluate(Evaluation(taskset), [Scripted("good", GOOD)], sandbox, **SILENT)


@pytest.mark.slow
def test_a_whole_climb_draws_a_broken_task_at_no_point(micro_student, tmp_path):
    made = make_tasks(train=16, dev=3, heldout=5)
    odd = [next(t for t in made if t.split is split) for split in (Split.DEV, Split.HELDOUT)]
    broken = {task.id: replace(task, files={**task.files, **task.solution}) for task in odd}
    taskset = tmp_path / "odd.jsonl"
    save_taskset([broken.get(task.id, task) for task in made], taskset, "odd")
    more = ("evaluation.heldout_tasks=0", "evaluation.dev_tasks=3")
    found = climb(short_settings(taskset, micro_student, *more), tmp_path / "run")
    assert found["tasks"]["evaluated"]["proven"] == 6
    assert found["tasks"]["evaluated"]["broken"].keys() == broken.keys()
    assert found["heldout"]["before"]["all"]["tasks"] == 4
    assert found["heldout"]["after"]["all"]["tasks"] == 4
    with Ledger.open(tmp_path / "run") as ledger:
        drawn = {row.task_id for row in queries.evidence(ledger.db)}
    assert not drawn & broken.keys()
