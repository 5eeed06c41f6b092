"""toprope's sampler as a side of `peer_decode.py`; it also scores what the others drew."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from lines import Lines, digest, versions

import toprope
from toprope.climb.training.memory import keep_freed_memory
from toprope.policy.asks import Ask
from toprope.policy.load import load_model
from toprope.policy.sampler import TorchSampler


class Endless:
    """A guide that never ends an episode: every side draws the same number of tokens."""

    def advance(self, text: str, token: int) -> tuple[str, None]:
        return "", None


class Decoder:
    """Answers `open`, `draw` and `score`."""

    def __call__(self, told: dict[str, Any]) -> dict[str, Any]:
        return dict(getattr(self, told["do"])(told))

    def open(self, told: dict[str, Any]) -> dict[str, Any]:
        keep_freed_memory()
        torch.set_num_threads(told["threads"])
        self.model = load_model(Path(told["model"]), dtype="bfloat16")
        guide: Any = Endless()
        self.sampler = TorchSampler(self.model, guide, seed=0, max_rows=told["rows"])
        return {"versions": {"toprope": toprope.__version__, **versions("transformers", "torch")}}

    def draw(self, told: dict[str, Any]) -> dict[str, Any]:
        asks = [
            Ask(tuple(ids), tuple(f"{told['number']}/{at}/{one}" for one in range(told["group"])))
            for at, ids in enumerate(told["prompts"])
        ]
        self.sampler.max_tokens = told["tokens"]
        begun = time.perf_counter()
        found = self.sampler.sample(asks)
        seconds = time.perf_counter() - begun
        return {
            "seconds": seconds,
            "read": digest(told["prompts"]),
            "prompt_tokens": sum(map(len, told["prompts"])),
            "lengths": sorted({len(one.ids) for one in found}),
            "drawn": sum(len(one.ids) for one in found),
            "answers": [list(one.ids) for one in found] if told["show"] else None,
        }

    def score(self, told: dict[str, Any]) -> dict[str, Any]:
        """Return the mean log-probability of answers, each a row of its own, and its error."""
        rows = []
        self.model.set_attn_implementation("sdpa")
        with torch.inference_mode():
            for at, answer in enumerate(told["answers"]):
                prompt = told["prompts"][at // told["group"]]
                logits = self.model(input_ids=torch.tensor([prompt + answer])).logits[0].float()
                own = logits[len(prompt) - 1 : -1].log_softmax(-1)
                rows.append(own.gather(1, torch.tensor(answer)[:, None]).mean())
        means = torch.stack(rows)
        return {"mean": float(means.mean()), "error": float(means.std() / len(rows) ** 0.5)}


if __name__ == "__main__":
    Lines().serve(Decoder())
