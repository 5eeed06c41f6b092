"""The planner beside published runs: as close as the research says, and honest where it misses."""

import json

import pytest
from typer.testing import CliRunner

from toprope.plan import breakdown
from toprope.plan.shapes import find_shape
from toprope.plan.validate import validate
from toprope.plan.validatewords import validation_lines


def test_ten_of_the_eleven_runs_of_known_chips_are_reproduced_and_the_miss_is_told():
    found = validate()
    known = [run for run in found.training if "Ascend" not in run.pool]
    assert len(known) == 11
    missed = [run for run in known if not run.reproduced]
    assert [run.name for run in missed] == ["llama-3.1-8b"]
    assert missed[0].note
    assert max(abs(run.off) for run in known if run.reproduced) < 0.27
    assert len(found.reproduced) >= len(found.flat)


def test_the_published_hours_of_nearly_all_runs_lie_in_the_predicted_range():
    runs = validate().training
    assert sum(run.in_range for run in runs) >= len(runs) - 1


def test_mfu_of_the_all_in_hours_is_what_the_sources_say():
    mfu = {run.name: run.mfu for run in validate().training}
    assert mfu["deepseek-v3"] == pytest.approx(0.346, abs=0.002)
    assert mfu["llama-3.1-405b"] == pytest.approx(0.345, abs=0.002)
    assert mfu["llama-3.1-8b"] == pytest.approx(0.139, abs=0.002)


def test_the_sums_of_r1_m1_and_the_serving_fleet_come_out():
    assert all(abs(one.off) < 0.04 for one in validate().sums)


def test_memory_is_within_a_tenth_of_every_breakdown_that_has_no_known_fault():
    wrong = [one for one in validate().memory if abs(one.off) > 0.10]
    assert [one.what.split(",")[0] for one in wrong] == ["Llama 3.1 405B"]
    assert "16 KV heads" in wrong[0].note


def test_activations_by_hand():
    # one layer, one sequence of 4 tokens, hidden 4096 in 32 heads, nothing cut: 34 + 5 a s / h
    shape = find_shape("llama-3.1-8b")
    whole = breakdown.activations(shape, "sequence", sequence=4, micro_batch=1)
    assert whole == pytest.approx(4 * 4096 * (34 + 5 * 32 * 4 / 4096) * 32)
    with pytest.raises(breakdown.BreakdownError, match="selective"):
        breakdown.activations(shape, "none", sequence=4, micro_batch=1)


def test_every_run_of_the_tables_is_printed_with_its_reason():
    text = "\n".join(validation_lines(validate()))
    for name in ("deepseek-v3", "bloom-176b", "deepswe", "Kimi K2", "INTELLECT-3", "MiniMax-M1"):
        assert name in text
    assert "misses: llama-3.1-8b" in text


def test_decode_errors_come_as_fractions_by_chip_and_model(tmp_path):
    from toprope.cli.main import build_app

    file = tmp_path / "rows.csv"
    file.write_text(
        "model_path,system,backend,precision,mode,isl,osl,batch_size,tp_size,silicon_tpot_ms\n"
        "Qwen/Qwen3-32B,h200_sxm,vllm,fp8,agg,1024,1024,16,4,10\n"
        "zai-org/GLM-5,gb200,sglang,fp4,agg,1024,1024,16,4,20\n"
        "who/what,h200_sxm,vllm,fp8,agg,1024,1024,16,4,10\n"
    )
    done = CliRunner().invoke(
        build_app("plan"), ["plan", "validate", "--decode-csv", str(file), "--json"]
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert found["rows"] == 2
    assert 0 <= found["mape"]["dense"] < 1
    assert 0 <= found["mape"]["moe"] < 1
    assert {one["chip"] for one in found["by"]} == {"h200", "gb200"}
    assert list(found["skipped"].values()) == [1]
