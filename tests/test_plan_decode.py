"""The decode latency model: physics it must keep, rows it must read, errors it must tell."""

import random
from dataclasses import replace
from math import isfinite

import pytest

from toprope.plan.chipfile import load_chips
from toprope.plan.decode import Served, parts, running, seconds_per_token
from toprope.plan.layout import Layout, labelled
from toprope.plan.measured import RowError, read_row, read_rows, summary
from toprope.plan.shapes import find_shape, load_shapes
from toprope.plan.standin import stand_in

COLUMNS = (
    "model_path,system,backend,precision,mode,isl,osl,batch_size,tp_size,pp_size,"
    "attention_dp_size,moe_tp_size,moe_ep_size,silicon_ttft_ms,silicon_tpot_ms"
)


def served(model="qwen3-32b", chip="h100", **changes) -> Served:
    base = Served(
        find_shape(model), load_chips()[chip], "fp8", Layout(4, 1, 16), 1024, 1024, "vllm"
    )
    return replace(base, **changes)


def row(**changes) -> dict[str, str]:
    told = "Qwen/Qwen3-32B,h100_sxm,vllm,fp8,agg,1024,1024,16,4,1,,1,1,100,11.6"
    return dict(zip(COLUMNS.split(","), told.split(","), strict=True)) | changes


def test_a_step_reads_each_weight_once_by_hand():
    part = parts(served(precision="bf16", layout=Layout(8, 1, 1), mixed=False))
    shape = find_shape("qwen3-32b")
    weights = (shape.body_parameters + shape.head_parameters) * 2 / 8
    assert part["body"] == pytest.approx(weights / 3.35e12)
    assert part["cache"] == pytest.approx(1536 * 262_144 / 8 / 3.35e12)


def test_a_moe_reads_the_experts_its_batch_chooses_and_no_more():
    alone = served("deepseek-v3", layout=Layout(8, 1, 1), mixed=False)
    crowd = replace(alone, layout=Layout(8, 1, 4096))
    shape = find_shape("deepseek-v3")
    whole = shape.routed_parameters / 8 / 3.35e12
    assert parts(alone)["experts"] == pytest.approx(whole * 8 / 256)
    assert parts(crowd)["experts"] == pytest.approx(whole, rel=1e-3)


@pytest.mark.parametrize("model", ["llama-3.1-8b", "qwen3-32b", "glm-5", "gpt-oss-120b"])
@pytest.mark.parametrize("backend", ["vllm", "trtllm", "sglang", "unheard-of"])
def test_more_work_is_never_faster(model, backend):
    base = served(model, chip="b200", backend=backend, layout=Layout(8, 1, 16))
    for more in (
        replace(base, layout=Layout(8, 1, 32)),
        replace(base, prompt=4096),
        replace(base, chip=load_chips()["h100"]),
    ):
        assert seconds_per_token(more) > seconds_per_token(base)


def test_a_batch_is_held_to_what_memory_has_room_for():
    one = served(precision="bf16", layout=Layout(1, 1, 512))
    assert running(one) < 40
    assert running(replace(one, layout=Layout(8, 1, 512))) == 512


def test_labels_that_carry_the_width_twice_mean_it_once():
    assert labelled(64, 1, 8, 8, 16) == Layout(8, 1, 16)
    assert labelled(1, 64, 8, 8, 4) == Layout(1, 8, 256)
    assert labelled(4, 4, 1, 16, 1) == Layout(4, 1, 4)
    assert labelled(8, 8, 1, 8, 4) == Layout(1, 8, 32)
    assert labelled(4, 0, 2, 2, 32) == Layout(4, 1, 32)
    assert labelled(8, 1, 2, 4, 16) == Layout(8, 1, 16)
    assert labelled(4, 1, 1, 4, 16) == Layout(4, 1, 16)
    assert labelled(1, 8, 1, 8, 4) == Layout(1, 8, 32)


