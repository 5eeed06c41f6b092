"""Against a real vLLM server: `make vllm-env`, then pytest -m slow; skipped where there is none."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from toprope.climb.config import load_config
from toprope.climb.episodes.sampling import try_server
from toprope.climb.run import climb
from toprope.policy.load import PartialModel, resolve
from toprope.policy.vllm_server import ServerError, Serving, VllmServer, find_python
from toprope.terms import TopropeError

RANK = 8
SERVING = Serving(lora_rank=RANK, context=1024, rows=16)
SMALLEST = (
    f"student.lora_rank={RANK}",
    'student.sampler="vllm"',
    "student.patience_s=1200",
    "student.max_rows=16",
    "student.max_tokens=24",
    'teacher.kind="reference"',
    "cold_start.tasks=3",
    "cold_start.draws=2",
    "cold_start.granted_tasks=0",
    "cold_start.never_seeded=0",
    "seeding.demonstrations=2",
    "seeding.epochs=1",
    "seeding.learning_rate=1e-3",
    "seeding.pilot_tasks=1",
    "seeding.pilot_draws=1",
    "climbing.tasks=1",
    "climbing.group=2",
    "climbing.explore=1",
    "climbing.pilots_per_step=0",
    "evaluation.heldout_tasks=1",
    "evaluation.before_draws=1",
    "evaluation.seeded_draws=1",
    "evaluation.after_draws=1",
    "evaluation.frozen_base_draws=0",
    "limits.minutes=0",
    "limits.steps=2",
    "limits.checkpoint_every=1",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    try:
        find_python()
        model = resolve("smollm2-135m-instruct")
    except (ServerError, PartialModel, TopropeError) as error:
        pytest.skip(f"no real vLLM here: {error}")
    log = tmp_path_factory.mktemp("vllm") / "vllm.log"
    with VllmServer(model, SERVING, log=log) as served:
        yield served


class Killer:
    """Kills a server as soon as it has an adapter, and starts it again on the same port."""

    def __init__(self, server: VllmServer, port: int) -> None:
        self.server, self.port = server, port
        self.killed = 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def __enter__(self) -> Killer:
        self.thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop.set()
        self.thread.join()
        if self.killed:
            self.server.close()

    def _run(self) -> None:
        while not self.stop.wait(0.2):
            try:
                listed = httpx.get(f"{self.server.url}/v1/models", timeout=30).json()["data"]
            except httpx.HTTPError:
                continue
            if any(card.get("parent") for card in listed):
                break
        else:
            return
        assert self.server._process is not None
        os.killpg(self.server._process.pid, 9)
        self.killed += 1
        again = replace(self.server.serving, port=self.port)
        self.server = VllmServer(self.server.model, again, log=self.server.log)
        self.server.__enter__()


@pytest.mark.slow
def test_a_real_server_computes_the_student(server: VllmServer) -> None:
    given = [*SMALLEST, f'student.endpoint="{server.url}"']
    found = try_server(load_config("small", given), tasks=2, draws=8)
    print(found)
    assert found.tokens > 60
    assert abs(found.mismatch_kl) < 0.05
    assert 0.9 < found.weight_mean < 1.1


@pytest.mark.slow
def test_a_climb_outlives_its_server(server: VllmServer, tmp_path: Path) -> None:
    port = int(server.url.rpartition(":")[2])
    given = [*SMALLEST, f'student.endpoint="{server.url}"']
    with Killer(server, port) as killer:
        summary = climb(load_config("small", given), tmp_path / "run")
    assert killer.killed == 1
    assert summary["status"] == "finished"
    assert summary["integrity"]["infra"] == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    print([row.get("learn") for row in rows])
    assert rows[-1]["version"] > 0
