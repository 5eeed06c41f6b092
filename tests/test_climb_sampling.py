"""The settings and the model's own account reach the sampler."""

from __future__ import annotations

from micro_world import make_tokenizer
from tiny_models import tiny_model
from toprope.climb.config import load_config
from toprope.climb.episodes.sampling import open_sampler

TOKENIZER = make_tokenizer()


def test_a_sampler_is_as_the_settings_and_its_model_say() -> None:
    model = tiny_model("llama", vocabulary=len(TOKENIZER))
    model.generation_config.eos_token_id = [7, 9]
    asked = ["student.kept_mb=3", "student.max_rows=5", "student.max_tokens=17"]
    sampler = open_sampler(model, TOKENIZER, load_config("default", asked))
    assert sampler.guide.ends == {TOKENIZER.eos_token_id, 7, 9}
    assert sampler.retained.most_bytes == 3 * 2**20
    assert (sampler.max_rows, sampler.max_tokens) == (5, 17)
    model.generation_config.eos_token_id = None
    plain = open_sampler(model, TOKENIZER, load_config("default", ["student.kept_mb=0"]))
    assert plain.guide.ends == {TOKENIZER.eos_token_id}
    assert plain.retained.most_bytes == 0
