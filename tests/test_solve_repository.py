"""`toprope solve` from a failing test to a patch: real suite, real sandbox, scripted server."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from solve_parts import ANSWER, CODE, GREEN, MENDED, PATH, RED, SHOWN, TESTS, checkout, git, taught
from teacher_parts import chat_server
from test_cli_verbs import toprope
from toprope.sandbox import open_sandbox
from toprope.solve import NothingFails
from toprope.solve.bench import open_bench
from toprope.solve.failing import CannotBegin, find_failing
from toprope.solve.student import find_student

BLOCK = "{path}\n<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE"
RIGHT = BLOCK.format(path=PATH, old="if coin < 0)", new="if coin > 0)")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr("toprope.cli.solve.CACHE", tmp_path / "cache")


@pytest.fixture
def repository(tmp_path):
    return checkout(tmp_path / "coins")


def solve(folder, *words):
    return toprope("solve", folder, "--python", sys.executable, "--jobs", 1, *words)


def says(*messages):
    """A server's script: these messages in turn, the last one for ever."""
    left = list(messages)
    return lambda body: left.pop(0) if len(left) > 1 else left[0]


def test_an_endpoint_over_turns_ends_in_a_patch_that_mends_the_tests(repository, tmp_path, capsys):
    out = tmp_path / "fix.patch"
    with chat_server(says(f"view {PATH}", RIGHT, "submit")) as server:
        assert solve(repository, "--endpoint", server.url, "--out", out, "--json") == 0
    told = capsys.readouterr()
    result = json.loads(told.out)
    assert (result["end"], result["dialect"], result["attempts"]) == ("solved", "blocks", 1)
    assert set(result["failing"]) == set(RED)
    assert result["passing"] == len(GREEN)
    assert result["suspects"][0]["function"] == "total"
    assert (result["prompt_tokens"], result["sampled_tokens"]) == (3 * 30, 3 * 12)
    assert "a server on this machine" in told.err
    assert "the repository's 3 files" in told.err
    assert all("never shown" not in json.dumps(body) for body in server.asked)
    assert git(repository, "status", "--porcelain") == "", "nothing is written unless asked"
    git(repository, "apply", str(out))
    assert (repository / PATH).read_text() == MENDED
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=repository, env={"PYTHONPATH": "src"}, check=False,
                          capture_output=True)  # fmt: skip
    assert done.returncode == 0


