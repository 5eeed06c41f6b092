"""Stories of tasks and episodes, from ledgers and shards that may be cut."""

from __future__ import annotations

import json
import shutil

import pytest

from invented_run import invent_run
from toprope.ledger.schema import LedgerError
from toprope.ledger.store import Ledger
from toprope.report.story import episode_story, task_story
from toprope.terms import State


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return invent_run(tmp_path_factory.mktemp("story") / "run")


@pytest.fixture(scope="module")
def thawed(run):
    """A task that was cold, was seeded and thawed."""
    with Ledger.open(run) as ledger:
        seeded = {row[0] for row in ledger.db.execute("SELECT task_id FROM seeds")}
        moves = ledger.transitions()
    return next(m.task_id for m in moves if m.after is State.LIVE and m.task_id in seeded)


def test_a_task_story_goes_from_cold_through_the_teacher_to_the_first_success(run, thawed):
    story = task_story(run, thawed)
    places = [
        story.index(words)
        for words in (
            f"Task {thawed}, train",
            "cold test: 0 of",
            "unseen -> cold: 0 of",
            "rung 6: learned from 1 recorded seed(s), 16 tokens",
            "cold -> live:",
            "rung 6: 2 failed, 820 tokens",
            "First success without help: iteration",
            "Cost:",
        )
    ]
    assert places == sorted(places)
    assert "4 teacher attempts, 1,640 tokens, $0.00" in story


def test_a_task_that_was_never_drawn_has_a_short_story(run):
    with Ledger.open(run) as ledger:
        drawn = {row[0] for row in ledger.db.execute("SELECT DISTINCT task_id FROM evidence")}
        task = next(t.task_id for t in ledger.tasks() if t.task_id not in drawn)
    story = task_story(run, task)
    assert "It has never been solved without help." in story


def test_an_unknown_task_gets_the_nearest_names(run):
    with pytest.raises(LedgerError, match=r"no task 'attrs-10'.*did you mean attrs-0?10"):
        task_story(run, "attrs-10")


def test_an_episode_story_shows_what_was_written_and_what_it_was_worth(run):
    with Ledger.open(run) as ledger:
        row = ledger.evidence_for("attrs-000")[0]
    story = episode_story(run, row.episode_id)
    assert "    7|return a - b" in story
    assert f"outcome {row.outcome}" in story
    assert "verdict (exact)" in story
    assert "sampled 2 (ended by stop, mean log-probability -0.75)" in story


def test_an_episode_without_its_shard_is_still_told(tmp_path):
    folder = invent_run(tmp_path / "run", tasks=24, iterations=3)
    shutil.rmtree(folder / "episodes")
    story = episode_story(folder, "cold/0/attrs-000/0/student/plain")
    assert "task attrs-000, iteration 0, cold test, draw 0" in story
    assert "not in episodes/" in story


def test_an_unknown_episode_is_an_error(run):
    with pytest.raises(LedgerError, match="no task and no episode 'nothing'"):
        episode_story(run, "nothing")


def test_shards_that_were_cut_are_read_as_far_as_they_go(tmp_path, run):
    folder = invent_run(tmp_path / "run", tasks=24, iterations=3)
    shard = folder / "episodes" / "iteration-000000.jsonl.gz"
    shard.write_bytes(shard.read_bytes()[:-200])
    first = {
        "id": "plain",
        "task_id": "t",
        "prompt_ids": [],
        "sampled_ids": [],
        "logprobs": [],
        "text": "3|x",
        "stop": "stop",
        "verdict": {"outcome": "failed", "why": "no"},
    }
    (folder / "episodes" / "z.jsonl").write_text(json.dumps(first) + '\n{"id": "pla')
    assert "    3|x" in episode_story(folder, "plain")
    assert "7|return" in episode_story(folder, "cold/0/attrs-000/0/student/plain")
