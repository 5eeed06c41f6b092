"""Memory that runs out, numbers that are not finite and lost devices in a climb: nothing is lost.

Faults are injected at the call of a layer of the student, where torch would raise them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from math import nan
from pathlib import Path
from typing import Any

import pytest
import torch

from micro_climber import left_in
from micro_world import short_settings
from tiny_models import tiny_model
from toprope.climb.meters import Meters
from toprope.climb.run import climb
from toprope.climb.training import fitting, health, room
from toprope.climb.training.fitting import DoesNotFit, Fitting
from toprope.climb.training.health import LearningFails
from toprope.climb.training.learner import Learner
from toprope.climb.training.longest import longest_row
from toprope.climb.training.room import Stopped, TooLittleRoom
from toprope.learn.fit import Fit
from toprope.learn.optimiser import MasterAdam
from toprope.learn.packing import GroupRow
from toprope.ledger.store import LEDGER_NAME, Ledger
from toprope.policy import attention
from toprope.policy.load import load_tokenizer
from toprope.tasks import load_taskset
from toprope.terms import Split

Fault = Callable[[torch.Tensor], torch.Tensor]


def inject(patch: pytest.MonkeyPatch, fault: Fault, when: Callable[[Any, torch.Tensor], bool]):
    """Let a layer of every learner's student go through `fault` where `when` says so."""
    made = Learner.__init__

    def init(self: Any, *given: Any, **named: Any) -> None:
        made(self, *given, **named)

        def hook(module: Any, given: Any, out: torch.Tensor) -> torch.Tensor:
            return fault(out) if module.training and when(self, out) else out

        self.model.model.layers[0].register_forward_hook(hook)

    patch.setattr(Learner, "__init__", init)


def refuse(out: torch.Tensor) -> torch.Tensor:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def lose(out: torch.Tensor) -> torch.Tensor:
    raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


def poison(out: torch.Tensor) -> torch.Tensor:
    return out * nan


def learning(self: Any, out: torch.Tensor) -> bool:
    """Say whether this is a step, not the weighing before the first one."""
    return bool(self.meters.iteration)


def full(self: Any, out: torch.Tensor) -> bool:
    """Say whether memory is out: from iteration 3 on, for more than 60 tokens at once."""
    return bool(self.meters.iteration > 2 and out.shape[:2].numel() > 60)


def answers(run: Path) -> list[dict[str, Any]]:
    with Ledger.open(run) as ledger:
        return list(ledger.journal.under(fitting.KEY).values())


def whole_climb(micro_tasks: Path, micro_student: Path, run: Path) -> dict[str, Any]:
    climb(short_settings(micro_tasks, micro_student), run)
    return left_in(run)


