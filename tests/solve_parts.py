"""A git checkout with failing tests, and a tiny model that was taught how to mend it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from toprope.harness import rewrite

CODE = '''\
def total(coins):
    """Sum up what is worth something."""

    # bad coins are worth nothing
    return sum(coin for coin in coins if coin < 0)


def change(price, coins):
    """Return what is left after paying."""
    return total(coins) - price
'''
MENDED = CODE.replace("coin < 0", "coin > 0")
TESTS = """\
from coins import change, total


def test_total():
    assert total([1, 2, -5]) == 3


def test_change():
    assert change(1, [2, 2]) == 3


def test_nothing():
    assert total([]) == 0
"""
PATH = "src/coins/__init__.py"
RED = ("tests/test_coins.py::test_total", "tests/test_coins.py::test_change")
GREEN = ("tests/test_coins.py::test_nothing",)
SHOWN = """\
def total(coins):
    return sum(coin for coin in coins if coin < 0)
total([1, 2, -5]) returns -5, expected 3"""
ANSWER = "def total(coins):\n    return sum(coin for coin in coins if coin > 0)\n"


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    command = ["git", "-C", str(folder), *who, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def checkout(folder: Path, code: str = CODE, **more: str) -> Path:
    """Write the repository into a new folder, commit it, and return the folder."""
    files = {
        PATH: code,
        "tests/test_coins.py": TESTS,
        ".gitignore": "private/\n__pycache__/\n",
        "private/notes.txt": "never shown",
        **more,
    }
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "begin")
    return folder


def taught(folder: Path, steps: int = 150) -> Path:
    """Write a tiny model that was taught one answer to one prompt, letter by letter."""
    symbols = ["<eos>", "?", *map(chr, [10, *range(32, 127)])]
    core = Tokenizer(models.WordLevel({s: i for i, s in enumerate(symbols)}, unk_token="?"))
    core.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    core.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<eos>", pad_token="<eos>",
        clean_up_tokenization_spaces=False,
    )  # fmt: skip
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = LlamaConfig(
        vocab_size=len(symbols), hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
        tie_word_embeddings=True, eos_token_id=0, bos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    prompt = tokenizer.encode(f"{rewrite.SYSTEM}\n{SHOWN}\n", add_special_tokens=False)
    ids = torch.tensor([prompt + tokenizer.encode(ANSWER, add_special_tokens=False)])
    labels = ids.clone()
    labels[0, : len(prompt)] = -100
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        model(input_ids=ids, labels=labels).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
