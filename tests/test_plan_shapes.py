"""Model shapes: every published configuration adds up to the parameters its card states."""

import pytest

from toprope.plan.shapes import ShapeError, UnknownShape, find_shape, load_shapes


@pytest.mark.parametrize("key", load_shapes())
def test_a_shape_adds_up_to_the_parameters_of_the_model_card(key):
    shape = load_shapes()[key]
    assert shape.source
    assert shape.parameters == pytest.approx(shape.total, rel=0.02)
    if shape.active:
        assert shape.parameters_active == pytest.approx(shape.active, rel=0.2)


@pytest.mark.parametrize(
    ("published", "key"),
    [
        ("moonshotai/Kimi-K2.5", "kimi-k2"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("nvidia/DeepSeek-V3.1-NVFP4", "deepseek-v3"),
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek-v3"),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", "qwen3-235b-a22b"),
        ("zhipuai/GLM-5", "glm-5"),
        ("MiniMaxAI/MiniMax-M2.5", "minimax-m2"),
    ],
)
def test_a_published_name_finds_its_shape(published, key):
    assert find_shape(published).key == key


def test_an_unknown_model_gets_the_nearest_name():
    with pytest.raises(UnknownShape, match="qwen3-32b"):
        find_shape("qwen3-33b")


def test_a_misspelt_field_is_refused(tmp_path):
    file = tmp_path / "shapes.toml"
    file.write_text('[a]\nsource = "x"\nlayer = 3\n')
    with pytest.raises(ShapeError, match="layers"):
        load_shapes(file)


def test_caches_match_what_is_published_of_them():
    # research: Qwen3-32B in BF16 keeps 262 KB a token, DeepSeek-V3 "70 KB"
    assert find_shape("qwen3-32b").kv_values_per_token * 2 == 262_144
    assert find_shape("deepseek-v3").kv_values_per_token * 2 == 70_272


def test_a_windowed_layer_keeps_its_window_and_a_linear_one_a_state():
    oss = find_shape("gpt-oss-120b")
    assert oss.kv_values(100_000) < 0.51 * 100_000 * oss.kv_values_per_token
    hybrid = find_shape("qwen3.5-397b-a17b")
    grown = hybrid.kv_values(2000) - hybrid.kv_values(1000)
    assert grown == 1000 * 15 * hybrid.kv_values_per_layer


def test_every_kind_of_attention_has_its_name():
    kinds = {key: find_shape(key).attention_kind for key in ("llama-2-7b", "qwen3-8b", "glm-5")}
    assert kinds == {"llama-2-7b": "mha", "qwen3-8b": "gqa", "glm-5": "mla"}
