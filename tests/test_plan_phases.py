"""The phases' times: by hand where that is possible, and what must hold for any of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import isfinite

import pytest

from toprope.plan import flops
from toprope.plan.chipfile import load_chips
from toprope.plan.estimate import CannotRun, estimate
from toprope.plan.instead import instead
from toprope.plan.machine import common_precision, machine
from toprope.plan.money import tariff
from toprope.plan.phases import goodput, phases
from toprope.plan.pool import CORNERS, Pool, read_pool
from toprope.plan.serving import longest
from toprope.plan.shapes import find_shape
from toprope.plan.workload import (
    Workload,
    WorkloadError,
    changed,
    from_fields,
    load_workload,
    presets,
)

CHIPS = load_chips()
US = tariff("us")


def test_training_takes_six_flops_a_parameter_and_the_attention_term():
    shape = find_shape("qwen3-32b")
    plain = 6 * shape.parameters_active
    attention = 6 * shape.layers * 4096 * shape.attention_width
    assert flops.training(shape, 1, 4096) == pytest.approx(plain + attention)
    assert flops.over_6nd(shape, 4096) == pytest.approx(1.07, abs=0.01)
    assert flops.over_6nd(shape, 65536) == pytest.approx(2.08, abs=0.05)


def test_lora_spares_the_gradients_of_frozen_weights():
    shape = find_shape("llama-2-7b")
    spared = flops.training(shape, 1, 1) - flops.training(shape, 1, 1, "lora")
    assert spared == pytest.approx(2 * shape.parameters_active)


@pytest.mark.parametrize("name", list(presets()))
@pytest.mark.parametrize("key", ["h100", "ascend-910c", "h20", "tpu-v7", "rtx-4090"])
def test_more_chips_are_never_slower(name, key):
    work, here = presets()[name], machine(CHIPS[key])
    sizes = [1, 2, 3, 5, 8, 9, 16, 31, 64, 65, 200, 512, 1000, 4096]
    found = [sum(one.seconds for one in phases(work, here, n)) for n in sizes]
    for fewer, more in pairwise(found):
        assert more <= fewer * (1 + 1e-9)


@pytest.mark.parametrize("key", ["h100", "b200"])
@pytest.mark.parametrize("name", list(presets()))
def test_twice_the_chips_halve_a_phase_that_flops_bind(name, key):
    work, here = presets()[name], machine(CHIPS[key])
    once, twice = (phases(work, here, n) for n in (1024, 2048))
    bound = [(o, t) for o, t in zip(once, twice, strict=True) if o.binds == t.binds == "FLOPs"]
    assert bound
    for fewer, more in bound:
        if fewer.name != "decode":  # a batch that is cut in two shares less
            assert fewer.seconds == pytest.approx(2 * more.seconds)


@pytest.mark.parametrize("name", list(presets()))
def test_every_range_is_ordered_and_positive(name):
    for key in ("h100", "b200", "ascend-910c", "gb200", "mi300x"):
        found = estimate(presets()[name], Pool(512, CHIPS[key]), US)
        for value in (found.seconds, found.joules, *(phase.seconds for phase in found.phases)):
            assert 0 < value.min <= value.typ <= value.max
            assert isfinite(value.max)
        assert 0 < found.goodput.min <= found.goodput.max <= 1
        for phase in found.phases:
            assert sum(phase.shares.values()) == pytest.approx(1, abs=0.03)
            assert phase.binds in phase.shares


def test_the_slow_corner_is_never_faster():
    work = presets()["rl-32b"]
    at = [machine(CHIPS["ascend-910b"], corner, corner) for corner in CORNERS]
    fast, usual, slow = (sum(one.seconds for one in phases(work, here, 128)) for here in at)
    assert fast <= usual <= slow


def test_energy_and_money_are_time_by_watts_and_by_price():
    found = estimate(presets()["sft-32b"], Pool(64, CHIPS["h100"]), US)
    assert found.joules.typ == pytest.approx(64 * 1730 * found.seconds.typ)
    assert found.dollars.typ == pytest.approx(64 * 2.29 * found.seconds.typ / 3600)


def test_environments_take_the_same_time_on_any_chip():
    work = presets()["rl-32b"]
    found = [
        next(p for p in phases(work, machine(CHIPS[key]), n) if p.name == "environment")
        for key, n in (("h100", 64), ("b200", 512))
    ]
    assert found[0].terms == found[1].terms


def test_asynchronous_rl_does_not_wait_for_the_longest_episode():
    work = presets()["rl-32b"]
    waits = estimate(work, Pool(64, CHIPS["h100"]), US)
    flows = estimate(replace(work, overlapped=True), Pool(64, CHIPS["h100"]), US)
    assert flows.seconds.typ < 0.8 * waits.seconds.typ


def test_the_longest_episode_grows_with_their_number_and_the_context_cuts_it():
    work = replace(presets()["rl-32b"], context=10**9, episodes=64)
    more = replace(work, episodes=4096)
    assert 1 < longest(work) < longest(more)
    assert longest(replace(work, spread=0.0)) == 1
    assert longest(replace(more, context=60_000)) == pytest.approx(2.0)


def test_interruptions_grow_with_the_number_of_chips():
    work, chip = presets()["pretrain-671b"], CHIPS["h100"]
    few, many = (goodput(work, chip, n, "usual") for n in (1024, 16384))
    assert 0.8 < many < few < 1
    assert goodput(presets()["serve-671b"], chip, 16384, "usual") == 1


def test_what_does_not_fit_says_what_is_missing():
    with pytest.raises(CannotRun, match=r"capacity \(train\).*take 9 chips"):
        estimate(presets()["sft-32b"], Pool(8, CHIPS["h100"]), US)


def test_what_does_not_run_says_what_does():
    """Every way that is named is one that runs."""
    pool = Pool(8, CHIPS["h100"])
    work = presets()["sft-32b"]
    ways = instead(work, pool.chip, pool.count)
    assert ways[0] == "16 x NVIDIA H100 SXM"
    assert "--set method=lora" in ways[1]
    assert "--model qwen3-14b" in ways[2]
    estimate(work, Pool(16, pool.chip), US)
    estimate(replace(work, method="lora"), pool, US)
    estimate(changed(work, {"model": "qwen3-14b"}), pool, US)
    large = presets()["pretrain-671b"]
    more, smaller = instead(large, pool.chip, pool.count)
    assert more == "256 x NVIDIA H100 SXM"  # 8, 16 ... 128 do not hold it
    estimate(large, Pool(256, pool.chip), US)
    model = smaller.rpartition(" ")[2].rstrip(")")
    estimate(changed(large, {"model": model}), pool, US)
    fast = replace(presets()["serve"], speed=2000.0)
    (way,) = [way for way in instead(fast, pool.chip, pool.count) if "speed" in way]
    estimate(changed(fast, {"speed": float(way.rpartition("=")[2].rstrip(")"))}), pool, US)


@pytest.mark.parametrize("name", [name for name in presets() if "-" not in name])
def test_what_a_plain_name_means_runs_on_one_node(name):
    assert estimate(presets()[name], Pool(8, CHIPS["h100"]), US).seconds.typ > 0


def test_no_chip_makes_one_user_faster_than_its_layers():
    work = replace(presets()["serve-671b"], speed=2000.0)
    with pytest.raises(CannotRun, match="latency"):
        estimate(work, Pool(512, CHIPS["gb200"]), US)


def test_precisions_are_those_that_both_chips_have():
    assert common_precision(CHIPS["h100"], CHIPS["b200"], "fp4") == "fp8"
    assert common_precision(CHIPS["h100"], CHIPS["ascend-910c"], "fp8") == "fp8"  # INT8 serves
    assert common_precision(CHIPS["h100"], CHIPS["ascend-910c"], "fp8", training=True) == "bf16"


def test_a_workload_comes_from_a_file_and_from_changes(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('like = "rl"\nmodel = "qwen2.5-7b"\nepisodes = 64\n')
    work = load_workload(str(path))
    assert (work.shape.key, work.episodes, work.turns) == ("qwen2.5-7b", 64, 40)
    assert changed(work, {"iterations": 3.0}).iterations == 3


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"like": "rll"}, "did you mean 'rl'"),
        ({"like": "rl", "episode": 4}, "did you mean 'episodes'"),
        ({"like": "rl", "method": "loraa"}, "did you mean 'lora'"),
        ({"like": "rl", "precision": "fp6"}, "did you mean 'fp"),
        ({"like": "rl", "episodes": "many"}, "of type int"),
        ({"like": "rl", "episodes": 1.5}, "of type int"),
        ({"like": "rl", "context": 1024}, "does not fit a context"),
        ({"like": "rl", "turns": -1}, "below 0"),
        ({"like": "distill", "teacher": ""}, "needs teacher"),
        ({"kind": "rl"}, "model is missing"),
    ],
)
def test_mistakes_in_a_workload_name_the_nearest_or_what_to_change(fields, told):
    with pytest.raises(WorkloadError, match=told):
        from_fields("mine", fields)


def test_a_workload_knows_its_lengths():
    work = Workload(
        name="x",
        kind="rl",
        shape=find_shape("qwen2.5-0.5b"),
        episodes=2,
        turns=3,
        prompt_tokens=100,
        observed_tokens=10,
        sampled_tokens=20,
        cached=0.5,
    )
    assert (work.length, work.sampled, work.prefilled) == (190, 60, 80)


@pytest.mark.parametrize("text", ["8 x H100", "8xh100", "8 * H100", "8×H100"])
def test_a_pool_is_read_in_any_usual_spelling(text):
    pool = read_pool(text, CHIPS)
    assert (pool.count, pool.chip.key) == (8, "h100")
    assert read_pool("H100", CHIPS).count == 1
