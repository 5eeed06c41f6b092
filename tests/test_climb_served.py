"""A climb over a server that is killed again and again ends as one that nothing disturbed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

import toprope
from micro_world import short_settings
from served_parts import Engine, serving
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
    "cold_start.tasks=6",
    "cold_start.draws=2",
    "seeding.pilot_tasks=6",
    "seeding.pilot_draws=2",
    "evaluation.after_draws=1",
    "evaluation.dev_every=0",
    "evaluation.frozen_base_draws=1",
    "limits.steps=4",
)


class Keeper:
    """A server on one port, killed by SIGKILL in mid-answer and started again, for ever."""

    def __init__(self, student: Path, dies_after: int) -> None:
        words = [str(student), str(dies_after)]
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "served_parts.py"), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=ENVIRONMENT,
        )
        assert self.process.stdout is not None
        port = int(self.process.stdout.readline())
        self.setting = f'student.endpoint="http://127.0.0.1:{port}"'

    def close(self) -> int:
        """End it, and return how often it was killed."""
        told, _ = self.process.communicate()
        assert self.process.returncode == 0
        return told.count(b"killed")


def sit(folder: Path, tasks: Path, student: Path, setting: str, *ends: str) -> dict[str, Any]:
    """Climb in sittings that end where they are told to; return what is left."""
    done = subprocess.run(
        [sys.executable, HERE / "micro_climber.py", folder, tasks, student, *ends],
        env={**ENVIRONMENT, "MICRO_SETTINGS": " ".join([*SETTINGS, setting])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (found,) = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return dict(found)


@pytest.fixture(scope="module")
def undisturbed(micro_student: Path) -> Iterator[str]:
    """The address of a server in this process, as a setting."""
    torch.set_num_threads(1)
    with serving(Engine(micro_student)) as server:
        yield f'student.endpoint="{server.url}"'


@pytest.mark.slow
def test_killed_servers_and_killed_climbs_end_as_the_undisturbed_climb(
    undisturbed: str, micro_tasks: Path, micro_student: Path, tmp_path: Path
) -> None:
    whole = sit(tmp_path / "whole", micro_tasks, micro_student, undisturbed, "")
    keeper = Keeper(micro_student, 30)
    try:
        ends = ("toprope.policy.served:_kept#40", "")  # the last completion is not kept yet
        found = sit(tmp_path / "killed", micro_tasks, micro_student, keeper.setting, *ends)
    finally:
        killed = keeper.close()
    assert [at["status"] for at in whole["sittings"]] == [0]
    assert [at["status"] for at in found["sittings"]] == [-signal.SIGKILL, 0]
    assert killed >= 3
    assert found["left"] == whole["left"]
    learnt = [row["learn"] for row in whole["left"]["metrics"] if "learn" in row]
    assert learnt
    assert all(abs(row["mismatch_kl"]) < 1e-3 < row["weight_mean"] for row in learnt)  # fp32 twice


def test_a_server_that_is_gone_ends_the_sitting_and_another_address_goes_on(
    undisturbed: str, micro_tasks: Path, micro_student: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with closing(open_sandbox(workers=1)) as sandbox:
        with socket.socket() as held:  # bound and never listening: nobody else gets the port
            held.bind(("127.0.0.1", 0))
            gone = f'student.endpoint="http://127.0.0.1:{held.getsockname()[1]}"'
            given = [*SETTINGS, gone, "student.patience_s=0.2"]
            with pytest.raises(SamplerGone, match="go on"):
                climb(short_settings(micro_tasks, micro_student, *given), run, sandbox=sandbox)
        given = [*SETTINGS, undisturbed, "limits.steps=1"]
        summary = climb(short_settings(micro_tasks, micro_student, *given), run, sandbox=sandbox)
    assert summary["status"] == "finished"
    assert summary["integrity"]["infra"] == 0
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
