"""A measured machine is a chip that the planner takes, with figures of a plausible size."""

import json

import pytest
from typer.testing import CliRunner

from toprope.cli.main import build_app
from toprope.plan.chipfile import load_chips
from toprope.plan.chips import find_chip
from toprope.policy.machine import MachineError, MeasuredMachine, Spread, as_chip_toml, measure


def test_a_measured_machine_becomes_a_chip_of_a_plan(tmp_path):
    file = tmp_path / "mine.toml"
    command = [
        "bench",
        "machine",
        "--device",
        "cpu",
        "--rounds",
        "2",
        "--seconds",
        "0.02",
        "--machine-only",
    ]
    done = CliRunner().invoke(build_app("bench"), [*command, "--out", str(file)])
    assert done.exit_code == 0, done.output
    chip = find_chip("this machine", load_chips([file]))
    assert chip.measured()
    assert chip.layer_latency is not None
    assert 1e-7 < chip.layer_latency.range.typ < 0.1
    assert 1e8 < chip.bandwidth.range.typ < 1e13
    assert chip.power.status == "assumed"


def test_figures_keep_their_units_from_measurement_to_chip(tmp_path):
    found = MeasuredMachine(
        name="a machine",
        device="cpu",
        threads=2,
        rates={"bf16": Spread(1e11, 2e11, 3e11), "fp32": Spread(1e11, 1e11, 1e11)},
        bandwidth=Spread(1e10, 2e10, 2.5e10),
        memory=24_000_000_000,
        layer_s=Spread(1e-5, 2e-5, 4e-5),
        watts=(90.0, 90.0, 90.0),
        watts_told=True,
    )
    file = tmp_path / "mine.toml"
    file.write_text(as_chip_toml(found, "mine"))
    chip = load_chips([file])["mine"]
    rate = chip.peak("bf16")
    assert rate is not None
    assert (rate.min, rate.typ, rate.max) == pytest.approx((1e11, 2e11, 3e11))
    assert chip.bandwidth.range.typ == pytest.approx(2e10)
    assert chip.memory.range.typ == pytest.approx(24e9)
    assert chip.layer_latency is not None
    assert chip.layer_latency.range.max == pytest.approx(4e-5)
    assert chip.power.range.typ == pytest.approx(90)


def test_json_has_the_measurements():
    command = ["bench", "machine", "--device", "cpu", "--rounds", "1", "--seconds", "0.01"]
    done = CliRunner().invoke(
        build_app("bench"), [*command, "--watts", "65", "--json", "--machine-only"]
    )
    found = json.loads(done.output)
    assert found["watts"] == [65, 65, 65]
    assert found["bandwidth"]["low"] <= found["bandwidth"]["middle"]


def test_a_device_that_is_none_is_refused():
    with pytest.raises(MachineError, match="cpu or cuda"):
        measure("abacus")
