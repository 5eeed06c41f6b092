"""What packing a group into one row saves: `python bench/prefix_sharing.py [STUDENT]`.

All sides take the same RL step on the same groups with the same learner: packed (the prompt
once, its completions as a tree, long ones in as many rows as are the least work), separate (one
row a completion) and, where that differs, whole (one row a group however long). With `--stem`,
answers are like those of dialect `rewrite`: each copies a random part of one text before it
goes its own way. Prints the median of the ratios of several rounds, and the tokens each side
processes.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time

import torch

from toprope.climb.meters import Shape
from toprope.climb.training.memory import keep_freed_memory
from toprope.learn.fit import Fit
from toprope.learn.optimiser import MasterAdam
from toprope.learn.packing import GroupRow
from toprope.learn.step import learn_groups
from toprope.policy import attention
from toprope.policy.load import load_model, resolve


def make_groups(count: int, size: int, prompt: int, answer: int, stem: int) -> list[GroupRow]:
    rng = random.Random(0)

    def answers() -> tuple[tuple[int, ...], ...]:
        shared = ids(stem)
        return tuple(shared[: rng.randint(0, stem)] + ids(answer) for _ in range(size))

    def ids(n: int) -> tuple[int, ...]:
        return tuple(rng.randrange(100, 40_000) for _ in range(n))

    return [
        GroupRow(
            prompt_ids=ids(prompt),
            completions=completions,
            advantages=tuple(1.0 if i % 2 else -1.0 for i in range(size)),
            sampler_logprobs=tuple((-1.0,) * len(one) for one in completions),
        )
        for completions in (answers() for _ in range(count))
    ]


def split(groups: list[GroupRow]) -> list[GroupRow]:
    return [
        GroupRow(row.prompt_ids, (completion,), (advantage,), (logprobs,))
        for row in groups
        for completion, advantage, logprobs in zip(
            row.completions, row.advantages, row.sampler_logprobs or (), strict=True
        )
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("student", nargs="?", default="smollm2-135m-instruct")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--groups", type=int, default=4)
    parser.add_argument("--size", type=int, default=8, help="answers of a group")
    parser.add_argument("--prompt", type=int, default=150)
    parser.add_argument("--answer", type=int, default=16)
    parser.add_argument("--stem", type=int, default=0, help="tokens that answers may share")
    options = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(0)
    model = load_model(resolve(options.student), dtype="bfloat16")
    model.set_attn_implementation(attention.NAME)
    optimiser = MasterAdam(model)
    rows = make_groups(options.groups, options.size, options.prompt, options.answer, options.stem)
    least = Fit(pairs_per_token=Shape.of(model).pairs_per_token)
    sides = {"packed": (rows, least), "separate": (split(rows), least), "whole": (rows, Fit())}
    if least.pieces(rows) == Fit().pieces(rows):
        del sides["whole"]

    def step(name: str) -> float:
        began = time.perf_counter()
        mine, fit = sides[name]
        learn_groups(
            model, optimiser, mine, learning_rate=0.0, episodes=options.size * len(rows),
            token_limit=options.answer + options.stem, fit=fit,
        )  # fmt: skip
        return time.perf_counter() - began

    rounds = []
    for at in range(options.rounds + 1):
        seconds = {name: step(name) for name in (sides if at % 2 else reversed(sides))}
        if at:  # the first round warms up
            rounds.append(seconds)
            print(f"round {at}: " + ", ".join(f"{n} {s:.2f} s" for n, s in seconds.items()))
    for name, (mine, fit) in sides.items():
        tokens = sum(row.width for piece in fit.pieces(mine) for row in piece)
        ratio = statistics.median(one[name] / one["packed"] for one in rounds)
        print(f"{name} / packed: {ratio:.2f} (median of {len(rounds)}), {tokens} tokens")


if __name__ == "__main__":
    main()
