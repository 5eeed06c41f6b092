"""A control stops at another run's FLOPs: counted on both sides by the same meters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from micro_world import short_settings
from toprope.cli.main import main
from toprope.climb.config import to_toml
from toprope.climb.pastrun import PastRun
from toprope.climb.run import climb


@pytest.fixture(scope="module")
def helped(
    micro_tasks: Path, micro_student: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    run = tmp_path_factory.mktemp("helped") / "run"
    climb(short_settings(micro_tasks, micro_student), run)
    return run


def test_flops_leave_evaluation_out_and_count_the_teacher_only_if_asked(helped: Path) -> None:
    booked = json.loads((helped / "summary.json").read_text())["compute"]["flops"]
    past = PastRun.open(helped)
    total = sum(booked.values())
    assert past.flops(with_teacher=False) == pytest.approx(
        total - booked["eval"] - booked.get("teacher", 0.0)
    )
    assert past.flops(with_teacher=True) == pytest.approx(total - booked["eval"])
    assert 0 < past.flops(with_teacher=False) < total


def test_a_control_spends_what_the_helped_run_spent_and_little_more(
    helped: Path, micro_tasks: Path, micro_student: Path, tmp_path: Path
) -> None:
    recipe, run = tmp_path / "short.toml", tmp_path / "alone"
    recipe.write_text(to_toml(short_settings(micro_tasks, micro_student)), encoding="utf-8")
    words = ["climb", str(recipe), "--run", str(run), "--teacher", "none"]
    words += ["--flops-of", str(helped), "--set", "limits.steps=9000"]
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code in (0, None)
    summary = json.loads((run / "summary.json").read_text())
    assert "FLOPs that were given" in summary["stop_reason"]
    spent = PastRun.open(run).flops(with_teacher=False)
    wanted = PastRun.open(helped).flops(with_teacher=False)
    # One iteration more than needed at most, and none is half of a whole run.
    assert wanted <= spent < 1.5 * wanted
