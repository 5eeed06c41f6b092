"""TRL's SFTTrainer as a side of `peer_sft.py`, one optimiser step a command."""

from __future__ import annotations

from typing import Any

import torch
from datasets import Dataset
from lines import Lines, digest, versions
from trl import SFTConfig, SFTTrainer
from trl_parts import Positions, Stepper, adapters, settings

IGNORED = -100


class Student(SFTTrainer):
    """A trainer that notes which rows it learnt from, and how many of their tokens."""

    read: list[list[int]]
    trained: int

    def compute_loss(self, model: Any, inputs: Any, **more: Any) -> Any:
        ids, labels = inputs["input_ids"], inputs["labels"]
        starts = (inputs["position_ids"] == 0) if "position_ids" in inputs else None
        if starts is None:
            rows = [one[seen.bool()] for one, seen in zip(ids, inputs["attention_mask"])]  # noqa: B905
        else:
            rows = list(ids[0].tensor_split(starts[0].nonzero()[1:, 0]))
        self.read += [row.tolist() for row in rows]
        self.trained += int((labels != IGNORED).sum())
        return super().compute_loss(model, inputs, **more)


def config(told: dict[str, Any]) -> SFTConfig:
    """Return TRL's settings for toprope's step: the rows in the order given, none cut."""
    return SFTConfig(
        **settings(told),
        gradient_accumulation_steps=told["rows_a_step"] // told["batch"],
        max_length=None,
        packing=False,
        padding_free=told["padding_free"],
        train_sampling_strategy="sequential",
        shuffle_dataset=False,
    )


def example(row: dict[str, list[int]]) -> dict[str, list[int]]:
    """Return a row as TRL reads it, with loss on the answer only."""
    return {
        "input_ids": row["prompt"] + row["answer"],
        "labels": [IGNORED] * len(row["prompt"]) + row["answer"],
    }


def main() -> None:
    lines = Lines()
    told = lines.hear()
    torch.set_num_threads(told["threads"])
    trainer = Student(
        model=told["model"],
        args=config(told),
        train_dataset=Dataset.from_list([example(row) for row in told["rows"]]),
        peft_config=adapters(told["lora_rank"]),
    )
    trainer.read, trainer.trained = [], 0
    positions = Positions(trainer.model)

    def report() -> dict[str, Any]:
        done = {
            "read": digest(sorted(trainer.read)),
            "rows": len(trainer.read),
            "tokens": sum(map(len, trainer.read)),
            "trained": trainer.trained,
            "positions": positions.take(),
        }
        trainer.read, trainer.trained = [], 0
        return done

    trainer.add_callback(Stepper(lines, report))
    lines.tell({"versions": versions("trl", "transformers", "torch", "peft")})
    trainer.train()
    lines.hear()  # until whoever asks is gone, so that the peak of memory can be read


if __name__ == "__main__":
    main()
