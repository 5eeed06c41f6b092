"""A climb over a server that is killed again and again ends as one that nothing disturbed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import toprope
from micro_climber import left_in
from micro_world import short_settings
from toprope.climb.config import ConfigError
from toprope.climb.run import climb
from toprope.policy.vllm_api import SamplerGone
from toprope.sandbox import open_sandbox

HERE = Path(__file__).parent
SOURCE = Path(toprope.__file__).parent.parent
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(SOURCE), str(HERE)]),
    "OMP_NUM_THREADS": "1",
}
SETTINGS = (
    "student.lora_rank=8",
    "seeding.learning_rate=2e-2",
    "climbing.learning_rate=1e-2",
    'student.sampler="vllm"',
    "student.max_rows=8",
)


class Keeper:
    """A server on one port, killed by SIGKILL in mid-answer and started again, for ever."""

    def __init__(self, student: Path, dies_after: int) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        self.setting = f'student.endpoint="http://127.0.0.1:{port}"'
        words = [str(student), str(port), str(dies_after)]
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "served_parts.py"), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=ENVIRONMENT,
        )

    def close(self) -> int:
        """End it, and return how often it was killed."""
        told, _ = self.process.communicate()
        assert self.process.returncode == 0
        return told.count(b"killed")


def sit(folder: Path, tasks: Path, student: Path, keeper: Keeper, *ends: str) -> dict[str, Any]:
    """Climb in sittings that end where they are told to; return what is left."""
    done = subprocess.run(
        [sys.executable, HERE / "micro_climber.py", folder, tasks, student, *ends],
        env={**ENVIRONMENT, "MICRO_SETTINGS": " ".join([*SETTINGS, keeper.setting])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (found,) = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return dict(found)


def test_killed_servers_and_killed_climbs_end_as_the_undisturbed_climb(
    micro_tasks: Path, micro_student: Path, tmp_path: Path
) -> None:
    found, killed = [], []
    for name, dies_after, ends in (
        ("whole", 0, ("",)),
        ("killed", 60, ("toprope.policy.served:ServedSampler._episode#40", "")),
    ):
        keeper = Keeper(micro_student, dies_after)
        try:
            found.append(sit(tmp_path / name, micro_tasks, micro_student, keeper, *ends))
        finally:
            killed.append(keeper.close())
    assert [at["status"] for at in found[0]["sittings"]] == [0]
    assert [at["status"] for at in found[1]["sittings"]] == [-signal.SIGKILL, 0]
    assert killed[0] == 0
    assert killed[1] >= 3
    assert found[1]["left"] == found[0]["left"]
    learnt = [row["learn"] for row in found[0]["left"]["metrics"] if "learn" in row]
    assert learnt
    assert all(abs(row["mismatch_kl"]) < 1e-3 < row["weight_mean"] for row in learnt)  # fp32 twice


def test_a_server_that_is_gone_ends_the_sitting_and_another_address_goes_on(
    micro_tasks: Path, micro_student: Path, tmp_path: Path
) -> None:
    sandbox = open_sandbox(workers=1)
    run = tmp_path / "run"
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        gone = f'student.endpoint="http://127.0.0.1:{held.getsockname()[1]}"'
        given = [*SETTINGS, gone, "student.patience_s=0.2"]
        with pytest.raises(SamplerGone, match="go on"):
            climb(short_settings(micro_tasks, micro_student, *given), run, sandbox=sandbox)
    keeper = Keeper(micro_student, 0)
    try:
        given = [*SETTINGS, keeper.setting, "limits.steps=1"]
        summary = climb(short_settings(micro_tasks, micro_student, *given), run, sandbox=sandbox)
    finally:
        keeper.close()
        sandbox.close()
    assert summary["status"] == "finished"
    assert summary["integrity"]["infra"] == 0
    assert left_in(run)["episodes"]
    assert not list((run / "adapters").glob(".*"))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ('student.sampler="vllm"', "endpoint is empty"),
        ('student.endpoint="http://127.0.0.1:1"', "must be 'vllm'"),
    ],
)
def test_contradictions_about_the_sampler_are_refused(
    given: str, told: str, micro_tasks: Path, micro_student: Path
) -> None:
    with pytest.raises(ConfigError, match=told):
        short_settings(micro_tasks, micro_student, "student.lora_rank=8", given)


def test_training_all_weights_over_a_server_is_refused(
    micro_tasks: Path, micro_student: Path
) -> None:
    given = ['student.sampler="vllm"', 'student.endpoint="http://127.0.0.1:1"']
    with pytest.raises(ConfigError, match="lora_rank is 0"):
        short_settings(micro_tasks, micro_student, "student.lora_rank=0", *given)
