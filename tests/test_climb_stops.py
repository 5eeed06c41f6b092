"""Ctrl-C and a full disk: an orderly stop, and the same command goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import toprope
from micro_climber import left_in
from micro_world import short_settings
from toprope.climb.config import to_toml
from toprope.climb.run import climb
from toprope.ledger.store import Ledger

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
disk, tasks, student = map(Path, sys.argv[1:])
config = short_settings(tasks, student)
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=" + SIZE, "tmpfs", disk], check=True)
try:
    climb(config, disk / "run")
    told = "it fitted"
except TopropeError as error:
    told = str(error)
subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
climb(config, disk / "run")
print(json.dumps({"told": told, "left": left_in(disk / "run")}))
"""


@pytest.mark.parametrize("size", ["200k", "1400k"])
def test_a_full_disk_is_told_and_once_there_is_room_the_run_goes_on(
    whole: dict[str, Any], micro_tasks: Path, micro_student: Path, tmp_path: Path, size: str
) -> None:
    import json

    if subprocess.run(["unshare", "-Urm", "true"], check=False).returncode:
        pytest.skip("no user namespaces here to mount a small disk in")
    disk = tmp_path / "disk"
    disk.mkdir()
    program = FILLED.replace("SIZE", repr(size))
    done = subprocess.run(
        ["unshare", "-Urm", sys.executable, "-c", program, disk, micro_tasks, micro_student],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert "full" in found["told"]
    assert "safe" in found["told"]
    assert found["left"] == whole
