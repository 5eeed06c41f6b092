"""`toprope teacher sample`: raw answers that are resumable, reproducible, and readable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from micro_world import make_model, make_tokenizer, write_taskset
from toprope.cli.teacher import app
from toprope.policy.chat import ChatSampler
from toprope.tasks import load_taskset
from toprope.teacher.answers import AnswerBank
from toprope.teacher.prompt import messages
from toprope.terms import Split

TASKS, ATTEMPTS = 3, 2


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chat")
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    make_model(len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_taskset(tmp_path_factory.mktemp("set") / "tasks.jsonl", train=4)


def sample(model: Path, tasks: Path, out: Path) -> str:
    words = ["sample", str(model), "--out", str(out), "--taskset", str(tasks)]
    words += ["--tasks", str(TASKS), "--attempts", str(ATTEMPTS), "--max-tokens", "6", "--free"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return result.output


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_answer_says_what_was_asked_and_what_drew_it(
    model: Path, tasks: Path, tmp_path: Path
) -> None:
    out = tmp_path / "raw.jsonl"
    assert f"{TASKS} tasks asked" in sample(model, tasks, out)
    found = rows(out)
    chosen = load_taskset(str(tasks)).split(Split.TRAIN)[:TASKS]
    assert [(r["task_id"], r["index"]) for r in found] == [
        (task.id, index) for task in chosen for index in range(ATTEMPTS)
    ]
    assert found[0]["messages"] == messages(chosen[0])
    assert all("torch" in r["system_fingerprint"] for r in found)
    assert all(0 < r["usage"]["completion_tokens"] <= 6 for r in found)
    assert len({r["settings"]["draw"] for r in found}) == len(found)


def test_the_bank_keeps_equal_texts_of_different_draws(
    model: Path, tasks: Path, tmp_path: Path
) -> None:
    out = tmp_path / "raw.jsonl"
    sample(model, tasks, out)
    lines = rows(out)
    for row in lines:
        row["text"] = "the same"
    out.write_text("".join(json.dumps(row) + "\n" for row in lines))
    bank = AnswerBank()
    bank.put_raw(out)
    assert len(bank) == TASKS * ATTEMPTS


def test_a_cut_file_is_made_whole_with_the_same_draws(
    model: Path, tasks: Path, tmp_path: Path
) -> None:
    out = tmp_path / "raw.jsonl"
    sample(model, tasks, out)
    whole = {(r["task_id"], r["index"]): r["text"] for r in rows(out)}
    lines = out.read_text().splitlines(keepends=True)
    out.write_text("".join(lines[:3]) + lines[3][:25])  # killed inside the second task
    sample(model, tasks, out)
    again = {(r["task_id"], r["index"]): r["text"] for r in rows(out)}
    assert again == whole
    assert len(rows(out)) == TASKS * ATTEMPTS
    before = out.read_text()
    assert "0 tasks" in sample(model, tasks, out)
    assert out.read_text() == before


def test_an_answer_ends_before_its_stop(model: Path) -> None:
    sampler = ChatSampler(model, stop="\n", max_tokens=40, max_rows=8)
    talk = [{"role": "user", "content": "a"}]
    (found,) = sampler.answers([(talk, [f"d{n}" for n in range(8)])], temperature=1.0)
    assert len(found) == 8
    assert not any("\n" in said.text for said in found)
    assert {said.finish for said in found} <= {"stop", "length"}
