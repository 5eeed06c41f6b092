import numpy as np
import pytest
import torch

from models_parts import gguf_logits, write_tiny_gguf
from toprope.policy.convert import LOGIT_TOLERANCE, ConversionError, convert, verify_conversion
from toprope.policy.load import (
    ModelMissing,
    PartialModel,
    about_model,
    load_model,
    load_tokenizer,
    resolve,
)

CODE = "def f(x):\n    if x >= 12:\n\t\treturn 'é 日本'\n\n   12|  7\n"


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory):
    return write_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny-q4_1.gguf")


@pytest.fixture(scope="module")
def folder(gguf_file):
    about = {"name": "tiny-dequantised", "licence": "MIT"}
    return convert(gguf_file, gguf_file.parent / "tiny-dequantised", about=about)


def test_converted_logits_agree_with_the_file_read_independently(folder, gguf_file):
    ids = load_tokenizer(folder).encode(CODE, add_special_tokens=False)
    with torch.no_grad():
        ours = load_model(folder)(torch.tensor([ids])).logits[0].double().numpy()
    theirs = gguf_logits(gguf_file, ids)
    assert theirs.std() > 0.5
    assert np.abs(ours - theirs).max() < LOGIT_TOLERANCE


def test_verification_passes_for_the_source_and_fails_for_another_file(folder, gguf_file, tmp_path):
    assert verify_conversion(folder, gguf_file) <= LOGIT_TOLERANCE
    other = write_tiny_gguf(tmp_path / "other.gguf", seed=1)
    with pytest.raises(ConversionError, match="logits differ"):
        verify_conversion(folder, other)


def test_conversion_happens_once(folder, gguf_file):
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert convert(gguf_file, folder, about={}) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    assert about_model(folder)["name"] == "tiny-dequantised"
    assert about_model(folder)["dtype"] == "float32"


def test_text_survives_the_tokenizer_and_digits_stand_alone(folder):
    tokenizer = load_tokenizer(folder)
    ids = tokenizer.encode(CODE, add_special_tokens=False)
    assert tokenizer.decode(ids) == CODE
    # the vocabulary holds the trap "12"; the original tokenizer never joins digits
    pieces = tokenizer.convert_ids_to_tokens(tokenizer.encode("   12", add_special_tokens=False))
    assert pieces == ["ĠĠ", "Ġ", "1", "2"]


def test_special_tokens_and_chat_template_survive(folder):
    tokenizer = load_tokenizer(folder)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], add_generation_prompt=True, tokenize=False
    )
    assert text == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.encode("<|im_start|>", add_special_tokens=False) == [1]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (1, 2)
    model = load_model(folder)
    assert model.generation_config.eos_token_id == 2
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()


def test_a_model_can_be_loaded_in_bf16(folder):
    assert load_model(folder, "bfloat16").dtype == torch.bfloat16


def test_an_unchecked_tokenizer_is_refused(tmp_path):
    strange = write_tiny_gguf(tmp_path / "strange.gguf", pre="llama-bpe")
    with pytest.raises(ConversionError, match="llama-bpe"):
        convert(strange, tmp_path / "out", about={})
    assert not (tmp_path / "out").exists()


def test_a_cut_gguf_file_is_an_error_that_keeps_nothing(gguf_file, tmp_path):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(gguf_file.read_bytes()[:-5000])
    with pytest.raises(ConversionError, match=r"cut\.gguf"):
        convert(cut, tmp_path / "out", about={})
    assert not (tmp_path / "out").exists()


def test_a_gguf_path_resolves_to_its_conversion_in_the_cache(gguf_file, tmp_path, monkeypatch):
    monkeypatch.setenv("TOPROPE_CACHE", str(tmp_path))
    said = []
    folder = resolve(gguf_file, say=said.append)
    assert folder.name.startswith("tiny-q4_1-")
    assert folder.name.endswith("-dequantised")
    assert len(said) == 1
    assert resolve(gguf_file, say=said.append) == folder
    assert len(said) == 1


def test_a_missing_model_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setenv("TOPROPE_CACHE", str(tmp_path))
    with pytest.raises(ModelMissing, match="toprope models fetch smollm2-135m-instruct"):
        resolve("smollm2-135m-instruct", may_fetch=False)
    with pytest.raises(ModelMissing, match="neither a folder"):
        resolve("no/such/model")


def test_a_partial_folder_is_named_with_what_it_lacks(folder, tmp_path):
    with pytest.raises(PartialModel, match=r"config\.json, tokenizer\.json, \*\.safetensors"):
        resolve(tmp_path)
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    whole = (folder / "model.safetensors").read_bytes()
    for damaged in (whole[:-1], whole[:100], b""):
        (tmp_path / "model.safetensors").write_bytes(damaged)
        with pytest.raises(PartialModel, match="cut short or damaged"):
            load_model(tmp_path)
