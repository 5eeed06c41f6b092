"""toprope's learner as a side of `peer_sft.py`, used as a climb seeds with demonstrations."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from lines import Lines, digest, versions

import toprope
from toprope.climb.training.memory import keep_freed_memory
from toprope.learn.fit import Fit
from toprope.learn.optimiser import MasterAdam
from toprope.learn.packing import GroupRow
from toprope.learn.step import learn_demonstrations
from toprope.policy import attention
from toprope.policy.adapters import add_adapters
from toprope.policy.load import load_model, load_weights


class Student:
    """Answers `open` and `step`."""

    def __call__(self, told: dict[str, Any]) -> dict[str, Any]:
        return dict(getattr(self, told["do"])(told))

    def open(self, told: dict[str, Any]) -> dict[str, Any]:
        keep_freed_memory()
        torch.set_num_threads(told["threads"])
        self.told, folder = told, Path(told["model"])
        self.model = load_model(folder, dtype="bfloat16")
        self.model.set_attn_implementation(attention.NAME)
        rank = told["lora_rank"]
        if rank:
            add_adapters(self.model, rank, seed=0)
        self.optimiser = MasterAdam(self.model, exact={} if rank else load_weights(folder))
        return {"versions": {"toprope": toprope.__version__, **versions("transformers", "torch")}}

    def step(self, told: dict[str, Any]) -> dict[str, Any]:
        count, at = self.told["rows_a_step"], told["at"]
        rows = [
            GroupRow(tuple(row["prompt"]), (tuple(row["answer"]),), (1.0,))
            for row in self.told["rows"][at * count : (at + 1) * count]
        ]
        begun = time.perf_counter()
        report = learn_demonstrations(
            self.model,
            self.optimiser,
            rows,
            learning_rate=self.told["learning_rate"],
            fit=Fit(self.told["most_train_tokens"]),
        )
        seconds = time.perf_counter() - begun
        read = [[*row.prompt_ids, *row.completions[0]] for row in rows]
        return {
            "seconds": seconds,
            "read": digest(sorted(read)),
            "rows": len(rows),
            "tokens": report.processed_tokens,
            "trained": report.own_tokens,
            "positions": report.positions,
            "loss": report.loss,
            "grad_norm": report.grad_norm,
        }


if __name__ == "__main__":
    Lines().serve(Student())
