import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from models_parts import write_tiny_gguf
from toprope.policy.card import render_card
from toprope.policy.convert import convert
from toprope.policy.export import ExportError, export_model
from toprope.policy.load import about_model, load_model, load_tokenizer

HARNESS = {"dialect": "lines", "prompt": "Fix the bug.", "limits": {"max_tokens": 48}}


def tier(rate):
    return {"pass@1": rate, "ci95": [rate - 0.02, rate + 0.02], "pass@k": None, "k": None}


SUMMARY = {
    "heldout": {
        "before": {"near": tier(0.02), "mid": None, "far": None, "all": tier(0.02)},
        "after_seeding": {"near": tier(0.10), "mid": None, "far": None, "all": tier(0.10)},
        "after": {"near": tier(0.175), "mid": None, "far": None, "all": tier(0.175)},
        "mutator": {"near": 0.011, "mid": None, "far": None, "all": 0.011},
        "rl_gain": {"near": {"gain": 0.075, "ci95": [0.01, 0.14]}, "mid": None, "far": None},
    }
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    about = {"name": "tiny-q4_1-dequantised", "licence": "MIT", "source": "package tiny==1.0"}
    return convert(write_tiny_gguf(folder / "tiny.gguf"), folder / "tiny", about=about)


@pytest.fixture
def card(base):
    return {
        "name": "tiny-climbed",
        "base": about_model(base),
        "taskset": {"name": "default", "hash": "abc123"},
        "harness": HARNESS,
        "summary": SUMMARY,
    }


def trained(base):
    model = load_model(base)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.01)
    return model.train()


def test_plain_transformers_loads_the_export_with_the_same_logits(base, card, tmp_path):
    model, place = trained(base), tmp_path / "out"
    export_model(model, load_tokenizer(base), place, card=card)
    assert model.training
    plain = AutoModelForCausalLM.from_pretrained(place)
    ids = torch.tensor([AutoTokenizer.from_pretrained(place).encode("def f(x): return 12")])
    with torch.no_grad():
        assert torch.equal(plain(ids).logits, model.eval()(ids).logits)
    assert json.loads((place / "harness.json").read_text()) == HARNESS


def test_a_state_dict_is_exported_onto_its_base(base, card, tmp_path):
    model = trained(base)
    export_model(model.state_dict(), load_tokenizer(base), tmp_path / "out", card=card, base=base)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    for name, weight in plain.state_dict().items():
        assert torch.equal(weight, model.state_dict()[name]), name


def test_a_state_of_another_model_is_refused_and_nothing_is_kept(base, card, tmp_path):
    state = {"strange.weight": torch.zeros(1)}
    with pytest.raises(ExportError, match="not of the model"):
        export_model(state, load_tokenizer(base), tmp_path / "out", card=card, base=base)
    with pytest.raises(ExportError, match="base="):
        export_model(state, load_tokenizer(base), tmp_path / "out", card=card)
    assert not (tmp_path / "out").exists()


def test_an_existing_folder_is_not_overwritten(base, card, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("precious")
    with pytest.raises(ExportError, match="exists"):
        export_model(trained(base), load_tokenizer(base), tmp_path / "out", card=card)
    assert (tmp_path / "out" / "mine").read_text() == "precious"


def test_an_interrupted_export_leaves_nothing(base, card, tmp_path):
    class Stops:
        chat_template = "x"

        def save_pretrained(self, folder):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_model(trained(base), Stops(), tmp_path / "out", card=card)
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []


def test_the_card_says_what_was_shown_and_what_was_not(card):
    text = render_card(card)
    assert "license: mit" in text
    assert "default** (`abc123`)" in text
    row = next(line for line in text.splitlines() if line.startswith("| near"))
    assert "2.0 % [0.0, 4.0]" in row
    assert "10.0 % [8.0, 12.0]" in row
    assert "17.5 % [15.5, 19.5] | 1.1 %" in row
    assert "in points: near 7.5 [1.0, 14.0]" in text
    assert "| mid" not in text
    assert "made from a quantised file" in text
    assert "## What was not shown" in text


def test_a_card_without_an_evaluation_says_so(card):
    del card["summary"]
    assert "No held-out evaluation" in render_card(card)
