"""Short climbs with rungs 1 to 4 and 7: who got what help, and that help is no evidence.

Whether they thaw tasks is tested with students that can be helped, in `test_climb_practice.py`
and `test_climb_logits.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from micro_world import short_settings, write_student
from toprope.climb.run import climb
from toprope.ledger import queries
from toprope.ledger.rows import HELPED, TRAINING_SIDE
from toprope.ledger.store import Ledger

RUNGS = (
    "ladder.rungs=[0, 1, 2, 3, 4]",
    "ladder.tasks=2",
    "ladder.patience=2",
    "seeding.demonstrations=0",
    "climbing.pilots_per_step=4",
    "limits.steps=8",
)


@pytest.fixture(scope="module")
def run(micro_tasks: Path, micro_student: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rungs") / "run"
    climb(short_settings(micro_tasks, micro_student, *RUNGS), folder)
    return folder


def test_every_use_of_a_rung_is_a_row(run: Path) -> None:
    with Ledger.open(run) as ledger:
        uses = ledger.db.execute(
            "SELECT rung, teacher_tokens, seconds, before_n, helped_s, helped_n FROM rung_uses"
        ).fetchall()
    assert {"2", "3", "4"} <= {rung for rung, *_ in uses}
    assert all(seconds >= 0 and before for _, _, seconds, before, _, _ in uses)
    drawn = [(passed, n) for _, _, _, _, passed, n in uses if n]
    assert drawn
    assert all(0 <= passed <= n for passed, n in drawn)


def test_all_time_has_a_name_and_the_ladder_s_is_the_teacher_s(run: Path) -> None:
    with Ledger.open(run) as ledger:
        taken = dict(ledger.db.execute("SELECT phase, sum(seconds) FROM seconds GROUP BY phase"))
    named = {"sample", "grade", "teacher", "seed", "help", "train", "eval", "checkpoint", "other"}
    assert set(taken) <= named
    assert taken["teacher"] > 0


def test_helped_draws_are_no_evidence(run: Path) -> None:
    with Ledger.open(run) as ledger:
        modes = dict(
            ledger.db.execute(
                "SELECT mode, count(*) FROM evidence WHERE purpose = ? GROUP BY mode", [HELPED]
            )
        )
        plain = ledger.db.execute(
            "SELECT count(*) FROM evidence WHERE mode = 'plain' AND outcome != 'infra' "
            f"AND purpose IN ({','.join('?' * len(TRAINING_SIDE))})",
            TRAINING_SIDE,
        ).fetchone()[0]
        counted = sum(
            chunk.draws for chunks in queries.plain_draws(ledger.db).values() for chunk in chunks
        )
    assert {"hinted", "prefixed"} <= set(modes)
    assert "plain" not in modes
    assert counted == plain


def test_the_control_gets_no_help_and_the_reference_is_named(run: Path) -> None:
    with Ledger.open(run) as ledger:
        control = {row.task_id for row in queries.tasks(ledger.db) if row.never_seeded}
        helped = {row[0] for row in ledger.db.execute("SELECT task_id FROM rung_uses")}
        kinds = dict(
            ledger.db.execute(
                "SELECT kind, sum(tokens) FROM seeds WHERE place = 'prompt' GROUP BY kind"
            )
        )
    assert control
    assert not control & helped
    assert set(kinds) == {"reference"}
    assert kinds["reference"] > 0


def test_a_white_box_reads_what_cold_tasks_were_answered(
    micro_tasks: Path, micro_student: Path, tmp_path: Path
) -> None:
    teacher = write_student(tmp_path / "teacher", seed=3, steps=30)
    summary = climb(
        short_settings(
            micro_tasks,
            micro_student,
            "ladder.rungs=[0, 7]",
            f'teacher.whitebox="{teacher}"',
            'teacher.kind="none"',
            "seeding.demonstrations=0",
            "climbing.pilots_per_step=4",
            "limits.steps=3",
        ),
        tmp_path / "run",
    )
    with Ledger.open(tmp_path / "run") as ledger:
        uses = ledger.db.execute("SELECT rung, teacher_tokens, student_tokens FROM rung_uses")
        found = uses.fetchall()
        places = {row[0] for row in ledger.db.execute("SELECT place FROM seeds")}
    assert {rung for rung, _, _ in found} == {"7"}
    assert summary["teacher"]["tokens"] == sum(read for _, read, _ in found) > 0
    assert sum(learned for _, _, learned in found) > 0
    assert places == {"loss"}
