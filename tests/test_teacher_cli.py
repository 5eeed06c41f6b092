"""`toprope teacher record` and `verify`, end to end against a local server and the real walls."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from grading_tasks import BAD, GOOD, median_task
from teacher_parts import chat_server, fenced
from toprope.cli.main import FAILED, OK, main
from toprope.sandbox import open_sandbox
from toprope.tasks import load_taskset, save_taskset
from toprope.teacher.recorded import RecordedTeacher
from toprope.teacher.rows import read_recording
from toprope.terms import Split, Tier


@pytest.fixture(scope="module")
def taskset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tasks") / "small.jsonl"
    sandbox = open_sandbox()
    try:
        task = median_task(sandbox)
    finally:
        sandbox.close()
    hard = dataclasses.replace(task, id="hard", statement="median is wrong (hard)")
    save_taskset([task, hard], path, "small")
    return path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["teacher", *arguments])
    return int(ended.value.code or 0)


def test_what_is_recorded_is_packed_with_its_provenance_and_verified(
    taskset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, packed = tmp_path / "a.jsonl", tmp_path / "a.jsonl.xz"

    def tutor(body: dict[str, object]) -> str:
        return fenced(BAD if "(hard)" in json.dumps(body["messages"]) else GOOD)

    with chat_server(tutor) as server:
        code = run(
            "record", "--taskset", str(taskset), "--endpoint", server.url, "--out", str(out),
            "--attempts", "2", "--stop-at-first", "--pack", str(packed),
            "--extra", '{"min_p": 0.1}',
        )  # fmt: skip
    assert code == OK
    assert "3 attempts, 1 passed, 1 in the student's form" in capsys.readouterr().out
    assert all(body["min_p"] == 0.1 for body in server.asked)
    recording = read_recording(packed)
    assert (recording.header.server, recording.header.gguf_sha256) == ("build-7", "abc123")
    assert recording.header.parameters == 1_000_000
    assert len(recording.rows) == 3

    assert run("verify", str(packed), "--taskset", str(taskset), "--sample", "0") == OK
    assert "3 of 3 rows are judged as recorded" in capsys.readouterr().out


def test_a_forged_row_fails_the_check(
    taskset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.jsonl"
    with chat_server(lambda body: fenced(BAD)) as server:
        run("record", "--taskset", str(taskset), "--endpoint", server.url, "--out", str(out),
            "--attempts", "1")  # fmt: skip
    out.write_text(out.read_text().replace('"outcome": "failed"', '"outcome": "passed"'))
    assert run("verify", str(out), "--taskset", str(taskset), "--sample", "0") == FAILED
    assert "judged differently" in capsys.readouterr().err


def test_the_teacher_is_measured_on_held_out_tasks_beside_what_it_gives(
    taskset: Path, tmp_path: Path
) -> None:
    easy, hard = load_taskset(str(taskset)).tasks
    both, out = tmp_path / "both.jsonl", tmp_path / "a.jsonl"
    kept = dataclasses.replace(hard, split=Split.HELDOUT, tier=Tier.MID)
    save_taskset([easy, kept], both, "both")
    with chat_server(lambda body: fenced(GOOD)) as server:
        for split in ("train", "heldout"):
            code = run("record", "--taskset", str(both), "--endpoint", server.url,
                       "--out", str(out), "--attempts", "1", "--split", split)  # fmt: skip
            assert code == OK
    assert [row.task_id for row in read_recording(out).rows] == [easy.id, kept.id]
    teacher = RecordedTeacher(read_recording(out))
    assert teacher.known([kept]) == {kept.id: (1, 1)}
    assert teacher.attempts(kept, 1) == []
    assert len(teacher.attempts(easy, 1)) == 1


def test_nobody_to_ask_is_said(taskset: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "a.jsonl")
    assert run("record", "--taskset", str(taskset), "--out", out) == FAILED
