"""The micro world over turns: a tiny student that looks, edits and submits.

Asked "how", it was taught to mend the capital half of the time; asked "now", as tasks ask,
now and then, and else to write the line after it again. So it keeps to the form, and of a few
draws at each task some are cold and some are live.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from micro_world import (
    ALPHABETS,
    CAPITALS,
    LINES,
    SHORT,
    SKILL,
    TEMPLATE,
    buggy,
    make_model,
    make_tasks,
    settings,
)  # fmt: skip
from toprope.climb.config import ClimbConfig
from toprope.harness.turns.template import Template
from toprope.tasks import save_taskset
from toprope.terms import Focus, Task

WORDS = ("program.txt", "view", "edit", "end", "submit", "now", "how", "    ")
PATH = "program.txt"
NOW = 0.3
TURNS = (
    'turns.dialect="lines"',
    "turns.most=4",
    "turns.tokens=64",
    "turns.context=160",
    "student.max_tokens=16",
    "cold_start.granted_tasks=0",
)


def tasks(**sizes: int) -> list[Task]:
    """Return the micro world's tasks, with files that do not end in an empty line."""
    return [
        replace(
            task,
            files={**task.files, PATH: task.files[PATH].rstrip("\n")},
            solution={PATH: task.solution[PATH].rstrip("\n")},
            focus=Focus(PATH, 1, LINES),
        )
        for task in make_tasks(**sizes)
    ]


def write_tasks(path: Path, **sizes: int) -> Path:
    save_taskset(tasks(**sizes), path, "turns")
    return path


def turn_tokenizer() -> PreTrainedTokenizerFast:
    small = "".join(ALPHABETS)
    symbols = ["<eos>", "?", *WORDS, *"0123456789\n .", *small, *small.translate(CAPITALS)]
    core = Tokenizer(models.WordLevel({s: i for i, s in enumerate(symbols)}, unk_token="?"))
    words = "|".join(word.replace(".", r"\.") for word in WORDS)
    core.pre_tokenizer = pre_tokenizers.Split(Regex(rf"{words}|\n|."), "isolated")
    core.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<eos>", pad_token="<eos>",
        clean_up_tokenization_spaces=False,
    )  # fmt: skip
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def _shown(program: list[str]) -> str:
    return "\n".join([PATH, *(f"{at:5} {line}" for at, line in enumerate(program, 1))])


def _episode(rng: random.Random, template: Template) -> tuple[list[int], list[int]]:
    """Return the ids of an episode of the mixture, and its labels: own tokens alone."""
    program, at, right = buggy(rng)
    asked = rng.choice(("now", "how"))
    mends = rng.random() < (SKILL if asked == "how" else NOW)
    line = at if mends else (at + 1) % LINES if asked == "now" else rng.randrange(LINES)
    new = right if mends else program[line]
    edited = [*program[:line], new, *program[line + 1 :]]
    ids = list(template.opening([{"role": "user", "content": f"{asked}\n\n{_shown(program)}"}]))
    labels = [-100] * len(ids)
    turns = [
        (f"view {PATH} 1 {line + 5}", _shown(program)),
        (f"edit {PATH} {line + 1} {line + 1}\n{new}\nend", _shown(edited)),
        ("submit", ""),
    ]
    for said, seen in turns:
        own = template.answer(said)
        between = template.between(own, seen) if seen else ()
        ids += [*own, *between]
        labels += [*own, *[-100] * len(between)]
    return ids, labels


def write_turn_student(folder: Path, *, steps: int = 400, seed: int = 0, batch: int = 32) -> Path:
    """Train the tiny model from scratch on episodes of the mixture, all of one length."""
    torch.set_num_threads(1)
    rng, tokenizer = random.Random(seed), turn_tokenizer()
    template, model = Template(tokenizer), make_model(len(tokenizer), seed)
    adam = torch.optim.AdamW(model.parameters(), lr=0.0, betas=(0.9, 0.98), weight_decay=0.01)
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = 6e-3 * min(1.0, (step + 1) / 20) * (1 - step / (steps + 1))
        ids, labels = zip(*(_episode(rng, template) for _ in range(batch)), strict=True)
        loss: Any = model(input_ids=torch.tensor(ids), labels=torch.tensor(labels)).loss
        adam.zero_grad()
        loss.backward()
        adam.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


SHORTER = (
    "cold_start.tasks=6",
    "seeding.demonstrations=3",
    "seeding.epochs=1",
    "seeding.learning_rate=6e-4",
    "seeding.pilot_tasks=5",
    "seeding.pilot_draws=2",
    "climbing.tasks=5",
    "climbing.pilots_per_step=2",
    "evaluation.heldout_tasks=2",
    "evaluation.after_draws=1",
    "evaluation.dev_every=0",
    "evaluation.frozen_base_draws=1",
    "limits.steps=4",
)


def turn_settings(taskset: Path, student: Path, *overrides: str) -> ClimbConfig:
    """Return the settings of a short climb over turns."""
    return settings(taskset, student, *SHORT, *SHORTER, *TURNS, *overrides)
