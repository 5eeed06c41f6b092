"""What attempts and tasks say may hold sequences that a terminal obeys; none gets through."""

from __future__ import annotations

import gzip
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from invented_run import invent_run
from toprope.cli.main import main
from toprope.ledger.rows import TaskRow
from toprope.ledger.store import Ledger
from toprope.report.page import write_report
from toprope.report.plain import plain
from toprope.terms import Split

TITLE, CLEAR = "\x1b]0;yours\x07", "\x1b[2J"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
SANDBOX_RUN = [sys.executable, "-m", "toprope.cli.main", "sandbox", "run", "--"]
SPEAKS = ["printf", r"\033]0;yours\007\033[2J\377 caf\303\251\n"]


def call(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> str:
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    told = capsys.readouterr()
    assert stopped.value.code == code, told.err
    return told.out + told.err


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\n", "a\tb\n"),
        ("Gödel 数 → ✓", "Gödel 数 → ✓"),
        (TITLE + CLEAR, r"\x1b]0;yours\x07\x1b[2J"),
        ("passed\rfailed\r\n", "passed\\rfailed\n"),
        ("\x9b31m \x7f\x00", r"\x9b31m \x7f\x00"),
        ("\u202etxt.exe \u2066x \ufeff\u2028", r"\u202etxt.exe \u2066x \ufeff\u2028"),
        ("\udcff \U000e0041", r"\udcff \U000e0041"),
    ],
)
def test_only_what_is_drawn_is_left_as_it_is(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_a_commands_output_is_plain_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run([*SANDBOX_RUN, *SPEAKS], stdout=theirs, stderr=theirs, check=False)
    os.close(theirs)
    said = os.read(ours, 1 << 16)
    os.close(ours)
    assert done.returncode == 0, said
    assert said == "\\x1b]0;yours\\x07\\x1b[2J\ufffd café\r\n".encode()


def test_and_goes_into_a_pipe_byte_by_byte() -> None:
    done = subprocess.run([*SANDBOX_RUN, *SPEAKS], capture_output=True, check=True)
    assert done.stdout == b"\x1b]0;yours\x07\x1b[2J\xff caf\xc3\xa9\n"


@pytest.fixture
def taskset(tmp_path: Path) -> Path:
    row = {
        "instance_id": "half-1",
        "problem_statement": f"{TITLE}half(3) gives 1",
        "files": {"calc.py": f"def half(n):\n    return n // 2  # {CLEAR}\n"},
        "editable": ["*.py"],
        "tests": {"test_calc.py": "from calc import half\ndef test(): assert half(3) == 1.5\n"},
        "FAIL_TO_PASS": ["test_calc.py::test"],
        "solution": {"calc.py": "def half(n):\n    return n / 2\n"},
    }
    path = tmp_path / "tasks.jsonl"
    path.write_text(json.dumps(row) + "\n")
    return path


def test_a_grade_does_not_speak_for_the_attempt(
    taskset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attempt = tmp_path / "attempt"
    attempt.mkdir()
    (attempt / "calc.py").write_text("def half(n): return n // 2\n")
    (attempt / f"{CLEAR}{TITLE}.py").write_text("")
    words = ("tasks", "grade", "half-1", "--tasks", taskset, "--files", attempt)
    told = call(capsys, *words)
    assert "\\x1b[2J\\x1b]0;yours\\x07.py" in told
    assert not OBEYED.search(told)
    assert not OBEYED.search(call(capsys, *words, "--json"))


def test_a_task_is_shown_and_listed_plain(
    taskset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = call(capsys, "tasks", "show", "half-1", "--tasks", taskset)
    assert "\\x1b]0;yours\\x07half(3) gives 1" in told
    assert not OBEYED.search(told)
    assert not OBEYED.search(call(capsys, "tasks", "list", taskset))


def test_an_error_repeats_no_sequence(taskset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = call(capsys, "tasks", "show", CLEAR, "--tasks", taskset, code=1)
    assert "\\x1b[2J" in told or "\\\\x1b" in told
    assert not OBEYED.search(told)


def test_neither_a_story_nor_the_page_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = invent_run(tmp_path / "run", tasks=8, iterations=3)
    shard = run / "episodes" / "iteration-000000.jsonl.gz"
    with gzip.open(shard, "rt") as file:
        rows = [json.loads(line) for line in file]
    rows[0]["text"] = rows[0]["verdict"]["why"] = f"x{CLEAR}{TITLE}"
    with gzip.open(shard, "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    told = call(capsys, "show", rows[0]["id"], "--run", run)
    assert told.count("x\\x1b[2J\\x1b]0;yours\\x07") == 2
    assert not OBEYED.search(told)
    with Ledger.open(run) as ledger:
        ledger.register_tasks([TaskRow(f"t{CLEAR}", Split.TRAIN, None, "f", 0)])
        ledger.record_facts({"run": f"run{TITLE}"})
    page = write_report(run).read_text(encoding="utf-8")
    assert "run\\x1b]0;yours\\x07" in page
    assert not OBEYED.search(page)
