"""transformers as a side of `peer_decode.py`: `generate`, or its continuous batching."""

from __future__ import annotations

import time
from typing import Any

import torch
from lines import Lines, digest, versions
from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig


class Decoder:
    """Answers `open` (with `way`: "generate" or "continuous") and `draw`."""

    def __call__(self, told: dict[str, Any]) -> dict[str, Any]:
        return dict(getattr(self, told["do"])(told))

    def open(self, told: dict[str, Any]) -> dict[str, Any]:
        torch.set_num_threads(told["threads"])
        torch.manual_seed(0)
        self.way = {"generate": self.generate, "continuous": self.continuous}[told["way"]]
        self.rows, self.blocks, self.group = told["rows"], told["blocks"], 0
        self.model = AutoModelForCausalLM.from_pretrained(
            told["model"], dtype=torch.bfloat16, attn_implementation="sdpa"
        ).eval()
        return {"versions": versions("transformers", "torch")}

    def draw(self, told: dict[str, Any]) -> dict[str, Any]:
        begun = time.perf_counter()
        answers = self.way(told["prompts"], told["group"], told["tokens"])
        seconds = time.perf_counter() - begun
        return {
            "seconds": seconds,
            "read": digest(told["prompts"]),
            "prompt_tokens": sum(map(len, told["prompts"])),
            "lengths": sorted({len(one) for one in answers}),
            "drawn": sum(map(len, answers)),
            "answers": answers if told["show"] else None,
        }

    def generate(self, prompts: list[list[int]], group: int, tokens: int) -> list[list[int]]:
        """Return the answers of one padded batch, in which a prompt is there once an episode."""
        longest = max(map(len, prompts))
        ids = torch.tensor([[0] * (longest - len(one)) + one for one in prompts])
        seen = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in prompts])
        with torch.inference_mode():  # which continuous batching refuses
            found = self.model.generate(
                input_ids=ids, attention_mask=seen, generation_config=_config(group, tokens)
            )
        return found[:, longest:].tolist()

    def continuous(self, prompts: list[list[int]], group: int, tokens: int) -> list[list[int]]:
        """Return the answers of paged blocks; a prompt is computed once and then forked."""
        if group != self.group:  # the manager is kept from call to call, but forks as it began
            self.model.destroy_cached_continuous_batching_manager()
            self.group = group
        found = self.model.generate_batch(
            prompts,
            generation_config=_config(group, tokens),
            continuous_batching_config=ContinuousBatchingConfig(
                page_size=32,
                num_blocks=self.blocks,
                max_batch_tokens=2048,
                max_requests_per_batch=self.rows,
            ),
            persistent_manager=True,
        )
        for one in found.values():
            if one.error:
                raise RuntimeError(f"continuous batching: {one.error}")
        return [list(one.generated_tokens) for one in found.values()]


def _config(group: int, tokens: int) -> GenerationConfig:
    """Return plain draws at temperature 1, nothing cut off, that no token ends."""
    return GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        num_return_sequences=group,
        max_new_tokens=tokens,
        eos_token_id=None,
        pad_token_id=0,
    )


if __name__ == "__main__":
    Lines().serve(Decoder())