def test_attempts_that_break_what_passed_are_not_taken(repository, capsys):
    # Mends both failing tests, and fails the one that passed.
    cheat = BLOCK.format(path=PATH, old="    return sum(coin for coin in coins if coin < 0)",
                         new="    return {1: 3, 2: 4}[coins[0]]")  # fmt: skip
    with chat_server(says(f"{cheat}\nsubmit", f"{RIGHT}\nsubmit")) as server:
        assert solve(repository, "--endpoint", server.url, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["tried"] == {"failed": 1, "passed": 1}
    assert "coin > 0" in result["diff"]


def test_changed_tests_do_not_count(repository, capsys):
    change = "sed -i s/assert.*/pass/ tests/test_coins.py; echo 'import pytest' > conftest.py"
    script = says(f"```bash\n{change}\n```", "```bash\necho x >> src/coins/__init__.py\n```",
                  "```bash\necho COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT\n```")  # fmt: skip
    with chat_server(script) as server:
        words = ("--endpoint", server.url, "--dialect", "bash", "--attempts", 1)
        assert solve(repository, *words) == 6
    told = capsys.readouterr()
    assert "its changes to conftest.py, tests/test_coins.py do not count" in told.err
    assert "not solved" in told.out
    assert (repository / "tests/test_coins.py").read_text() == TESTS


def test_the_attempts_and_tokens_that_were_given_end_it_and_nothing_drives_the_terminal(
    repository, capsys
):
    painted = BLOCK.format(
        path=PATH, old="if coin < 0)", new="if coin != 0)  # \x1b[2J\x1b]0;x\x07"
    )
    with chat_server(lambda body: f"{painted}\nsubmit") as server:
        words = ("--endpoint", server.url, "--attempts", 2, "--tokens", 100)
        assert solve(repository, *words) == 6
    told = capsys.readouterr()
    assert "the attempts are used up (1 failed, 1 repeated)" in told.out
    assert [body["max_tokens"] for body in server.asked] == [100, 88]
    assert "\\x1b[2J" in told.err
    assert "\x1b[2J" not in told.err + told.out
    assert "\x07" not in told.err + told.out


def test_a_server_that_refuses_a_long_conversation_costs_the_attempt_its_end(repository, capsys):
    with chat_server(says(RIGHT, "submit"), ["", "400"]) as server:
        assert solve(repository, "--endpoint", server.url, "--json") == 0
    assert json.loads(capsys.readouterr().out)["end"] == "solved"


def test_a_secret_stops_it_before_anything_leaves(repository, capsys):
    (repository / "settings.py").write_text(f"KEY = '{'ghp_' + 'a1B2' * 9}'\n")
    with chat_server(says("submit")) as server:
        assert solve(repository, "--endpoint", server.url) == 1
        assert "settings.py:1: a GitHub token" in capsys.readouterr().err
        assert server.asked == []


def test_a_student_is_shown_what_it_was_trained_on_and_its_doubt_is_tried_first(
    repository, tmp_path, capsys
):
    student = taught(tmp_path / "student")
    assert solve(repository, "--model", student, "--apply", "--json") == 0
    told = capsys.readouterr()
    result = json.loads(told.out)
    assert result["shown"].endswith(SHOWN)
    assert result["attempts"] <= 16
    assert "nothing leaves this machine" in told.err
    assert (repository / PATH).read_text() == MENDED, "its docstring and remark are still there"


def test_an_exported_model_answers_in_the_dialect_that_it_brings(tmp_path):
    student = taught(tmp_path / "student", steps=0)
    (student / "harness.json").write_text('{"dialect": "lines", "limits": {"max_tokens": 7}}')
    found = find_student(str(student), "", print).config.student
    assert (found.dialect, found.max_tokens) == ("lines", 7)
    assert find_student(str(student), "rewrite", print).config.student.dialect == "rewrite"


def test_a_model_here_may_talk_over_turns(repository, tmp_path, capsys):
    student = taught(tmp_path / "student", steps=1)
    words = ("--model", student, "--dialect", "blocks", "--tokens", 40, "--json")
    assert solve(repository, *words) == 6
    result = json.loads(capsys.readouterr().out)
    assert (result["end"], result["dialect"], result["attempts"]) == ("tokens", "blocks", 1)
    assert result["sampled_tokens"] == 40
    assert result["diff"] is None


def test_one_failing_test_can_be_named_and_answered_at_once_in_the_students_form(
    repository, capsys
):
    with chat_server(lambda body: ANSWER) as server:
        words = ("--endpoint", server.url, "--dialect", "rewrite", "--test", RED[0], "--json")
        words = (*words, "--tests", "tests/test_coins.py")
        assert solve(repository, *words) == 0
    assert [body["messages"][-1]["content"] for body in server.asked] == [SHOWN]
    result = json.loads(capsys.readouterr().out)
    assert result["tried"] == {"passed": 1}
    assert result["failing"] == [RED[0]]
    assert result["aside"] == {RED[1]: "fails, not asked for"}


def test_a_dirty_tree_is_refused_before_any_work(repository, capsys):
    (repository / PATH).write_text(CODE + "\n")
    with chat_server(says("submit")) as server:
        assert solve(repository, "--endpoint", server.url, "--apply") == 1
        assert server.asked == []
    assert "not committed" in capsys.readouterr().err


def test_nothing_that_fails_has_a_code_of_its_own(tmp_path, capsys):
    folder = checkout(tmp_path / "whole", code=MENDED)
    assert solve(folder, "--endpoint", "http://127.0.0.1:9") == 5
    assert "nothing to solve" in capsys.readouterr().err


def test_what_cannot_be_a_task_is_said_with_a_command(tmp_path):
    many = "import pytest\n\n\n@pytest.mark.parametrize('n', range(40))\n"
    many += "def test_b(n):\n    assert n < 0\n"
    folder = checkout(tmp_path / "odd", **{"tests/test_b.py": many})
    bench = open_bench(folder, tmp_path / "cache", sys.executable)
    with open_sandbox(workers=1, environments=bench.environments) as sandbox:
        with pytest.raises(CannotBegin, match=r"42 tests fail .*toprope sandbox run --dir"):
            find_failing(bench, sandbox)
        assert len(find_failing(bench, sandbox, ["tests/test_coins.py"]).red) == 2
        with pytest.raises(CannotBegin, match=r"finds no test 'tests/none\.py'"):
            find_failing(bench, sandbox, ["tests/none.py"])
        with pytest.raises(NothingFails, match="nothing to solve"):
            find_failing(bench, sandbox, GREEN)
        (folder / "tests/test_b.py").write_text("import nowhere\n")
        broken = open_bench(folder, tmp_path / "cache", sys.executable)
        with pytest.raises(CannotBegin, match=r"tests/test_b.py cannot be loaded .*nowhere"):
            find_failing(broken, sandbox)


@pytest.mark.slow
def test_ctrl_c_ends_it_with_its_code_and_leaves_the_repository_alone(repository, tmp_path):
    asked, released = threading.Event(), threading.Event()

    def answer(body):
        asked.set()
        released.wait(600)
        return "submit"

    with chat_server(answer) as server:
        words = ["solve", repository, "--python", sys.executable, "--endpoint", server.url]
        process = subprocess.Popen(
            [sys.executable, "-m", "toprope.cli.main", *map(str, words)],
            env={**os.environ, "TOPROPE_CACHE": str(tmp_path / "other")},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert asked.wait(300)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=300)
        finally:
            released.set()
            process.kill()
    assert (process.returncode, out) == (3, "")
    assert "interrupted; nothing of it is kept" in err
    assert git(repository, "status", "--porcelain") == ""
