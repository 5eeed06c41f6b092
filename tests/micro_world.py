"""A small invented editing language, and a tiny model trained from scratch on it.

A program is four lines of one letter, a to j. A bug is one line in the wrong dialect: q
stands where a belongs, r for b, and so on to z for j; mending it is finding that line and
translating it. Asked "how?" the tiny model was taught, in part, to mend programs;
asked "now", as tasks ask, it was only taught to repeat a line. So it knows something of the
language and nothing of the protocol: the tasks are cold, and a few demonstrations thaw them.
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from toprope.tasks import save_taskset
from toprope.terms import Call, Focus, Source, Split, Task, Tier

LETTERS = "abcdefghij"
TWINS = "qrstuvwxyz"
LINES = 4
CHECKER = (
    "def line(at):\n"
    "    return open('program.txt').read().split('\\n')[at]\n"
)
TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}>"
    "{% elif m['role'] == 'assistant' %}{{ m['content'] }}<eos>{% endif %}{% endfor %}"
)


def buggy(rng: random.Random) -> tuple[list[str], int, str]:
    """Return a program with one wrong line, where it is, and the right letter."""
    program = [rng.choice(LETTERS) for _ in range(LINES)]
    at = rng.randrange(LINES)
    right = program[at]
    program[at] = TWINS[LETTERS.index(right)]
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
        source=Source("micro", "1", "program.txt", at + 1, "Apache-2.0", "".join(fixed), "dialect"),
        features={"mutator_p": 1 / (LINES * len(LETTERS))},
    )


def write_taskset(path: Path, *, train: int = 64, dev: int = 8, heldout: int = 24) -> Path:
    rng = random.Random(1)
    wanted = [(Split.TRAIN, train, None), (Split.DEV, dev, None), (Split.HELDOUT, heldout, Tier.MID)]
    seen: set[str] = set()
    tasks: list[Task] = []
    for split, count, tier in wanted:
        while sum(t.split is split for t in tasks) < count:
            task = make_task(rng, len(tasks), split, tier)
            if task.files["program.txt"] not in seen:
                seen.add(task.files["program.txt"])
                tasks.append(task)
    save_taskset(tasks, path, "micro")
    return path


def make_tokenizer() -> PreTrainedTokenizerFast:
    symbols = ["<eos>", *LETTERS, *TWINS, *"0123456789", "|", ">", "?", "\n", *"klmnop"]
    core = Tokenizer(models.WordLevel({s: i for i, s in enumerate(symbols)}, unk_token="?"))
    core.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    core.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<eos>", pad_token="<eos>", clean_up_tokenization_spaces=False
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def _sentence(rng: random.Random, skill: float) -> tuple[str, str]:
    """Return (prompt, answer) of the pre-training mixture."""
    program, at, right = buggy(rng)
    view = "\n".join(f"{i}|{c}" for i, c in enumerate(program, 1))
    if rng.random() < 0.5:
        line = rng.randrange(LINES)
        return f"{view}\nnow>", f"{line + 1}|{program[line]}"
    if rng.random() > skill:
        at, right = rng.randrange(LINES), rng.choice(LETTERS)
    return f"{view}\nhow>", f"{at + 1}|{right}"


def write_student(folder: Path, *, steps: int = 600, skill: float = 0.7) -> Path:
    """Train the tiny model from scratch and write it as a model folder."""
    torch.manual_seed(0)
    rng = random.Random(0)
    tokenizer = make_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
        tie_word_embeddings=True, eos_token_id=0, bos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    adam = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = 3e-3 * min(1.0, (step + 1) / 20) * (1 - step / (steps + 1))
        pairs = [_sentence(rng, skill) for _ in range(64)]
        texts = [tokenizer.encode(p + a, add_special_tokens=False) + [0] for p, a in pairs]
        sizes = [len(tokenizer.encode(p, add_special_tokens=False)) for p, _ in pairs]
        ids = torch.tensor(texts)
        labels = ids.clone()
        for row, size in enumerate(sizes):
            labels[row, :size] = -100
        loss = model(input_ids=ids, labels=labels).loss
        adam.zero_grad()
        loss.backward()
        adam.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
