"""One file asks torch which chips there are; everything else goes where the model is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import toprope
from test_policy_opening import asks_for
from test_policy_sampler import VOCABULARY, make_sampler
from tiny_models import tiny_model
from toprope.climb.config import load_config
from toprope.climb.meters import Meters, Shape
from toprope.climb.training.learner import Learner
from toprope.learn.packing import GroupRow
from toprope.learn.step import learn_demonstrations
from toprope.policy import attention
from toprope.policy.device import NoSuchDevice, describe_device, find_device, on_device

NAMED = re.compile(r"torch\.(cuda|mps|xpu|accelerator|get_default_device)|\.cuda\(")


def test_no_other_file_names_a_kind_of_chip() -> None:
    house = Path(toprope.__file__).parent
    found = {p.name for p in house.rglob("*.py") if NAMED.search(p.read_text(encoding="utf-8"))}
    assert found == {"device.py"}


def test_a_device_that_is_not_there_is_refused_by_name() -> None:
    assert find_device("cpu") == torch.device("cpu")
    assert find_device("auto").type in describe_device().lower() or torch.accelerator.is_available()
    for name in ("abacus", "hpu"):
        with pytest.raises(NoSuchDevice, match=f"no device '{name}' here; torch finds: cpu"):
            find_device(name)


@pytest.fixture
def elsewhere() -> Any:
    """Make every tensor that is not told where to be one that nothing can be computed with."""
    with torch.device("meta"):
        yield


def test_a_sampler_makes_its_tensors_where_its_model_is(elsewhere: Any) -> None:
    with torch.device("cpu"):
        model = tiny_model("llama", vocabulary=VOCABULARY)
        asks = asks_for(model)
        expected = make_sampler(model, max_tokens=6).sample(asks)
    assert len({c.copied for c in expected}) > 2
    assert make_sampler(model, max_tokens=6).sample(asks) == expected


def test_a_learner_makes_its_tensors_where_its_model_is(elsewhere: Any) -> None:
    rows = [GroupRow((1, 2, 3), ((4, 5, 6), (4, 7)), (1.0, 1.0))]
    with torch.device("cpu"):
        model = tiny_model("llama", vocabulary=VOCABULARY)
        model.set_attn_implementation(attention.NAME)
    config = load_config("default", ["student.lora_rank=0"])
    learner = Learner(model, None, config, Meters(), Shape.of(model))
    before = learner.optimiser.master.clone()
    with on_device(model):
        learn_demonstrations(model, learner.optimiser, rows, learning_rate=1e-3)
    assert not torch.equal(learner.optimiser.master, before)
    assert learner.optimiser.master.device.type == "cpu"
