"""A finished climb as a workload, and its meters beside the prediction, from a real ledger."""

from __future__ import annotations

from dataclasses import replace

import pytest

from toprope.ledger.rows import STUDENT, TRAIN, Evidence, Meter, TaskRow
from toprope.ledger.schema import LedgerError
from toprope.ledger.store import Ledger
from toprope.plan.chipfile import load_chips
from toprope.plan.climbrun import as_workload, compare, is_run, read_run
from toprope.plan.pool import read_pool
from toprope.plan.shapes import UnknownShape, find_shape
from toprope.plan.workload import WorkloadError
from toprope.terms import Mode, Outcome, Split

SHAPE = find_shape("qwen2.5-0.5b")
BODY = SHAPE.body_parameters


def written(folder, student="qwen2.5-coder-0.5b-instruct-q4_k_m-dequantised", episodes=8):
    """A run of one iteration: 8 episodes of 100 prompt tokens, shared, and 20 sampled."""
    folder.mkdir()
    with Ledger.open(folder / "ledger.sqlite", create=True) as ledger:
        ledger.register_tasks([TaskRow("t", Split.TRAIN, None, "c", 0, False)])
        ledger.record_meta(run="small", student=student)
        ledger.record_evidence(
            Evidence(
                episode_id=f"train/0/t/{n}",
                iteration=0,
                purpose=TRAIN,
                task_id="t",
                version=0,
                policy=STUDENT,
                mode=Mode.PLAIN,
                rung="0",
                draw=n,
                outcome=Outcome.FAILED,
                reward=0.0,
                reverified=None,
                prompt_tokens=100,
                sampled_tokens=20,
            )
            for n in range(episodes)
        )
        ledger.record_meters(
            [
                Meter(0, "sample", 252, 160, 0, 252 * 2.0 * BODY, episodes),
                Meter(0, "train", 250, 0, 160, 250 * 4.0 * BODY, 0),
            ]
        )
        ledger.record_seconds(0, {"sample": 4.0, "train": 2.0, "grade": 0.8})
        ledger.commit(0, 0, "")
    return folder


def test_a_run_becomes_a_workload_of_its_own_lengths(tmp_path):
    folder = written(tmp_path / "run")
    assert is_run(folder)
    work = as_workload(read_run(folder))
    assert work.shape.key == "qwen2.5-0.5b"
    assert (work.kind, work.method, work.iterations, work.episodes) == ("rl", "lora", 1, 8)
    assert work.prompt_tokens == 100
    assert work.sampled_tokens == 20
    assert work.prefilled * 8 == pytest.approx(252 - 160)
    assert work.environment_s == pytest.approx(0.1)
    assert work.tokens == 250


def test_a_run_that_trained_all_weights_is_planned_so(tmp_path):
    folder = written(tmp_path / "run")
    (folder / "config.toml").write_text("[student]\nlora_rank = 0\n")
    run = read_run(folder)
    assert as_workload(run).method == "full"
    lora, full = (compare(one, None)[1].flops_predicted for one in (replace(run, rank=32), run))
    assert full > 1.3 * lora


def test_flops_follow_from_tokens_and_shape(tmp_path):
    sample, train = compare(read_run(written(tmp_path / "run")), None)
    head = SHAPE.head_parameters
    by_hand = 252 * 2 * BODY + 160 * 2 * head
    assert sample.flops_predicted == pytest.approx(by_hand, rel=0.02)
    assert train.flops_predicted == pytest.approx(250 * 4 * BODY + 160 * 6 * head, rel=0.02)
    assert sample.seconds_metered == 4.0
    assert sample.seconds_predicted is None


def test_a_chip_predicts_seconds_as_a_range(tmp_path):
    run = read_run(written(tmp_path / "run"))
    for one in compare(run, read_pool("1 x RTX 4090", load_chips())):
        assert 0 < one.seconds_predicted.min < one.seconds_predicted.max < one.seconds_metered


def test_a_student_of_unknown_shape_is_named_by_the_user(tmp_path):
    folder = written(tmp_path / "run", student="tiny-7x")
    with pytest.raises(UnknownShape, match="--model"):
        read_run(folder)
    assert read_run(folder, "smollm2-135m").shape.key == "smollm2-135m"


def test_a_run_without_episodes_and_a_folder_without_a_ledger_are_refused(tmp_path):
    with pytest.raises(WorkloadError, match="no episode"):
        read_run(written(tmp_path / "run", episodes=0))
    with pytest.raises(LedgerError):
        read_run(tmp_path)
