"""What an honest job gets: its files, its pipes, its exit status; and what it costs us."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator

import pytest

from toprope.sandbox import Job, Limits, Sandbox, SandboxError, open_sandbox, probe


@pytest.fixture(scope="module", params=["namespaces", "unsafe-local"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    opened = open_sandbox(workers=2, unsafe_local=request.param == "unsafe-local")
    assert opened.walls.level == request.param
    yield opened
    opened.close()


def test_a_job_finds_its_files_and_its_input(sandbox: Sandbox) -> None:
    files = {"one.py": "value = 'é\\udc80'\n", "deep/er/two.txt": "2\r\n"}
    program = """
import os, sys, one
os.write(RESULT_FD, repr([one.value, open("deep/er/two.txt", newline="").read(),
                          sys.stdin.read(), sys.argv, __name__]).encode())
print("to", "out")
print("to err", file=sys.stderr)
"""
    result = sandbox.run(Job("a", files, program, stdin="näme".encode()))
    expected = ["é\udc80", "2\r\n", "näme", ["program"], "__main__"]
    assert (result.status, result.returncode) == ("exited", 0), result.stdout.decode()
    assert result.result == repr(expected).encode()
    assert b"to out\n" in result.stdout
    assert b"to err\n" in result.stdout


def test_a_large_input_arrives_whole(sandbox: Sandbox) -> None:
    data = random.Random(1).randbytes(3 << 20)
    program = """
import hashlib, os, sys
os.write(RESULT_FD, hashlib.sha256(sys.stdin.buffer.read()).digest())
"""
    result = sandbox.run(Job("a", {}, program, stdin=data))
    assert result.result == __import__("hashlib").sha256(data).digest()


@pytest.mark.parametrize(
    ("program", "status", "code"),
    [
        ("pass", "exited", 0),
        ("import sys; sys.exit(3)", "exited", 3),
        ("import sys; sys.exit('no')", "exited", 1),
        ("raise ValueError", "exited", 1),
        ("not python", "exited", 1),
        ("import os; os._exit(0)", "exited", 0),
        ("import os; os.abort()", "signalled", -6),
        ("import ctypes; ctypes.string_at(0)", "signalled", -11),
    ],
)
def test_the_ending_is_told(sandbox: Sandbox, program: str, status: str, code: int) -> None:
    result = sandbox.run(Job("a", {}, program))
    assert (result.status, result.returncode) == (status, code)


def test_hashes_and_so_set_order_are_the_same_every_time(sandbox: Sandbox) -> None:
    program = "import os\nos.write(RESULT_FD, repr({'a', 'b', 'c', 'd', hash('x')}).encode())"
    assert len({sandbox.run(Job("a", {}, program)).result for _ in range(4)}) == 1


def test_time_and_output_are_bounded(sandbox: Sandbox) -> None:
    slow = sandbox.run(Job("a", {}, "while True: pass", limits=Limits(wall_s=0.4)))
    loud = sandbox.run(Job("a", {}, "while True: print('x' * 1000)"))
    assert slow.status == "timeout"
    assert loud.status == "limit"


def test_the_environment_of_the_trainer_is_not_inherited(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "123")
    program = "import os\nos.write(RESULT_FD, repr(sorted(os.environ)).encode())"
    assert b"SECRET_TOKEN" not in sandbox.run(Job("a", {}, program)).result


def test_threads_share_the_workers(sandbox: Sandbox) -> None:
    answers: dict[int, bytes] = {}

    def ask(number: int) -> None:
        program = f"import os\nos.write(RESULT_FD, b'{number}')"
        answers[number] = sandbox.run(Job(str(number), {}, program)).result

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: str(number).encode() for number in range(12)}


def test_files_larger_than_the_workspace_are_the_jobs_fault(sandbox: Sandbox) -> None:
    result = sandbox.run(Job("a", {"big": "x" * (3 << 20)}, "pass", limits=Limits(disk_mb=2)))
    assert result.status == "limit"


def test_a_program_kept_warm_runs_afresh_each_time(sandbox: Sandbox) -> None:
    program = "import os\nx = globals().get('x', 0) + 1\nos.write(RESULT_FD, str(x).encode())"
    job = Job("a", {}, program, trusted=True)
    assert [sandbox.run(job).result for _ in range(3)] == [b"1"] * 3


def test_a_closed_sandbox_says_so(sandbox: Sandbox) -> None:
    other = open_sandbox(unsafe_local=sandbox.walls.level == "unsafe-local")
    other.close()
    other.close()
    with pytest.raises(SandboxError, match="closed"):
        other.run(Job("a", {}, "pass"))


def test_no_descriptor_and_no_process_is_left_behind() -> None:
    before = len(os.listdir("/proc/self/fd"))
    sandbox = open_sandbox(workers=2)
    for _ in range(5):
        sandbox.run(Job("a", {}, "pass"))
    sandbox.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_probe_names_the_walls_that_stand() -> None:
    walls = probe()
    assert walls.isolated
    assert walls.level == "namespaces"
    assert {"network", "files", "user", "system-call filter"} <= set(walls.standing)
    assert walls.missing == ()


def test_walls_are_missing_only_where_that_was_asked_for() -> None:
    walls = open_sandbox(unsafe_local=True).walls
    assert not walls.isolated
    assert "network" in walls.missing
