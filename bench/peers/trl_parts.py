"""What the TRL sides share: a trainer that takes one optimiser step a command.

A trainer runs its own loop, so the loop is turned inside out: before each step it waits for
a command, and after it, it tells what the step did.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from lines import Lines
from peft import LoraConfig
from transformers import TrainerCallback


class Stepper(TrainerCallback):
    """Takes a step per command `step`, and answers with its seconds and what `report` adds."""

    def __init__(self, lines: Lines, report: Callable[[], dict[str, Any]]) -> None:
        self.lines, self.report = lines, report
        self.told: dict[str, Any] = {}
        self.seconds = self.begun = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kept: Any) -> None:
        self.told = self.lines.hear()
        self.begun = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kept: Any) -> None:
        self.seconds = time.perf_counter() - self.begun

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kept: Any) -> None:
        if "grad_norm" in logs:
            step = {"loss": float(logs["loss"]), "grad_norm": float(logs["grad_norm"])}
            self.lines.tell({"seconds": self.seconds, **step, **self.report()})


class Positions:
    """Counts the token positions, padding included, that a model has computed with gradients."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.count = 0
        model.get_input_embeddings().register_forward_pre_hook(self._add)

    def _add(self, module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if module.training and torch.is_grad_enabled():
            self.count += inputs[0].numel()

    def take(self) -> int:
        """Return the count since the last call."""
        count, self.count = self.count, 0
        return count


def settings(told: dict[str, Any]) -> dict[str, Any]:
    """Return what both trainers are told alike: toprope's optimiser, and no extra work."""
    return {
        "output_dir": told["scratch"],
        "per_device_train_batch_size": told["batch"],
        "gradient_checkpointing": told["checkpointing"],
        "bf16": True,
        "use_cpu": True,
        "model_init_kwargs": {"dtype": told["dtype"]},
        "learning_rate": told["learning_rate"],
        "lr_scheduler_type": "constant",
        "adam_beta1": 0.9,
        "adam_beta2": 0.95,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "max_steps": told["steps"],
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": 0,
        "dataloader_pin_memory": False,
    }


def adapters(rank: int) -> LoraConfig | None:
    """Return toprope's adapters in peft's words; None where all weights are trained."""
    if not rank:
        return None
    return LoraConfig(
        r=rank, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