def test_a_step_that_memory_does_not_hold_is_taken_in_smaller_pieces_also_when_resumed(
    micro_tasks: Path, micro_student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, told = short_settings(micro_tasks, micro_student), list[str]()
    with monkeypatch.context() as patch:
        inject(patch, refuse, full)
        summary = climb(settings, tmp_path / "small", say=told.append)
    assert summary["status"] == "finished"
    kept = answers(tmp_path / "small")
    assert kept[0]["fit"]["most_tokens"] == settings.student.most_train_tokens
    assert kept[-1]["fit"]["most_tokens"] <= 60
    assert kept[1]["iteration"] > 2
    assert [line for line in told if "memory ran out" in line]
    assert f"learner: at most {settings.student.most_train_tokens:,} packed tokens" in told[0]
    # Another process has the memory, is stopped in the midst, and ends with the same bits.
    (tmp_path / "again").mkdir()
    with Ledger.open(tmp_path / "again" / LEDGER_NAME, create=True) as ledger:
        for number, one in enumerate(kept):
            ledger.journal.put({f"{fitting.KEY}{number:04d}": one})
    with monkeypatch.context() as patch:
        inject(patch, interrupt, lambda s, out: s.meters.iteration >= 4)
        with pytest.raises(KeyboardInterrupt):
            climb(settings, tmp_path / "again")
    climb(settings, tmp_path / "again")
    assert left_in(tmp_path / "again") == left_in(tmp_path / "small")


def interrupt(out: torch.Tensor) -> torch.Tensor:
    raise KeyboardInterrupt


def test_a_step_that_fits_in_no_way_and_a_lost_device_stop_a_run_that_can_go_on(
    micro_tasks: Path, micro_student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, run = short_settings(micro_tasks, micro_student), tmp_path / "run"
    for fault, error, says in (
        (refuse, DoesNotFit, "choose a smaller student"),
        (lose, Stopped, "run the same command to go on"),
    ):
        with monkeypatch.context() as patch:
            inject(patch, fault, learning)
            with pytest.raises(error, match=says):
                climb(settings, run)
        with Ledger.open(run) as ledger:
            assert ledger.last_commit() is not None
    assert climb(settings, run)["status"] == "finished"


def test_a_skipped_step_is_recorded_and_the_climb_goes_on(
    micro_tasks: Path, micro_student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, told = short_settings(micro_tasks, micro_student), list[str]()
    left = [True]  # one call alone

    with monkeypatch.context() as patch:
        inject(patch, poison, lambda s, out: bool(left) and learning(s, out) and bool(left.pop()))
        summary = climb(settings, tmp_path / "run", say=told.append)
    assert summary["status"] == "finished"
    assert any("a step was skipped" in line for line in told)
    with Ledger.open(tmp_path / "run") as ledger:
        (note,) = [
            json.loads(v) for (v,) in ledger.db.execute(
                "SELECT value FROM notes WHERE key = ?", [health.NOTE]
            )
        ]  # fmt: skip
    assert note["in_a_row"] == 0
    assert "nan" in note["why"][0]
    assert "NaN" not in (tmp_path / "run" / "metrics.jsonl").read_text()


def test_several_skipped_steps_in_a_row_stop_the_climb_with_sound_weights(
    micro_tasks: Path, micro_student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, run = short_settings(micro_tasks, micro_student), tmp_path / "run"
    whole = whole_climb(micro_tasks, micro_student, tmp_path / "whole")
    with monkeypatch.context() as patch:
        inject(patch, poison, learning)
        with pytest.raises(LearningFails, match="3 training steps in a row"):
            climb(settings, run)
    climb(settings, run)
    assert left_in(run) == whole


def test_a_student_without_room_is_refused_before_anything_is_drawn(
    micro_tasks: Path, micro_student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, run = short_settings(micro_tasks, micro_student), tmp_path / "run"
    monkeypatch.setattr(room, "free_memory", lambda device: 1_000_000)
    with pytest.raises(TooLittleRoom, match="to train adapters only"):
        climb(settings, run)
    monkeypatch.setattr(room, "free_memory", lambda device: None)
    monkeypatch.setattr(fitting, "free_memory", lambda device: 1_500_000)
    with pytest.raises(DoesNotFit, match="GB are free"):
        climb(settings, run)
    with Ledger.open(run) as ledger:
        assert ledger.last_commit() is None
        assert not ledger.db.execute("SELECT count(*) FROM evidence").fetchone()[0]


def chosen(row: GroupRow, prepare: Callable[[Fitting], Any] = lambda opened: None) -> Fit:
    """Return the first choice for a tiny model and a longest row."""
    model = tiny_model("llama")
    model.set_attn_implementation(attention.NAME)
    kept = Answers()
    opened = Fitting(Fit(1024), model, MasterAdam(model), Meters())
    prepare(opened)
    opened.open(kept, lambda text: None, lambda: row)
    return Fit(**kept[f"{fitting.KEY}0000"]["fit"])


class Answers(dict[str, Any]):
    """A journal in memory."""

    def journal_get(self, keys: list[str]) -> dict[str, Any]:
        return {key: self[key] for key in keys if key in self}

    def journal_put(self, answers: dict[str, Any]) -> None:
        self.update(answers)


ROW = GroupRow(tuple(range(40)), tuple((at, 1, 2, 3, 4) for at in range(16)), (1.0,) * 16)


def test_on_a_cpu_the_first_choice_follows_from_the_memory_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, free = [], 1 << 33
    monkeypatch.setattr(fitting, "free_memory", lambda device: free)
    while not found or (found[-1].most_completions != 1 and free > 1000):
        found.append(chosen(ROW))
        free = free * 19 // 20 if free < 1 << 22 else free // 2
    free = 1000
    with pytest.raises(DoesNotFit, match="GB are free"):
        chosen(ROW)
    assert found[0] == Fit(1024)
    assert found[-1].checkpointing
    assert found[-1].most_completions == 1
    tokens = [fit.most_tokens for fit in found]
    assert tokens == sorted(tokens, reverse=True)


def test_what_cannot_fit_is_not_even_weighed_and_nothing_is_weighed_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weighed, free = list[tuple[int, int]](), 40_000_000
    weigh = fitting.weigh

    def noted(model: Any, piece: list[GroupRow]) -> Any:
        weighed.append((piece[0].width, len(piece)))
        return weigh(model, piece)

    monkeypatch.setattr(fitting, "free_memory", lambda device: free)
    monkeypatch.setattr(fitting, "weigh", noted)
    long = GroupRow((0,), tuple((at,) * 1000 for at in range(8)), (1.0,) * 8)
    assert long.width**2 > free  # its mask alone
    with pytest.raises(DoesNotFit):
        chosen(long)
    assert weighed
    assert len(set(weighed)) == len(weighed)
    assert all(rows * width**2 < free for width, rows in weighed)


def test_on_a_device_that_refuses_memory_the_first_choice_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes = list[int]()

    def small(opened: Fitting) -> None:
        opened.device = torch.device("cuda")

        def hook(module: Any, given: Any, out: torch.Tensor) -> None:
            sizes.append(out.shape[:2].numel())
            if sizes[-1] > 130:
                refuse(out)

        opened.model.model.layers[0].register_forward_hook(hook)

    monkeypatch.setattr(fitting, "give_memory_back", lambda device: None)
    assert chosen(ROW, small).most_tokens == ROW.width == 120
    assert sizes[0] == 8 * 120  # the most that the settings permit, first
    assert sizes[-1] == 120


def test_the_longest_row_is_no_shorter_than_any_group_of_the_run(
    micro_tasks: Path, micro_student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, widths = short_settings(micro_tasks, micro_student), list[int]()
    with monkeypatch.context() as patch:
        inject(patch, lambda out: widths.append(out.shape[1]) or out, learning)  # type: ignore[func-returns-value]
        climb(settings, tmp_path / "run")
    train = load_taskset(settings.taskset).split(Split.TRAIN)
    tokenizer = load_tokenizer(micro_student)
    row = longest_row(train, tokenizer, settings, len(tokenizer))
    assert max(widths) <= row.width
