"""What kept turns save: `python bench/turns.py [STUDENT] [--turns 8] [--rounds 3]`.

The same conversations over turns on two samplers, one that keeps what it has computed and one
that keeps nothing and so computes every context anew, turn by turn in turn. Both draw the same
number of tokens and are shown the same. Prints the median of the ratios up to each turn, in
seconds of the processor (with OMP_NUM_THREADS=1 no thread spins while it waits).
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from typing import Any

from toprope.climb.training.memory import keep_freed_memory
from toprope.policy.asks import Ask
from toprope.policy.load import load_model, resolve
from toprope.policy.sampler import TorchSampler

TOLD = (2, 4, 8, 16)


class Endless:
    """A guide that never ends a turn: both sides draw the same number of tokens."""

    def advance(self, text: str, token: int) -> tuple[str, None]:
        return "", None


def ids(seed: str, count: int) -> tuple[int, ...]:
    rng = random.Random(seed)
    return tuple(rng.randrange(100, 40_000) for _ in range(count))


class Conversations:
    """Groups of conversations with one sampler, played a turn at a time."""

    def __init__(self, sampler: TorchSampler, round_: int, options: argparse.Namespace) -> None:
        self.sampler, self.options = sampler, options
        self.asks = []
        for at in range(options.groups):
            names = tuple(f"{round_}/{at}/{draw}" for draw in range(options.size))
            episodes = tuple(f"{name}#0" for name in names)
            prompt = ids(f"{round_}/{at}", options.prompt)
            self.asks.append(Ask(prompt, episodes, turns_of=names))
        self.seconds = 0.0
        self.turn = 0

    def play(self) -> float:
        """Play a turn; return the processor's seconds that all of them took so far."""
        began = time.process_time()
        found = iter(self.sampler.sample(self.asks))
        self.seconds += time.process_time() - began
        self.turn += 1
        self.asks = [
            Ask(
                ask.prompt_ids + next(found).ids + ids(f"{name}{self.turn}", self.options.shown),
                (f"{name}#{self.turn}",),
                turns_of=(name,),
            )
            for ask in self.asks
            for name in ask.turns_of
        ]
        return self.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("student", nargs="?", default="smollm2-135m-instruct")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--groups", type=int, default=2)
    parser.add_argument("--size", type=int, default=4)
    parser.add_argument("--prompt", type=int, default=300)
    parser.add_argument("--tokens", type=int, default=24, help="drawn a turn")
    parser.add_argument("--shown", type=int, default=60, help="tokens observed a turn")
    options = parser.parse_args()
    keep_freed_memory()
    model, guide = load_model(resolve(options.student), dtype="bfloat16"), _endless()
    sides = [
        TorchSampler(model, guide, seed=0, max_tokens=options.tokens, kept_bytes=kept)
        for kept in (1 << 32, 0)
    ]
    ratios: dict[int, list[float]] = {}
    for round_ in range(-1, options.rounds):  # the first one warms up
        keeping, anew = (Conversations(side, round_, options) for side in sides)
        for turn in range(1, 1 + (options.turns if round_ >= 0 else 2)):
            quick, slow = keeping.play(), anew.play()
            if round_ >= 0 and turn in TOLD:
                ratios.setdefault(turn, []).append(slow / quick)
                print(
                    f"round {round_}, {turn} turns: anew {slow:.1f} s, kept {quick:.1f} s",
                    flush=True,
                )
    for turn, found in ratios.items():
        low, high = min(found), max(found)
        print(f"{turn} turns: anew / kept {statistics.median(found):.2f} ({low:.2f} to {high:.2f})")
    print(f"kept at the end: {sides[0].retained.bytes / 1e6:.0f} MB")


def _endless() -> Any:
    return Endless()


if __name__ == "__main__":
    main()
