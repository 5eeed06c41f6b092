"""The sampler against `generate`: `python bench/decoding.py [STUDENT] [--rounds 3]`.

Both draw the same number of tokens, in bf16, for the same groups of episodes: a prompt and
eight continuations of it. `generate` gets each prompt once with `num_return_sequences`, its
usual way, padded on the left. Prints the median of the ratios of several rounds.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from typing import Any

import torch

from toprope.climb.training.memory import keep_freed_memory
from toprope.policy.asks import Ask
from toprope.policy.load import load_model, resolve
from toprope.policy.sampler import TorchSampler

PROMPTS, GROUP = 20, 8


class Endless:
    """A guide that never ends an episode: both sides draw the same number of tokens."""

    def advance(self, text: str, token: int) -> tuple[str, None]:
        return "", None


def make_asks(round_: int) -> list[Ask]:
    rng = random.Random(round_)
    return [
        Ask(
            tuple(rng.randrange(100, 40_000) for _ in range(rng.randrange(120, 240))),
            tuple(f"{round_}/{at}/{draw}" for draw in range(GROUP)),
        )
        for at in range(PROMPTS)
    ]


def ours(sampler: TorchSampler, asks: list[Ask]) -> float:
    started = time.perf_counter()
    sampler.sample(asks)
    return time.perf_counter() - started


def theirs(model: Any, asks: list[Ask], tokens: int) -> float:
    longest = max(len(ask.prompt_ids) for ask in asks)
    ids = [[0] * (longest - len(a.prompt_ids)) + list(a.prompt_ids) for a in asks]
    mask = [[int(at >= longest - len(a.prompt_ids)) for at in range(longest)] for a in asks]
    started = time.perf_counter()
    with torch.inference_mode():
        model.generate(
            input_ids=torch.tensor(ids),
            attention_mask=torch.tensor(mask),
            do_sample=True,
            top_k=0,
            num_return_sequences=GROUP,
            min_new_tokens=tokens,
            max_new_tokens=tokens,
            pad_token_id=0,
        )
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("student", nargs="?", default="smollm2-135m-instruct")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=16)
    options = parser.parse_args()
    keep_freed_memory()
    folder = resolve(options.student)
    plain = load_model(folder, dtype="bfloat16", attention="sdpa")
    guide: Any = Endless()
    sampler = TorchSampler(
        load_model(folder, dtype="bfloat16"),
        guide,
        seed=0,
        max_tokens=options.tokens,
        max_rows=PROMPTS * GROUP,
    )
    ours(sampler, make_asks(-1))
    theirs(plain, make_asks(-1), options.tokens)
    pairs = []
    for round_ in range(options.rounds):
        asks = make_asks(round_)
        pairs.append((theirs(plain, asks, options.tokens), ours(sampler, asks)))
    ratio = statistics.median(b / a for b, a in pairs)
    total = PROMPTS * GROUP * options.tokens
    slow, quick = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(f"{PROMPTS} prompts x {GROUP} episodes x {options.tokens} tokens, bf16")
    print(f"generate {slow:.1f} s ({total / slow:.0f} tokens/s), "
          f"sampler {quick:.1f} s ({total / quick:.0f} tokens/s)")  # fmt: skip
    print(f"median ratio of {options.rounds} rounds: {ratio:.2f}")


if __name__ == "__main__":
    main()
