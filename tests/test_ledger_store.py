"""The store on real files: transactions, kills, full disks, other versions."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from toprope.ledger.rows import (
    COLD,
    FROZEN_BASE,
    STUDENT,
    TRAIN,
    Evidence,
    Meter,
    RungUse,
    Seed,
    TaskRow,
    TeacherCall,
)
from toprope.ledger.schema import SCHEMA_VERSION, LedgerError, LedgerFullError, open_for_reading
from toprope.ledger.states import Draws, Transition
from toprope.ledger.store import Ledger
from toprope.ledger.uses import rung_uses
from toprope.terms import Mode, Outcome, Split, State

CALL = TeacherCall("call-1", "t0", "6", 100, 20, 0.5, Outcome.PASSED, True)


def episode(task_id: str, draw: int, iteration: int = 0, **changes) -> Evidence:
    row = Evidence(
        episode_id=f"{iteration}/{task_id}/{draw}",
        iteration=iteration,
        purpose=COLD,
        task_id=task_id,
        version=iteration,
        policy=STUDENT,
        mode=Mode.PLAIN,
        rung="0",
        draw=draw,
        outcome=Outcome.FAILED,
        reward=0.0,
        reverified=None,
        prompt_tokens=200,
        sampled_tokens=15,
    )
    return replace(row, **changes)


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / "ledger.sqlite", create=True) as opened:
        opened.register_tasks(TaskRow(f"t{i}", Split.TRAIN, None, f"f{i}", i) for i in range(4))
        yield opened


def write_iteration(ledger: Ledger, iteration: int) -> None:
    ledger.record_evidence(episode(f"t{i}", d, iteration) for i in range(4) for d in range(8))
    if iteration == 1:
        moves = [Transition(f"t{i}", State.UNSEEN, State.COLD, "0 of 16") for i in range(4)]
        ledger.record_transitions(iteration, moves)
    ledger.record_seeds([Seed(iteration, 0, "t0", "6", "a", "recorded", 15)] * 2)
    ledger.record_meters([Meter(iteration, "sample", 10, 20, 30, 1e12, 32)])
    ledger.record_seconds(iteration, {"sample": random.random()})
    ledger.note(iteration, "quiet", {"reason": "nothing_cold"})


def test_committed_rows_are_there_after_reopening(ledger, tmp_path):
    write_iteration(ledger, 1)
    ledger.record_rung_uses([RungUse(1, "t0", "6", 15, 0, 0, 16, "k", 1, 3, 8, 0.5)])
    ledger.commit(1, 1, "step-000001")
    digest = ledger.digest()
    ledger.close()
    with Ledger.open(tmp_path) as again:
        assert again.digest() == digest
        assert again.last_commit().checkpoint == "step-000001"
        assert again.evidence_for("t2")[3] == episode("t2", 3, 1)
        assert again.counts()[State.COLD] == 4
        assert again.transitions("t1")[0].reason == "0 of 16"
        assert rung_uses(again.db) == [RungUse(1, "t0", "6", 15, 0, 0, 16, "k", 1, 3, 8, 0.5)]


def test_what_was_not_committed_is_gone_after_reopening(ledger, tmp_path):
    write_iteration(ledger, 1)
    ledger.commit(1, 1, "step-000001")
    digest = ledger.digest()
    write_iteration(ledger, 2)
    assert ledger.digest() != digest
    ledger.close()
    with Ledger.open(tmp_path) as again:
        assert again.digest() == digest


def test_rows_of_the_open_iteration_are_read(ledger):
    write_iteration(ledger, 1)
    assert ledger.plain_draws()["t0"] == [Draws(1, 0, 8)]
    assert ledger.states()["t0"] is State.COLD


def test_rolling_back_leaves_spend_and_answers(ledger):
    write_iteration(ledger, 1)
    ledger.commit(1, 1, "step-000001")
    digest = ledger.digest()
    write_iteration(ledger, 2)
    ledger.commit(2, 2, "step-000002")
    ledger.journal_put({"2/t0/0": {"outcome": "failed"}})
    ledger.rollback_after(1)
    assert ledger.digest() == digest
    assert ledger.last_commit().iteration == 1
    assert ledger.journal_get(["2/t0/0", "other"]) == {"2/t0/0": {"outcome": "failed"}}
    ledger.record_teacher_calls([CALL])
    write_iteration(ledger, 2)
    ledger.commit(2, 2, "step-000002")
    ledger.rollback_after(1)
    assert ledger.db.execute("SELECT call_id FROM teacher_calls").fetchall() == [("call-1",)]


def test_spend_is_counted_though_its_iteration_was_lost(ledger, tmp_path):
    write_iteration(ledger, 1)
    ledger.record_teacher_calls([CALL])
    ledger.record_teacher_calls([CALL])
    ledger.close()
    with Ledger.open(tmp_path) as again:
        assert again.last_commit() is None
        assert again.db.execute("SELECT sum(cost_usd) FROM teacher_calls").fetchone() == (0.5,)


def test_the_first_answer_to_an_id_stays(ledger):
    ledger.journal_put({"e": {"outcome": "passed"}})
    ledger.journal_put({"e": {"outcome": "failed"}, "f": 1})
    assert ledger.journal_get(["e", "f"]) == {"e": {"outcome": "passed"}, "f": 1}


def test_answers_may_arrive_from_several_threads(ledger):
    threads = [
        threading.Thread(target=lambda n=n: ledger.journal_put({f"{n}/{i}": i for i in range(50)}))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ledger.journal_get(f"{n}/{i}" for n in range(4) for i in range(50))) == 200


def test_only_plain_student_draws_that_are_ours_to_count_are_draws(ledger):
    rows = [
        episode("t0", 0, outcome=Outcome.PASSED),
        episode("t0", 1, outcome=Outcome.PASSED, reverified=True),
        episode("t0", 2, outcome=Outcome.PASSED, reverified=False),
        episode("t0", 3, outcome=Outcome.INFRA),
        episode("t0", 4, outcome=Outcome.PASSED, mode=Mode.HINTED),
        episode("t0", 5, outcome=Outcome.PASSED, purpose=FROZEN_BASE, policy="base"),
        episode("t0", 6, outcome=Outcome.PASSED, purpose="eval:before"),
        episode("t0", 7, outcome=Outcome.HACK),
    ]
    ledger.record_evidence(rows)
    assert ledger.plain_draws() == {"t0": [Draws(0, 2, 4)]}
    assert ledger.plain_draws(purposes=[FROZEN_BASE], policy="base") == {"t0": [Draws(0, 1, 1)]}


def test_draws_since_an_iteration_leave_out_that_iteration(ledger):
    for iteration in (1, 2, 3):
        ledger.record_evidence([episode("t0", 0, iteration, purpose=TRAIN)])
    assert [chunk.version for chunk in ledger.plain_draws(since=1)["t0"]] == [2, 3]


def test_the_digest_knows_no_clock_and_no_machine(ledger, tmp_path):
    write_iteration(ledger, 1)
    ledger.commit(1, 1, "step-000001")
    digest = ledger.digest()
    ledger.record_facts({"peak_rss_gb": 1.5, "device": "cpu"})
    ledger.record_seconds(1, {"sample": 3.0})
    assert ledger.digest() == digest
    ledger.record_meters([Meter(1, "sample", flops=1.0)])
    assert ledger.digest() != digest


def test_an_episode_recorded_twice_is_refused_and_its_iteration_dropped(ledger):
    write_iteration(ledger, 1)
    with pytest.raises(LedgerError, match="recorded twice"):
        ledger.record_evidence([episode("t0", 0, 1)])
    with pytest.raises(LedgerError, match="repeat the iteration"):
        ledger.commit(1, 1, "step-000001")
    ledger.abandon()
    write_iteration(ledger, 1)
    ledger.commit(1, 1, "step-000001")
    assert len(ledger.evidence_for("t0")) == 8


def test_evidence_of_an_unknown_task_is_refused(ledger):
    with pytest.raises(LedgerError, match="never registered"):
        ledger.record_evidence([episode("unknown", 0)])


def test_a_move_must_start_from_the_state_the_task_is_in(ledger):
    with pytest.raises(LedgerError, match="t0 is unseen, not cold"):
        ledger.record_transitions(0, [Transition("t0", State.COLD, State.LIVE, "thaw")])


def test_a_resumed_run_registers_its_tasks_again_and_keeps_their_marks(ledger):
    ledger.mark_never_seeded(["t1"])
    ledger.mark_tested(["t1", "t2"])
    ledger.commit(0, 0, "step-000000")
    ledger.register_tasks(TaskRow(f"t{i}", Split.TRAIN, None, f"f{i}", i) for i in range(5))
    rows = {row.task_id: (row.tested, row.never_seeded) for row in ledger.tasks()}
    assert rows["t1"] == (True, True)
    assert rows["t2"] == (True, False)
    assert rows["t4"] == (False, False)


def test_iterations_only_rise(ledger):
    ledger.commit(3, 1, "step-000003")
    with pytest.raises(LedgerError, match="rollback_after"):
        ledger.commit(3, 1, "step-000003")


def test_facts_are_not_written_into_an_open_iteration(ledger):
    ledger.note(1, "a", 1)
    with pytest.raises(LedgerError, match="commit or abandon"):
        ledger.record_facts({"status": "stopped"})


def test_a_reader_sees_the_last_commit_while_an_iteration_is_open(ledger):
    write_iteration(ledger, 1)
    ledger.commit(1, 1, "step-000001")
    many = [episode("t0", d, 2, episode_id="x" * 300 + str(d)) for d in range(20_000)]
    ledger.record_evidence(many)
    reader = open_for_reading(ledger.path)
    assert reader.execute("SELECT max(iteration) FROM evidence").fetchone() == (1,)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM evidence")
    reader.close()


def test_a_full_disk_is_told_and_loses_nothing(ledger, tmp_path):
    write_iteration(ledger, 1)
    ledger.commit(1, 1, "step-000001")
    digest = ledger.digest()
    pages = ledger.db.execute("PRAGMA page_count").fetchone()[0]
    ledger.db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(LedgerFullError, match="free space on that disk and resume"):
        ledger.record_evidence(episode("t0", d, 2) for d in range(5000))
    ledger.close()
    with Ledger.open(tmp_path) as again:
        assert again.digest() == digest


def test_another_schema_version_is_named(ledger, tmp_path):
    ledger.db.execute("PRAGMA user_version = 7")
    ledger.close()
    told = f"version 7, this toprope reads version {SCHEMA_VERSION}"
    with pytest.raises(LedgerError, match=told):
        Ledger.open(tmp_path)
    with pytest.raises(LedgerError, match="version 7"):
        open_for_reading(tmp_path / "ledger.sqlite")


def test_a_missing_or_foreign_file_is_told(tmp_path):
    with pytest.raises(LedgerError, match="does not exist"):
        Ledger.open(tmp_path)
    (tmp_path / "ledger.sqlite").write_bytes(b"not a database at all, just words" * 100)
    with pytest.raises(LedgerError, match="is not a ledger"):
        Ledger.open(tmp_path)


def test_a_second_writer_is_told_to_wait(ledger, monkeypatch):
    ledger.note(1, "a", 1)
    other = Ledger.open  # opening writes: it takes over journalled calls
    ledger.record_teacher_calls([CALL])
    monkeypatch.setattr("toprope.ledger.schema.BUSY_SECONDS", 0.1)
    with pytest.raises(LedgerError, match="another process is writing"):
        other(ledger.path)


CLIMBER = Path(__file__).with_name("ledger_climber.py")


def climb(folder: Path, kill_after: float | None = None) -> int:
    """The exit code of one start; it kills itself as `kill -9` would, -9, or ends with 0."""
    moment = [] if kill_after is None else [str(kill_after)]
    return subprocess.run(
        [sys.executable, str(CLIMBER), str(folder), *moment], timeout=60
    ).returncode


def test_kills_at_random_moments_leave_the_ledger_of_an_undisturbed_run(tmp_path):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert climb(undisturbed) == 0
    moments, kills, longest = random.Random(3), 0, 0.05
    while climb(killed, kill_after=moments.uniform(0.0, longest)) == -signal.SIGKILL:
        kills, longest = kills + 1, longest * 1.25
    assert kills >= 5
    with Ledger.open(undisturbed) as one, Ledger.open(killed) as other:
        assert other.last_commit().iteration == 11
        assert other.digest() == one.digest()
        answers = "SELECT * FROM answers ORDER BY key"
        assert other.journal._db.execute(answers).fetchall() == (
            one.journal._db.execute(answers).fetchall()
        )
