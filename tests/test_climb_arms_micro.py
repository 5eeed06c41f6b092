"""What makes the micro comparison of arms still fits the micro world and the entries' form."""

from __future__ import annotations

import random
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from micro_world import CAPITALS, make_tokenizer
from toprope.climb.arms.entry import read_entry

SCRIPT = Path(__file__).parents[1] / "bench" / "arms_micro.py"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module; what it puts on the path is taken off again."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    found = spec_from_file_location("arms_micro", SCRIPT)
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_teacher_is_taught_in_batches_of_one_length(script: Any) -> None:
    batch = script.taught(random.Random(0), 200)
    tokenizer = make_tokenizer()
    assert len(batch) == 200
    assert len({len(tokenizer(asked + answer).input_ids) for asked, answer in batch}) == 1
    mended = [answer.translate(CAPITALS) in asked.split("\n") for asked, answer in batch]
    assert 0.6 < sum(mended) / 200 < 0.8


def test_the_third_entry_keeps_seeds_for_later_and_changes_nothing_else(
    script: Any, tmp_path: Path
) -> None:
    texts = script.entries(tmp_path, 8, 5e9, "total")
    for name in ("replay", "rounds"):
        (tmp_path / f"{name}.toml").write_text(texts[name], encoding="utf-8")
    second, third = (read_entry(tmp_path / f"{name}.toml") for name in ("replay", "rounds"))
    assert third.config("at_once", 3) == second.config("ours", 3)
    for arm in ("rl_only", "sft_then_rl", "sft_replayed"):
        assert third.config(arm, 3) == second.config(arm, 3)
    ours, at_once = third.config("ours", 3), third.config("at_once", 3)
    assert ours.seeding.later == 4
    once = ours.seeding.model_copy(update={"later": 0})
    assert ours.model_copy(update={"seeding": once}) == at_once


def test_both_entries_are_read_and_the_second_changes_the_method_alone(
    script: Any, tmp_path: Path
) -> None:
    read = {}
    for name, text in script.entries(tmp_path, 8, 5e9, "total").items():
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
        read[name] = read_entry(tmp_path / f"{name}.toml")
    first, second = read["arms"], read["replay"]
    for arm in ("rl_only", "sft_then_rl"):
        assert first.config(arm, 3) == second.config(arm, 3)
    before, after = first.config("ours", 3), second.config("ours", 3)
    assert (before.seeding.replay, after.seeding.replay) == (0, 1)
    changed = {"replay": 0, "demonstrations": before.seeding.demonstrations}
    assert after.model_copy(update={"seeding": after.seeding.model_copy(update=changed)}) == before
