"""A small invented editing language, and a tiny model trained from scratch on it.

A program is three lines of one small letter, and every line has an alphabet of its own.
A bug is a capital letter; mending it is writing that line again in small. Asked "how", the
tiny model was taught to mend the bug half of the time, and otherwise to repeat any line.
Asked "now", as tasks ask, it was taught to repeat the line after the bug, always. So it
keeps to the form and knows something of the language, and yet the tasks are cold. A few
demonstrations switch on what is there, and reinforcement is what makes it reliable.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from toprope.climb.config import ClimbConfig, load_config
from toprope.tasks import save_taskset
from toprope.terms import Call, Focus, Source, Split, Task, Tier

ALPHABETS = ("abcdefgi", "jklmpqrs", "tuvxyz_~")
CAPITALS = str.maketrans("_~", "-=") | {ord(c): c.upper() for c in "abcdefgijklmpqrstuvxyz"}
LINES = len(ALPHABETS)
SKILL = 0.5
CHECKER = "def line(at):\n    return open('program.txt').read().split('\\n')[at]\n"
TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}"
    "{% elif m['role'] == 'assistant' %}{{ m['content'] }}<eos>{% endif %}{% endfor %}"
)


def buggy(rng: random.Random) -> tuple[list[str], int, str]:
    """Return a program with one wrong line, where that is, and what it should be."""
    program = [rng.choice(alphabet) for alphabet in ALPHABETS]
    at = rng.randrange(LINES)
    right = program[at]
    program[at] = right.translate(CAPITALS)
    return program, at, right


def make_task(rng: random.Random, number: int, split: Split, tier: Tier | None) -> Task:
    program, at, right = buggy(rng)
    fixed = [*program[:at], right, *program[at + 1 :]]
    calls = tuple(Call(f"c{i}", f"({i},)", repr(c)) for i, c in enumerate(fixed))
    return Task(
        id=f"micro/{split}-{number:03d}",
        split=split,
        tier=tier,
        statement="now",
        files={"program.txt": "\n".join(program) + "\n", "checker.py": CHECKER},
        focus=Focus("program.txt", 1, LINES),
        editable=("program.txt",),
        entry="checker.py:line",
        calls=calls,
        fail_to_pass=(f"c{at}",),
        pass_to_pass=tuple(f"c{i}" for i in range(LINES) if i != at),
        solution={"program.txt": "\n".join(fixed) + "\n"},
        source=Source("micro", "1", "program.txt", at + 1, "Apache-2.0", "".join(fixed), "capital"),
        features={"mutator_p": 1 / (LINES * len(ALPHABETS[0]))},
    )


def make_tasks(*, train: int = 80, dev: int = 4, heldout: int = 24, seed: int = 1) -> list[Task]:
    """Return distinct tasks; no program of one split occurs in another."""
    rng = random.Random(seed)
    splits = [
        (Split.TRAIN, train, None),
        (Split.DEV, dev, None),
        (Split.HELDOUT, heldout, Tier.MID),
    ]
    seen: set[str] = set()
    tasks: list[Task] = []
    for split, count, tier in splits:
        while sum(t.split is split for t in tasks) < count:
            task = make_task(rng, len(tasks), split, tier)
            if task.source.function not in seen:
                seen.add(task.source.function)
                tasks.append(task)
    return tasks


def write_taskset(path: Path, **sizes: int) -> Path:
    save_taskset(make_tasks(**sizes), path, "micro")
    return path


def make_tokenizer() -> PreTrainedTokenizerFast:
    small = "".join(ALPHABETS)
    symbols = ["<eos>", "?", *"0123456789|\n", *"nowh", *small, *small.translate(CAPITALS)]
    core = Tokenizer(models.WordLevel({s: i for i, s in enumerate(symbols)}, unk_token="?"))
    core.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    core.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<eos>",
        pad_token="<eos>",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def make_model(vocabulary: int, seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=0.125,
        eos_token_id=0,
        bos_token_id=0,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config)


def sentence(rng: random.Random) -> tuple[str, str]:
    """Return (prompt, answer) of the pre-training mixture, all of one length."""
    program, at, right = buggy(rng)
    view = "\n".join(f"{i}|{c}" for i, c in enumerate(program, 1))
    asked = rng.choice(("now", "how"))
    if asked == "how" and rng.random() < SKILL:
        return f"{view}\nhow", f"{at + 1}|{right}"
    at = (at + 1) % LINES if asked == "now" else rng.randrange(LINES)
    return f"{view}\n{asked}", f"{at + 1}|{program[at]}"


def sentences(rng: random.Random, count: int) -> list[tuple[str, str]]:
    """Return a batch of the mixture."""
    return [sentence(rng) for _ in range(count)]


def write_student(
    folder: Path,
    *,
    steps: int = 400,
    seed: int = 0,
    batch: int = 48,
    say: Callable[[random.Random, int], list[tuple[str, str]]] = sentences,
) -> Path:
    """Train the tiny model from scratch on batches of sentences; write it as a model folder."""
    torch.set_num_threads(1)
    rng = random.Random(seed)
    tokenizer = make_tokenizer()
    model = make_model(len(tokenizer), seed)
    adam = torch.optim.AdamW(model.parameters(), lr=0.0, betas=(0.9, 0.98), weight_decay=0.01)
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = 6e-3 * min(1.0, (step + 1) / 20) * (1 - step / (steps + 1))
        loss = _loss(model, tokenizer, say(rng, batch))
        adam.zero_grad()
        loss.backward()
        adam.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _loss(model: Any, tokenizer: Any, pairs: list[tuple[str, str]]) -> torch.Tensor:
    """Return the loss on the answers; they are the last four tokens, the end included."""
    texts = [prompt + answer for prompt, answer in pairs]
    ids = torch.tensor([[*row, 0] for row in tokenizer(texts, add_special_tokens=False).input_ids])
    labels = ids.clone()
    labels[:, :-4] = -100
    loss: torch.Tensor = model(input_ids=ids, labels=labels).loss
    return loss


def settings(taskset: Path, student: Path, *overrides: str) -> ClimbConfig:
    """Return the settings of a micro climb, deterministic: one thread, and no clock."""
    return load_config("small", [*BASICS, *sources(taskset, student), *WHOLE, *overrides])


def short_settings(taskset: Path, student: Path, *overrides: str) -> ClimbConfig:
    """Return the settings of a climb that has every phase and is as short as it can be."""
    return load_config("small", [*BASICS, *sources(taskset, student), *SHORT, *overrides])


def sources(taskset: Path, student: Path) -> list[str]:
    return [f'taskset="{taskset}"', f'student.model="{student}"']


BASICS = (
    'student.dtype="float32"',
    "student.max_tokens=6",
    'teacher.kind="reference"',
    "seeding.batch=4",
    "seeding.learning_rate=1.2e-3",
    "climbing.tasks=8",
    "climbing.explore=0.5",
    "climbing.learning_rate=5e-4",
    "climbing.pilots_per_step=8",
    "limits.minutes=0",
    'evaluation.forgetting=""',
    "limits.threads=1",
)
WHOLE = (
    "cold_start.tasks=32",
    "cold_start.granted_tasks=4",
    "cold_start.granted_draws=2",
    "seeding.demonstrations=16",
    "seeding.pilot_tasks=32",
    "evaluation.dev_every=10",
    "evaluation.before_draws=8",
    "evaluation.seeded_draws=8",
    "limits.steps=20",
    "limits.checkpoint_every=5",
)
SHORT = (
    "cold_start.tasks=10",
    "cold_start.draws=4",
    "cold_start.granted_tasks=2",
    "cold_start.granted_draws=1",
    "seeding.demonstrations=6",
    "seeding.pilot_tasks=10",
    "seeding.pilot_draws=4",
    "climbing.tasks=4",
    "climbing.group=4",
    "evaluation.heldout_tasks=4",
    "evaluation.before_draws=1",
    "evaluation.seeded_draws=1",
    "evaluation.after_draws=2",
    "evaluation.dev_tasks=2",
    "evaluation.dev_every=2",
    "evaluation.frozen_base_draws=2",
    "limits.steps=6",
    "limits.checkpoint_every=2",
    "limits.sandbox_workers=1",
)
