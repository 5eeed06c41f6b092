"""toprope's own sides of the comparisons still speak with what they measure."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parent.parent / "bench"
OPENED = {
    "threads": 1, "lora_rank": 0, "learning_rate": 1e-6, "most_train_tokens": 1024, "rows": 4,
}  # fmt: skip


@contextmanager
def side(script: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.setenv("PYTHONPATH", str(BENCH.parent / "src"))
    from peer_sides import Side

    with Side("ours", sys.executable, script, make="", threads=1) as opened:
        yield opened


def test_a_grpo_step_is_taken_on_what_was_sampled(
    micro_student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["def one(a):", "return a + 1"]
    with side("ours_grpo.py", monkeypatch) as ours:
        told = {**OPENED, "prompts": texts, "prompts_a_step": 2, "group": 4, "tokens": 6}
        ours.ask(do="open", model=str(micro_student), **told)
        found = ours.ask(do="step", at=0, show=True)
    assert found["lengths"] == [6]
    assert len(found["answers"]) == 8
    assert found["grad_norm"] > 0
    assert ours.peak > 1e7


def test_a_supervised_step_reads_its_rows(
    micro_student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"prompt": [1, 2, 3], "answer": [4, 5]}, {"prompt": [1, 2], "answer": [6]}]
    with side("ours_sft.py", monkeypatch) as ours:
        ours.ask(do="open", model=str(micro_student), **{**OPENED, "rows": rows}, rows_a_step=2)
        found = ours.ask(do="step", at=0)
    assert (found["rows"], found["tokens"], found["trained"]) == (2, 8, 3)
    assert found["loss"] > 0


def test_draws_are_counted_and_scored(micro_student: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"prompts": [[1, 2, 3], [4, 5]], "group": 2}
    with side("ours_decode.py", monkeypatch) as ours:
        ours.ask(do="open", model=str(micro_student), **OPENED)
        found = ours.ask(do="draw", **asked, tokens=5, number="0", show=True)
        score = ours.ask(do="score", **asked, answers=found["answers"])
    assert (found["drawn"], found["prompt_tokens"], found["lengths"]) == (20, 5, [5])
    assert score["mean"] < 0
    with pytest.raises(SystemExit, match="ended by itself"), side("none.py", monkeypatch) as none:
        none.ask(do="open")
