"""Ctrl-C and a full disk: an orderly stop, and the same command goes on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import toprope
from micro_climber import left_in
from micro_world import short_settings
from sandbox_flaky import FlakySandbox
from toprope.climb.config import to_toml
from toprope.climb.run import climb
from toprope.grading import grader
from toprope.grading.grader import GradingFails
from toprope.ledger.store import Ledger
from toprope.sandbox import open_sandbox
from toprope.terms import State

HERE = Path(__file__).parent
SOURCE = Path(toprope.__file__).parent.parent
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(SOURCE), str(HERE)]),
    "OMP_NUM_THREADS": "1",
}


@pytest.fixture(scope="module")
def whole(micro_tasks: Path, micro_student: Path, tmp_path_factory: Any) -> dict[str, Any]:
    """What an undisturbed run leaves."""
    run = tmp_path_factory.mktemp("whole") / "run"
    climb(short_settings(micro_tasks, micro_student), run)
    return left_in(run)


def iterations(run: Path) -> int:
    metrics = run / "metrics.jsonl"
    return len(metrics.read_text().splitlines()) if metrics.exists() else 0


def test_ctrl_c_ends_with_its_own_code_and_the_same_command_goes_on(
    whole: dict[str, Any], micro_tasks: Path, micro_student: Path, tmp_path: Path
) -> None:
    recipe, run = tmp_path / "short.toml", tmp_path / "run"
    recipe.write_text(to_toml(short_settings(micro_tasks, micro_student)), encoding="utf-8")
    command = [sys.executable, "-m", "toprope.cli.main", "climb", recipe, "--run", run]
    # Ctrl-C on a terminal reaches every process of the group, the sandbox's workers too.
    first = subprocess.Popen(
        command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while iterations(run) < 3 and first.poll() is None:
        time.sleep(0.01)
    os.killpg(first.pid, signal.SIGINT)
    _, told = first.communicate(timeout=60)
    assert first.returncode == 3, told
    assert "run the same command to go on" in told
    assert "Traceback" not in told
    with Ledger.open(run) as ledger:
        assert ledger.facts()["status"] == "interrupted"
        assert ledger.last_commit() is not None
    second = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    assert left_in(run) == whole
    assert (run / "report.html").exists()


FILLED = """
import json, subprocess, sys
from pathlib import Path
from micro_climber import left_in
from micro_world import short_settings
from toprope.climb.run import climb
from toprope.terms import TopropeError
disk, tasks, student = map(Path, sys.argv[1:4])
unsafe = sys.argv[4] == "-Urm"  # no walls stand within the namespace of a mapped root
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], check=True)
told = []
for size in ("140k", "1400k", "64m"):
    subprocess.run(["mount", "-o", "remount,size=" + size, disk], check=True)
    try:
        climb(short_settings(tasks, student), disk / "run", unsafe_local=unsafe)
    except TopropeError as error:
        told.append(str(error))
print(json.dumps({"told": told, "left": left_in(disk / "run")}))
"""


def own_mounts() -> str:
    """Return how this user gets mounts of its own: as root, or as a root of its own making."""
    for how in ("-m", "-Urm"):
        if not subprocess.run(
            ["unshare", how, "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
            stderr=subprocess.DEVNULL,
            check=False,
        ).returncode:
            return how
    pytest.skip("no small disk can be mounted here")


@pytest.mark.slow
def test_a_full_disk_is_told_and_once_there_is_room_the_run_goes_on(
    whole: dict[str, Any], micro_tasks: Path, micro_student: Path, tmp_path: Path
) -> None:
    disk, how = tmp_path / "disk", own_mounts()
    disk.mkdir()
    program = [sys.executable, "-c", FILLED, disk, micro_tasks, micro_student, how]
    done = subprocess.run(
        ["unshare", how, *program], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    in_the_ledger, in_a_checkpoint = found["told"]
    assert "ledger.sqlite: database or disk is full" in in_the_ledger
    assert f"the disk of {disk / 'run'} is full" in in_a_checkpoint
    assert "TOPROPE_CACHE" not in in_a_checkpoint  # it is not the models' disk
    for told in found["told"]:
        assert "everything up to the last committed iteration is safe" in told
    assert found["left"] == whole


def test_a_climb_whose_attempts_cannot_be_judged_stops_with_the_reason(
    whole: dict[str, Any], micro_tasks: Path, micro_student: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(grader, "_FIRST_PAUSE_S", 0.0)
    settings, run = short_settings(micro_tasks, micro_student), tmp_path / "run"
    with closing(open_sandbox()) as sound:
        ill = FlakySandbox(sound, permanent=("",))
        with pytest.raises(GradingFails) as stopped:
            climb(settings, run, sandbox=ill)
    told = str(stopped.value)
    assert re.match(r"(\d+) of the last \1 attempts could not be judged \(not graded after 3", told)
    assert "`toprope sandbox probe` looks at the walls" in told
    assert "run the same command to go on" in told
    assert ill.faults < 200, "it did not go on losing attempts"
    with Ledger.open(run) as ledger:
        assert ledger.facts()["status"] != "finished"
        assert not any(state is State.COLD for state in ledger.states().values())
    climb(settings, run)
    assert left_in(run) == whole
