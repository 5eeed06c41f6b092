"""What packing a group into one row saves: `python bench/prefix_sharing.py [STUDENT]`.

Both sides take the same RL step on the same groups with the same learner: packed (the
prompt once, its completions as a tree) and separate (one row a completion). With `--stem`,
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

from toprope.climb.memory import keep_freed_memory
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
    parser.add_argument("--stem", type=int, default=0, help="tokens that answers may share")
    options = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(0)
    model = load_model(resolve(options.student), dtype="bfloat16")
    model.set_attn_implementation(attention.NAME)
    optimiser = MasterAdam(model)
    packed = make_groups(options.groups, size=8, prompt=150, answer=16, stem=options.stem)
    sides = {"packed": packed, "separate": split(packed)}
    ratios = []
    for at in range(options.rounds + 1):
        seconds = {}
        for name, rows in sides.items():
            began = time.perf_counter()
            learn_groups(
                model, optimiser, rows, learning_rate=0.0, episodes=8 * len(packed), token_limit=48
            )
            seconds[name] = time.perf_counter() - began
        if at:  # the first round warms up
            ratios.append(seconds["separate"] / seconds["packed"])
            print(f"round {at}: " + ", ".join(f"{n} {s:.2f} s" for n, s in seconds.items()))
    tokens = {name: sum(row.width for row in rows) for name, rows in sides.items()}
    print(f"tokens: {tokens['packed']} packed, {tokens['separate']} separate")
    print(f"separate / packed: {statistics.median(ratios):.2f} (median of {len(ratios)})")


if __name__ == "__main__":
    main()
