"""Short climbs in which the student imitates what it solved itself after the demonstrations."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest

from micro_world import make_tasks, short_settings
from sittings import sit
from toprope.climb.config import ConfigError, load_config
from toprope.climb.help.replay import replayable
from toprope.climb.run import climb
from toprope.ladder.rung import Cold
from toprope.ledger.rows import PILOT, SELF
from toprope.ledger.store import Ledger
from toprope.terms import Episode, Mode, Outcome, State, Task, Verdict

# Enough demonstrations that some draws pass when the cold tasks are looked at again.
SEEDED = (
    "cold_start.tasks=16",
    "seeding.demonstrations=12",
    "seeding.pilot_tasks=16",
    "seeding.pilot_draws=8",
    "seeding.epochs=2",
    "limits.steps=2",
)


@pytest.fixture(scope="module")
def replayed(
    micro_tasks: Path, micro_student: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("replay") / "run"
    climb(short_settings(micro_tasks, micro_student, *SEEDED, "seeding.replay=1"), folder)
    return folder


def test_what_the_student_solved_itself_is_imitated_once_a_task(replayed: Path) -> None:
    with Ledger.open(replayed) as ledger:
        (seeded_at,) = ledger.db.execute("SELECT min(iteration) FROM seeds").fetchone()
        rows = ledger.db.execute(
            "SELECT s.task_id, s.rung, s.tokens, e.purpose, e.outcome, e.iteration = s.iteration, "
            "e.sampled_tokens FROM seeds AS s JOIN evidence AS e ON e.episode_id = s.attempt_id "
            "WHERE s.kind = ?",
            [SELF],
        ).fetchall()
        passed = ledger.db.execute(
            "SELECT DISTINCT task_id FROM evidence WHERE purpose = ? AND outcome = 'passed' "
            "AND iteration = ?",
            [PILOT, seeded_at],
        ).fetchall()
        alive = {
            change.task_id
            for change in ledger.transitions()
            if change.after is State.LIVE and change.iteration <= seeded_at
        }
        barred = {row.task_id for row in ledger.tasks() if row.never_seeded} - alive
    assert rows
    assert {task for task, *_ in rows} == {task for (task,) in passed} - barred
    assert set(Counter(task for task, *_ in rows).values()) == {1}
    for _, rung, tokens, purpose, outcome, same_iteration, sampled in rows:
        assert (rung, purpose, outcome, same_iteration) == ("0", PILOT, "passed", 1)
        assert tokens == 2 * sampled  # both passes


def test_the_policy_moves_on_and_no_teacher_is_booked_for_it(
    replayed: Path, micro_tasks: Path, micro_student: Path, tmp_path: Path
) -> None:
    without = climb(short_settings(micro_tasks, micro_student, *SEEDED), tmp_path / "run")
    found = {}
    for name, run in (("with", replayed), ("without", tmp_path / "run")):
        with Ledger.open(run) as ledger:
            (at,) = ledger.db.execute("SELECT min(iteration) FROM seeds").fetchone()
            (version,) = ledger.db.execute(
                "SELECT version FROM commits WHERE iteration = ?", [at]
            ).fetchone()
            (own,) = ledger.db.execute(
                "SELECT count(*) FROM seeds WHERE kind = ?", [SELF]
            ).fetchone()
            (calls,) = ledger.db.execute("SELECT count(*) FROM teacher_calls").fetchone()
            (taught,) = ledger.db.execute(
                "SELECT count(*) FROM seeds WHERE kind != ?", [SELF]
            ).fetchone()
            found[name] = (version, own > 0, calls, taught)
    assert found["without"][:2] == (1, False)
    assert found["with"][:2] == (2, True)
    assert found["with"][2:] == found["without"][2:]
    assert without["status"] == "finished"


def test_where_nothing_was_solved_nothing_is_replayed(
    micro_tasks: Path, micro_student: Path, tmp_path: Path
) -> None:
    idle = ("seeding.learning_rate=1e-12", "seeding.demonstrations=2", "limits.steps=2")
    climb(short_settings(micro_tasks, micro_student, "seeding.replay=4", *idle), tmp_path / "run")
    with Ledger.open(tmp_path / "run") as ledger:
        kinds = {row[0] for row in ledger.db.execute("SELECT kind FROM seeds")}
    assert kinds == {"reference"}


def test_a_replay_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"seeding\.pilot_tasks is 0"):
        load_config("small", ["seeding.replay=1", "seeding.pilot_tasks=0"])


def test_the_control_is_not_practised_before_it_thaws() -> None:
    cold, seedable, thawed = make_tasks(train=3, dev=0, heldout=0)
    groups = [[episode(task)] for task in (cold, seedable, thawed)]
    still_cold = [Cold(cold, True, 1, 1), Cold(seedable, False, 1, 1)]
    assert replayable([*groups, []], still_cold) == groups[1:]


def episode(task: Task) -> Episode:
    return Episode(
        id=f"{task.id}/0", task_id=task.id, mode=Mode.PLAIN, rung="", version=1,
        prompt_ids=(1,), sampled_ids=(2,), logprobs=(0.0,), text="", stop="stop",
        verdict=Verdict(Outcome.PASSED, 1.0, ""),
    )  # fmt: skip


@pytest.mark.slow
def test_a_kill_after_the_replay_changes_nothing(
    micro_tasks: Path, micro_student: Path, tmp_path: Path
) -> None:
    kills = ("toprope.climb.help.helping:replay", "toprope.climb.commit:_checkpoint")
    settings = " ".join([*SEEDED, "seeding.replay=1"])
    found = sit(tmp_path, micro_tasks, micro_student, "", "--", *kills, "", settings=settings)
    assert [at["status"] for at in found[1]["sittings"]] == [-signal.SIGKILL] * 2 + [0]
    assert found[1]["left"] == found[0]["left"]
