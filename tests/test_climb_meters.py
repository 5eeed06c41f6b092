"""FLOPs as booked, against torch's own counter."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from micro_world import make_tokenizer
from tiny_models import FAMILIES, tiny_model
from toprope.climb.meters import Meters, Shape
from toprope.learn.distil import learn_distributions
from toprope.learn.fit import Fit
from toprope.learn.optimiser import MasterAdam
from toprope.learn.packing import GroupRow
from toprope.learn.step import learn_demonstrations, learn_groups
from toprope.policy import attention
from toprope.policy.adapters import add_adapters
from toprope.policy.asks import Ask
from toprope.policy.guide import Guide
from toprope.policy.sampler import TorchSampler

TOKENIZER = make_tokenizer()
WIDE = {"hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3}


@pytest.fixture(params=[(family, rank) for family in FAMILIES for rank in (0, 8)])
def model(request: pytest.FixtureRequest) -> Any:
    family, rank = request.param
    made = tiny_model(family, vocabulary=len(TOKENIZER), **WIDE)
    if rank:
        add_adapters(made, rank, seed=0)
    made.set_attn_implementation(attention.NAME)
    return made


def addmm_in_place(_: Any, rows: Any, columns: Any, **__: Any) -> int:
    """Return the FLOPs of a product added in place, which torch's own table leaves out."""
    return int(2 * rows[0] * rows[1] * columns[1])


def counted(work: Any) -> tuple[float, Any]:
    """Return torch's count of what `work` computed, and what it returned."""
    in_place = {torch.ops.aten.addmm_: addmm_in_place}
    with (
        FlopCounterMode(display=False, custom_mapping=in_place) as counter,
        sdpa_kernel(SDPBackend.MATH),
    ):
        returned = work()
    return float(counter.get_total_flops()), returned


def random_ids(rng: random.Random, count: int) -> tuple[int, ...]:
    return tuple(rng.randrange(1, len(TOKENIZER)) for _ in range(count))


def test_sampling_is_counted_as_torch_counts_it(model: Any) -> None:
    rng = random.Random(0)
    asks = [
        Ask(random_ids(rng, length), tuple(f"{length}/{n}" for n in range(6)))
        for length in (12, 40, 40, 55)
    ]
    guide = Guide(TOKENIZER, lambda text: True, "\n", len(TOKENIZER))
    sampler = TorchSampler(model, guide, seed=0, max_tokens=16)
    by_torch, found = counted(lambda: sampler.sample(asks))
    assert len({len(completion.ids) for completion in found}) > 1  # ragged, as in life
    work = sampler.work
    ours = Shape.of(model).forward(work.positions, work.pairs, work.logits)
    assert ours == pytest.approx(by_torch, rel=0.05)


def random_rows(count: int, completions: int) -> list[GroupRow]:
    rng = random.Random(0)
    rows = []
    for _ in range(count):
        own = tuple(random_ids(rng, rng.randint(3, 12)) for _ in range(completions))
        rows.append(
            GroupRow(
                random_ids(rng, rng.randint(20, 60)),
                own,
                tuple(rng.uniform(-1, 1) for _ in own),
                tuple(tuple(-4.0 for _ in one) for one in own),
            )
        )
    return rows


def test_a_reinforcement_step_is_counted_as_torch_counts_it(model: Any) -> None:
    rows, optimiser = random_rows(5, 8), MasterAdam(model)
    by_torch, report = counted(
        lambda: learn_groups(
            model,
            optimiser,
            rows,
            learning_rate=1e-4,
            episodes=40,
            token_limit=12,
            fit=Fit(300),
        )
    )
    ours = Shape.of(model).training(report.positions, report.pairs, report.logits)
    assert ours == pytest.approx(by_torch, rel=0.05)


def test_a_demonstration_step_is_counted_as_torch_counts_it(model: Any) -> None:
    rows, optimiser = random_rows(7, 1), MasterAdam(model)
    by_torch, report = counted(
        lambda: learn_demonstrations(model, optimiser, rows, learning_rate=1e-4)
    )
    ours = Shape.of(model).training(report.positions, report.pairs, report.logits)
    assert ours == pytest.approx(by_torch, rel=0.05)
    assert report.processed_tokens == sum(row.width for row in rows) < report.positions


def test_a_step_towards_a_teacher_is_counted_for_both_models(model: Any) -> None:
    teacher = tiny_model("qwen2", vocabulary=len(TOKENIZER), **{**WIDE, "hidden_size": 96})
    teacher.set_attn_implementation(attention.NAME)
    rows, optimiser = random_rows(5, 8), MasterAdam(model)
    by_torch, report = counted(
        lambda: learn_distributions(
            model, teacher, optimiser, rows, learning_rate=1e-4, token_limit=12, fit=Fit(300)
        )
    )
    computed = report.positions, report.pairs, report.logits
    ours = Shape.of(model).training(*computed, logits_again=False)
    ours += Shape.of(teacher).forward(*computed)
    assert ours == pytest.approx(by_torch, rel=0.05)


def test_seconds_go_to_the_innermost_phase_and_draining_starts_anew() -> None:
    meters = Meters(iteration=3)
    with meters.phase("sample"), meters.phase("grade"):
        sum(range(200_000))
    meters.count("sample", processed_tokens=5, flops=2.0)
    meters.count("sample", processed_tokens=6, flops=3.0)
    (row,), seconds = meters.drain()
    assert (row.iteration, row.phase, row.processed_tokens, row.flops) == (3, "sample", 11, 5.0)
    assert seconds["grade"] > 10 * seconds["sample"]
    assert meters.drain()[0] == []
