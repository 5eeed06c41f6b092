"""TRL's GRPOTrainer as a side of `peer_grpo.py`, one optimiser step a command."""

from __future__ import annotations

import time
from typing import Any

import torch
from datasets import Dataset
from lines import Lines, digest, share_even, versions
from trl import GRPOConfig, GRPOTrainer
from trl_parts import Positions, Stepper, adapters, settings


class Student(GRPOTrainer):
    """A trainer that can be given the answers of a step instead of generating them."""

    lines_told: Stepper
    read: list[list[int]]
    answers: list[list[int]]
    sampling_s: float

    def _generate_single_turn(self, prompt_ids: Any, *rest: Any, **more: Any) -> Any:
        given = self.lines_told.told.get("answers")
        begun = time.perf_counter()
        made = (given, None) if given else super()._generate_single_turn(prompt_ids, *rest, **more)
        self.sampling_s = time.perf_counter() - begun
        self.read, self.answers = prompt_ids, made[0]
        return made


def config(told: dict[str, Any]) -> GRPOConfig:
    """Return TRL's settings for toprope's step: the same loss, and no work that it does not do."""
    batch, group = told["batch"], told["group"]
    return GRPOConfig(
        **settings(told),
        gradient_accumulation_steps=told["prompts_a_step"] * group // batch,
        num_generations=group,
        max_completion_length=told["tokens"],
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        generation_kwargs={"min_new_tokens": told["tokens"]},
        use_transformers_continuous_batching=told["continuous"],
        transformers_continuous_batching_config={"num_blocks": told["blocks"], "page_size": 32}
        if told["continuous"]
        else None,
        beta=0.0,
        loss_type="dr_grpo",
        scale_rewards="none",
        epsilon=0.2,
        epsilon_high=0.28,
        shuffle_dataset=False,
    )


def reward(completion_ids: list[list[int]], **kept: Any) -> list[float]:
    return [share_even(one) for one in completion_ids]


def main() -> None:
    lines = Lines()
    told = lines.hear()
    torch.set_num_threads(told["threads"])
    trainer = Student(
        model=told["model"],
        reward_funcs=reward,
        args=config(told),
        train_dataset=Dataset.from_list([{"prompt": one} for one in told["prompts"]]),
        peft_config=adapters(told["lora_rank"]),
    )
    positions = Positions(trainer.model)

    def report() -> dict[str, Any]:
        return {
            "sampling_s": trainer.sampling_s,
            "learning_s": trainer.lines_told.seconds - trainer.sampling_s,
            "read": digest(trainer.read[:: told["group"]]),
            "lengths": sorted({len(one) for one in trainer.answers}),
            "trained": sum(map(len, trainer.answers)),
            "positions": positions.take(),
        }

    trainer.lines_told = Stepper(lines, report)
    trainer.add_callback(trainer.lines_told)
    lines.tell({"versions": versions("trl", "transformers", "torch", "peft")})
    trainer.train()
    lines.hear()  # until whoever asks is gone, so that the peak of memory can be read


if __name__ == "__main__":
    main()
