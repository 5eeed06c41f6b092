"""Grading while others are sampled, against grading afterwards: the same episodes in turn.

python bench/overlap.py MODEL [--tasks 8] [--draws 8] [--rounds 5] [--threads 0] [--workers 2]

The sides must come to the same episodes, token by token and verdict by verdict.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import torch

from toprope.climb.config import load_config
from toprope.climb.episodes.journal import Unkept
from toprope.climb.episodes.play import Plan
from toprope.climb.episodes.players import open_player
from toprope.climb.episodes.sampling import open_sampler
from toprope.climb.meters import Meters, Shape
from toprope.climb.pool import choose
from toprope.climb.training.memory import keep_freed_memory
from toprope.grading import Grader
from toprope.policy.adapters import add_adapters
from toprope.policy.load import load_model, load_tokenizer, resolve
from toprope.sandbox import Sandbox, open_sandbox
from toprope.tasks import load_taskset
from toprope.terms import Episode, Outcome, Split


class Sides:
    """One model, sampled and graded in either way."""

    def __init__(self, asked: argparse.Namespace, sandbox: Sandbox) -> None:
        self.asked, self.sandbox = asked, sandbox
        named = [f'student.model="{asked.model}"', f'student.dialect="{asked.dialect}"']
        self.config = load_config("default", named)
        folder = resolve(asked.model)
        self.model, self.tokenizer = load_model(folder), load_tokenizer(folder)
        add_adapters(self.model, self.config.student.lora_rank, seed=0)
        tasks = choose.spread(load_taskset("default").split(Split.TRAIN))
        self.tasks = tasks[: asked.tasks * (asked.rounds + 1)]

    def step(self, at: int, overlap: str) -> tuple[list[list[Episode]], dict[str, float]]:
        """Play a round's tasks; return the episodes and the seconds of its parts."""
        limits = self.config.limits.model_copy(update={"overlap": overlap})
        config = self.config.model_copy(update={"limits": limits})
        sampler = open_sampler(self.model, self.tokenizer, config)
        player = open_player(
            config, self.tokenizer, sampler, Grader(self.sandbox), Unkept(), Meters(),
            Shape.of(self.model),
        )  # fmt: skip
        size = self.asked.tasks
        plans = [Plan(t, "train", self.asked.draws) for t in self.tasks[at * size :][:size]]
        player.meters.drain()
        began = time.perf_counter()
        episodes = player.play(plans, iteration=1, version=0)
        took = {"all": time.perf_counter() - began}
        return episodes, took | player.meters.drain()[1]


def main() -> None:
    """Print each round and the medians of its ratios."""
    asking = argparse.ArgumentParser()
    asking.add_argument("model")
    asking.add_argument("--tasks", type=int, default=8)
    asking.add_argument("--draws", type=int, default=8)
    asking.add_argument("--rounds", type=int, default=5)
    asking.add_argument("--dialect", default="lines", help="of lines the untrained keep to more")
    asking.add_argument("--threads", type=int, default=0)
    asking.add_argument("--workers", type=int, default=2)
    asked = asking.parse_args()
    keep_freed_memory()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    with open_sandbox(workers=asked.workers) as sandbox:
        sides = Sides(asked, sandbox)
        ratios, shares = [], []
        for at in range(asked.rounds + 1):
            order = ("off", "on") if at % 2 else ("on", "off")
            found = {how: sides.step(at, how) for how in order}
            if found["on"][0] != found["off"][0]:
                raise SystemExit("the sides came to different episodes")
            (episodes, on), (_, off) = found["on"], found["off"]
            graded = sum(e.verdict.outcome is not Outcome.MALFORMED for g in episodes for e in g)
            print(
                f"round {at}: afterwards {off['all']:.2f} s (sample {off['sample']:.2f}, grade "
                f"{off['grade']:.2f}), while sampling {on['all']:.2f} s (sample "
                f"{on['sample']:.2f}, grade {on['grade']:.2f}); {graded} graded; load "
                f"{os.getloadavg()[0]:.1f}",
                flush=True,
            )
            if at:  # the first does not count
                ratios.append(off["all"] / on["all"])
                shares.append(off["grade"] / off["all"])
    print(
        f"afterwards / while sampling: median {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f}), {torch.get_num_threads()} threads, "
        f"{asked.workers} workers, {len(os.sched_getaffinity(0))} cores; grading afterwards took "
        f"{statistics.median(shares):.1%} of a round"
    )


if __name__ == "__main__":
    main()
