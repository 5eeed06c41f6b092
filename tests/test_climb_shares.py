"""Sampler and learner as shares of a machine's limits: the sums, and a tiny student's run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tiny_models import tiny_model
from toprope.cli.main import build_app
from toprope.climb.comparing.shares import BANDWIDTH, MATRIX, Bench, Share, made_asks, made_rows
from toprope.climb.meters import Shape
from toprope.policy.machine import MeasuredMachine, Spread


def test_the_later_limit_binds_and_the_share_is_its_time_over_the_time_taken() -> None:
    slow_memory = Share("decode", 10.0, seconds=0.1, matrix_s=0.02, bandwidth_s=0.06)
    assert (slow_memory.binds, slow_memory.share) == (BANDWIDTH, pytest.approx(0.6))
    slow_products = Share("learn", 10.0, seconds=0.1, matrix_s=0.05, bandwidth_s=0.01)
    assert (slow_products.binds, slow_products.share) == (MATRIX, pytest.approx(0.5))
    assert "50% of the limit, which is the matrix rate" in slow_products.told()


def machine() -> MeasuredMachine:
    one = Spread(1e9, 1e9, 1e9)
    rates = {"bf16": Spread(4e9, 4e9, 4e9), "fp32": one}
    watts = (1.0, 1.0, 1.0)
    return MeasuredMachine("a machine", "cpu", 1, rates, one, 1 << 30, one, watts, True)


def test_a_decoding_step_reads_weights_once_and_a_group_s_prompt_once() -> None:
    model = tiny_model("llama")
    bench = Bench(model, machine(), prompt=10, rounds=1)
    shape = Shape.of(model)
    kv = 2 * 2 * 2 * 8  # keys and values, layers, heads, width
    assert bench._read(3, 7) == 4 * (shape.body + shape.head + kv * (3 * 10 + 7))
    share = bench.share("work", 5, 2.0, flops=3e9, read=1e9)
    assert share == Share("work", 2.5, 2.0, matrix_s=3.0, bandwidth_s=1.0)


def test_what_is_measured_is_as_long_as_it_says() -> None:
    assert sum(len(ask.episode_ids) for ask in made_asks(64, 9, 64)) == 64
    assert len(made_asks(1, 9, 64)[0].episode_ids) == 1
    rows = made_rows(2, 8, 9, 5, 64)
    assert [row.width for row in rows] == [9 + 8 * 5] * 2


def test_the_command_measures_a_student(micro_student: Path) -> None:
    command = ["bench", "machine", "--device", "cpu", "--rounds", "1", "--seconds", "0.01"]
    done = CliRunner().invoke(
        build_app("bench"), [*command, "--student", str(micro_student), "--json"]
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)["shares"]
    names = ["decode, batch 1", "decode, batch 8", "decode, batch 64", "learner, 3 groups of 8"]
    assert [one["work"] for one in found] == names
    assert all(one["matrix_s"] > 0 and one["tokens_per_second"] > 0 for one in found)
