"""Draws of the cold test that failures of ours took: made up for once, and counted if in vain."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from micro_world import short_settings
from sandbox_flaky import FlakySandbox
from toprope.climb.config import ClimbConfig
from toprope.climb.run import climb
from toprope.grading import Grader
from toprope.grading.verdict import attempt_key
from toprope.harness import lines
from toprope.ledger.rows import COLD, Evidence
from toprope.ledger.store import Ledger
from toprope.report.words import closing
from toprope.sandbox import Sandbox, open_sandbox
from toprope.tasks import load_taskset
from toprope.terms import Outcome, State

DRAWS = 4
FAILED, INFRA = Outcome.FAILED, Outcome.INFRA


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    opened = open_sandbox(workers=2)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def config(micro_tasks: Path, micro_student: Path) -> ClimbConfig:
    """A run that only measures."""
    return short_settings(micro_tasks, micro_student, "limits.steps=0", f"cold_start.draws={DRAWS}")


@pytest.fixture(scope="module")
def doomed(config: ClimbConfig, sandbox: Sandbox, tmp_path_factory: Any) -> tuple[str, str]:
    """A cold task of an undisturbed run, and the key of one of its failed attempts."""
    run = tmp_path_factory.mktemp("clean") / "run"
    climb(config, run, sandbox=sandbox)
    shard = run / "episodes" / "iteration-000000.jsonl.gz"
    found = [json.loads(line) for line in gzip.decompress(shard.read_bytes()).splitlines()]
    with Ledger.open(run) as ledger:
        cold = {t for t, state in ledger.states().items() if state is State.COLD}
    episode = next(
        e
        for e in found
        if e["id"].startswith("cold/")
        and e["task_id"] in cold
        and e["verdict"]["outcome"] == "failed"
    )
    task = load_taskset(config.taskset).by_id(episode["task_id"])
    return task.id, attempt_key(task, lines.parse(episode["text"], task))


def cold_rows(run: Path, task_id: str) -> dict[int, Evidence]:
    with Ledger.open(run) as ledger:
        return {row.draw: row for row in ledger.evidence_for(task_id, [COLD])}


def outcomes(rows: dict[int, Evidence], draws: range) -> list[Outcome]:
    return [rows[draw].outcome for draw in draws]


def flaky(sandbox: Sandbox, key: str) -> FlakySandbox:
    """Fails an attempt for as often as the grader tries it, and then no more."""
    return FlakySandbox(sandbox, permanent=(key,), heals_after=Grader(sandbox).retries + 1)


def test_a_lost_draw_is_made_up_for_and_the_task_is_placed(
    config: ClimbConfig, sandbox: Sandbox, doomed: tuple[str, str], tmp_path: Path
) -> None:
    task_id, key = doomed
    summary = climb(config, tmp_path / "run", sandbox=flaky(sandbox, key))
    rows = cold_rows(tmp_path / "run", task_id)
    lost = outcomes(rows, range(DRAWS)).count(INFRA)
    assert lost > 0
    assert sorted(rows) == list(range(DRAWS + lost))  # as many more, under the next numbers
    assert outcomes(rows, range(DRAWS, DRAWS + lost)) == [FAILED] * lost
    with Ledger.open(tmp_path / "run") as ledger:
        (move,) = ledger.transitions(task_id)
    assert (move.after, move.reason) == (State.COLD, f"0 of {DRAWS} in the cold test")
    cold = summary["cold_start"]
    assert (cold["tested"], cold["undecided"], cold["draws"]) == (10, 0, DRAWS)


def test_a_kill_after_the_draws_were_made_up_for_changes_nothing(
    config: ClimbConfig,
    sandbox: Sandbox,
    doomed: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    whole, run = tmp_path / "whole", tmp_path / "run"
    climb(config, whole, sandbox=flaky(sandbox, doomed[1]))
    assert len(cold_rows(whole, doomed[0])) > DRAWS
    with monkeypatch.context() as patch:
        patch.setattr("toprope.climb.measuring.measure.protocol_granted", killed)
        with pytest.raises(KeyboardInterrupt):
            climb(config, run, sandbox=flaky(sandbox, doomed[1]))
    assert cold_rows(run, doomed[0]) == {}  # nothing of it was committed
    climb(config, run, sandbox=flaky(sandbox, doomed[1]))
    with Ledger.open(run) as resumed, Ledger.open(whole) as undisturbed:
        assert resumed.digest() == undisturbed.digest()


def test_draws_that_are_lost_twice_decide_nothing_and_are_told(
    config: ClimbConfig, sandbox: Sandbox, doomed: tuple[str, str], tmp_path: Path
) -> None:
    task_id, _ = doomed
    gone = FlakySandbox(sandbox, permanent=(f"{task_id}@",))
    summary = climb(config, tmp_path / "run", sandbox=gone)
    rows = cold_rows(tmp_path / "run", task_id)
    assert outcomes(rows, range(2 * DRAWS)) == [INFRA] * 2 * DRAWS  # twice, and no third time
    assert len(rows) == 2 * DRAWS
    with Ledger.open(tmp_path / "run") as ledger:
        assert ledger.states()[task_id] is State.UNSEEN
    cold = summary["cold_start"]
    assert (cold["tested"], cold["undecided"]) == (9, 1)
    assert any("1 could not be placed" in text for text in closing(summary).not_shown)
