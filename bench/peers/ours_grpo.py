"""toprope's sampler and learner as a side of `peer_grpo.py`, used as a climb uses them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from lines import Lines, digest, share_even, versions
from ours_decode import Endless

import toprope
from toprope.climb.training.memory import keep_freed_memory
from toprope.learn.advantage import rloo
from toprope.learn.fit import Fit
from toprope.learn.optimiser import MasterAdam
from toprope.learn.packing import GroupRow
from toprope.learn.step import learn_groups
from toprope.policy.adapters import add_adapters
from toprope.policy.asks import Ask
from toprope.policy.load import load_model, load_tokenizer, load_weights
from toprope.policy.sampler import TorchSampler
from toprope.terms import Completion


class Student:
    """Answers `open` and `step`."""

    def __call__(self, told: dict[str, Any]) -> dict[str, Any]:
        return dict(getattr(self, told["do"])(told))

    def open(self, told: dict[str, Any]) -> dict[str, Any]:
        keep_freed_memory()
        torch.set_num_threads(told["threads"])
        torch.manual_seed(0)
        folder = Path(told["model"])
        self.told = told
        self.tokenizer = load_tokenizer(folder)
        self.model = load_model(folder, dtype="bfloat16")
        rank = told["lora_rank"]
        if rank:
            add_adapters(self.model, rank, seed=0)
        self.optimiser = MasterAdam(self.model, exact={} if rank else load_weights(folder))
        guide: Any = Endless()
        self.sampler = TorchSampler(
            self.model, guide, seed=0, max_tokens=told["tokens"], max_rows=256
        )
        self.prompts = [tuple(self.tokenizer(one)["input_ids"]) for one in told["prompts"]]
        return {"versions": {"toprope": toprope.__version__, **versions("transformers", "torch")}}

    def step(self, told: dict[str, Any]) -> dict[str, Any]:
        count, at = self.told["prompts_a_step"], told["at"]
        prompts = self.prompts[at * count : (at + 1) * count]
        begun = time.perf_counter()
        groups = self._sampled(prompts, at)
        rows = [
            GroupRow(
                prompt,
                tuple(one.ids for one in group),
                tuple(rloo([share_even(one.ids) for one in group])),
                tuple(one.logprobs for one in group),
            )
            for prompt, group in zip(prompts, groups, strict=True)
        ]
        between = time.perf_counter()
        report = learn_groups(
            self.model,
            self.optimiser,
            rows,
            learning_rate=self.told["learning_rate"],
            episodes=count * self.told["group"],
            token_limit=self.told["tokens"],
            fit=Fit(self.told["most_train_tokens"]),
        )
        ended = time.perf_counter()
        answers = [list(one.ids) for group in groups for one in group]
        return {
            "seconds": ended - begun,
            "sampling_s": between - begun,
            "learning_s": ended - between,
            "read": digest(prompts),
            "lengths": sorted({len(one) for one in answers}),
            "trained": report.own_tokens,
            "positions": report.positions,
            "loss": report.loss,
            "grad_norm": report.grad_norm,
            "answers": answers if told["show"] else None,
        }

    def _sampled(self, prompts: list[tuple[int, ...]], at: int) -> list[list[Completion]]:
        group = self.told["group"]
        asks = [
            Ask(prompt, tuple(f"{at}/{row}/{one}" for one in range(group)))
            for row, prompt in enumerate(prompts)
        ]
        found = self.sampler.sample(asks)
        return [found[start : start + group] for start in range(0, len(found), group)]


if __name__ == "__main__":
    Lines().serve(Student())
