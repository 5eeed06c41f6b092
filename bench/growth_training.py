"""How sampler and learner grow with context and group: `python bench/growth_training.py`.

One group at a time, answers of 16 tokens: contexts of 1k to 16k tokens with 8 answers, and
groups of 1 to 64 after 1k. A small model of random weights (`--student` takes another): what is
looked at is how cost grows, not how much it is. Time is by the clock, a median of a few rounds;
memory is the most that the process held beyond what it held before. `--svg` writes the picture.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from growth_plot import picture
from transformers import LlamaConfig, LlamaForCausalLM

from toprope.climb.comparing.shares import ANSWER, Endless, made_rows, timed
from toprope.learn.fit import Fit
from toprope.learn.optimiser import MasterAdam
from toprope.learn.step import learn_groups
from toprope.policy import attention
from toprope.policy.asks import Ask
from toprope.policy.load import load_model, resolve
from toprope.policy.sampler import TorchSampler

CONTEXTS = [1024, 2048, 4096, 8192, 16384]
GROUPS = [1, 2, 4, 8, 16, 32, 64]
SAMPLER, LEARNER, AGAIN = "sampler", "learner", "layers again"
LONG_S = 2.0
WHOLE = 1 << 24  # packed tokens: a group is one piece, however long
Series = dict[str, list[tuple[float, float]]]


def small_model() -> Any:
    """Return a Llama of 4 layers and 256 wide, in bf16."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=8192, hidden_size=256, intermediate_size=768, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=32_768,
        tie_word_embeddings=True,
    )  # fmt: skip
    return LlamaForCausalLM(config).to(torch.bfloat16).eval()


def works(model: Any, context: int, group: int) -> dict[str, Callable[[], Any]]:
    """Return what is measured at one size."""
    (row,) = made_rows(1, group, context, ANSWER, model.config.vocab_size)
    optimiser, guide = MasterAdam(model), Endless()
    ask = Ask(row.prompt_ids, tuple(f"growth/{at}" for at in range(group)))

    def sample() -> None:
        sampler = TorchSampler(model, guide, seed=0, max_tokens=ANSWER, max_rows=group)  # type: ignore[arg-type]
        sampler.sample([ask])

    def learn(fit: Fit) -> None:
        learn_groups(
            model, optimiser, [row], learning_rate=1e-9, episodes=group, token_limit=ANSWER, fit=fit
        )

    return {
        SAMPLER: sample,
        LEARNER: lambda: learn(Fit(WHOLE)),
        AGAIN: lambda: learn(Fit(WHOLE, checkpointing=True)),
    }


def held(field: str) -> float:
    """Return a field of this process's memory in MB: VmRSS is now, VmHWM the most so far."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(one.split()[1]) / 1e3 for one in status if one.startswith(field))


def measured(work: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """Return the seconds of a call, and the MB it holds at most beyond what was held before.

    What takes long is timed once: the call that is watched for its memory.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what was freed would hide what is needed now
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the most so far is now
    before = held("VmRSS")
    took = [timed(work)]
    most = max(0.001, held("VmHWM") - before)
    if took[0] < LONG_S:
        took = [timed(work) for _ in range(rounds)]
    return statistics.median(took), most


def sweep(model: Any, sizes: list[tuple[int, int]], at: int, rounds: int) -> tuple[Series, Series]:
    """Measure sizes (context, group), print a row for each; return seconds and MB by name."""
    seconds: Series = {}
    megabytes: Series = {}
    for size in sizes:
        told = []
        for name, work in works(model, *size).items():
            took, held_mb = measured(work, rounds)
            seconds.setdefault(name, []).append((float(size[at]), took))
            megabytes.setdefault(name, []).append((float(size[at]), held_mb))
            told.append(f"{name} {took:.3f} s {held_mb:,.0f} MB")
        print(f"context {size[0]:>6,} group {size[1]:>2}: {'  '.join(told)}")
        sys.stdout.flush()
    return seconds, megabytes


def main() -> None:
    """Sweep the context, then the group."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--student", help="a name or folder instead of the small model")
    parser.add_argument("--contexts", type=int, nargs="*", default=CONTEXTS)
    parser.add_argument("--groups", type=int, nargs="*", default=GROUPS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--svg", type=Path)
    options = parser.parse_args()
    model = small_model()
    if options.student:
        model = load_model(resolve(options.student), dtype="bfloat16")
    model.set_attn_implementation(attention.NAME)
    began = time.perf_counter()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    panels, units = [], []
    for words, at, sizes in (
        ("tokens of context, 8 answers", 0, [(context, 8) for context in options.contexts]),
        ("answers of a group, 1,024 tokens", 1, [(1024, group) for group in options.groups]),
    ):
        if sizes:
            seconds, megabytes = sweep(model, sizes, at, options.rounds)
            panels += [(f"Seconds by {words}", seconds), (f"Memory by {words}", megabytes)]
            units += ["s", "MB"]
    if options.svg and panels:
        options.svg.write_text(picture(panels, units=units), encoding="utf-8")
    print(f"measured in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