@pytest.mark.parametrize(
    ("system", "key"),
    [
        ("h200_sxm", "h200"),
        ("gb300", "gb300"),
        ("gb200_nvl72_sxm", "gb200"),
        ("B300_SXM", "b300"),
        ("NVIDIA H200-SXM-141GB", "h200"),
        ("NVIDIA-H100-80GB-HBM3", "h100"),
    ],
)
def test_systems_are_found_by_their_published_names(system, key):
    assert read_row(row(system=system), load_chips()).served.chip.key == key


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"system": "h100_pcie"}, "system h100_pcie"),
        ({"system": "nonesuch"}, "system nonesuch"),
        ({"model_path": "who/what"}, "model who/what"),
        ({"precision": "fp6"}, "precision fp6"),
        ({"silicon_tpot_ms": ""}, "silicon_tpot_ms is not a number"),
        ({"silicon_tpot_ms": "nan"}, "silicon_tpot_ms is not a number"),
        ({"silicon_tpot_ms": "0"}, "no time of a token"),
        ({"silicon_tpot_ms": "1e9"}, "no time of a token"),
        ({"batch_size": "0"}, "batch_size is below 1"),
        ({"tp_size": ""}, "tp_size is not a number"),
        ({"pp_size": "-1"}, "pp_size is below 0"),
        ({"system": None}, "system : no chip"),
        ({"model_path": None}, "model : no shape"),
        ({"tp_size": "inf"}, "tp_size is not a number"),
    ],
)
def test_a_row_that_cannot_be_read_says_why(changes, reason):
    with pytest.raises(RowError, match=reason):
        read_row(row(**changes), load_chips())


def test_any_row_of_the_columns_is_predicted_or_refused_with_a_reason():
    """Cells drawn from what such files hold, and from what none should."""
    rng = random.Random(0)
    odd = ["", " ", "0", "1", "-1", "3", "64", "1e3", "1,024", "abc", "nan", "inf", "1e30", None]
    known = {"system": ["h200_sxm", "gb300", "x"], "precision": ["nvfp4", "auto", "fp32"],
             "mode": ["disagg"], "model_path": ["a/b-70b", "zai-org/GLM-4.7"]}  # fmt: skip
    chips, read = load_chips(), 0
    refusals: list[str] = []
    for _ in range(1500):
        cells = row()
        for column in rng.sample(COLUMNS.split(","), rng.choice([1, 2, 4])):
            cells[column] = rng.choice(known.get(column, odd) + odd)
        try:
            found = read_row(cells, chips)
        except RowError as error:
            refusals.append(str(error))
        else:
            read += 1
            assert isfinite(found.error())
    assert read > 100
    assert all(refusals)


def test_skipped_rows_are_counted_and_never_averaged(tmp_path):
    file = tmp_path / "rows.csv"
    good, bad = row(), row(system="nonesuch")
    file.write_text("\n".join([COLUMNS, *(",".join(r.values()) for r in (good, good, bad))]))
    rows, skipped = read_rows(file)
    found = summary(rows, skipped)
    assert found["rows"] == 2
    assert sum(skipped.values()) == 1
    assert found["mape"]["moe"] is None
    assert found["mape"]["dense"] == pytest.approx(abs(rows[0].error()))
    assert found["by"][0]["model"] == "Qwen/Qwen3-32B"


def test_a_file_without_the_columns_is_refused(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(RowError, match="model_path"):
        read_rows(file)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("nobody/Foo-34B-Instruct", "qwen2.5-32b"),
        ("nobody/Foo-230B-A20B", "qwen3-235b-a22b"),
        ("MiniMaxAI/MiniMax-M2.9", "minimax-m2"),
        ("zai-org/GLM-5.9", "glm-5"),
    ],
)
def test_an_unknown_model_is_read_as_its_nearest(name, key):
    found = stand_in(name)
    assert found is not None
    assert found.is_moe == load_shapes()[key].is_moe
    assert found.parameters == pytest.approx(load_shapes()[key].parameters, rel=0.25)


def test_no_stand_in_for_a_name_that_says_nothing_or_a_size_nobody_has():
    assert stand_in("who/what") is None
    assert stand_in("foo-9000b") is None


@pytest.mark.parametrize(
    ("slow", "fast", "low", "high"), [("h100", "h200", 1.04, 1.25), ("h200", "b200", 1.2, 1.85)]
)
def test_chips_differ_as_matched_measurements_do_and_less_than_their_datasheets(
    slow, fast, low, high
):
    # the middle halves of 90 and 382 matched rows: 1.04-1.21 and 1.25-1.82, spec 1.43 and 1.60-2.28
    chips = load_chips()
    ratios = [
        seconds_per_token(served(model, chip=slow, layout=Layout(4, 1, batch)))
        / seconds_per_token(served(model, chip=fast, layout=Layout(4, 1, batch)))
        for model in ("qwen3-32b", "llama-3.1-70b", "gpt-oss-120b")
        for batch in (8, 32)
    ]
    assert low < sorted(ratios)[len(ratios) // 2] < high
    assert chips[fast].bandwidth.range.typ / chips[slow].bandwidth.range.typ > low
