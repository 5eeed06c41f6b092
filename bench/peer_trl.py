"""What the comparisons with TRL share: its environment, how near is equal, sides and options."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from peer_sides import Side, in_turn, require_equal, summed_up

from toprope.policy.load import resolve

MAKE = "python3 -m venv PEER && PEER/bin/pip install torch==2.13.0 && " \
    "PEER/bin/pip install trl==1.16.0 transformers==5.23.0 peft==0.21.2"  # fmt: skip
CHOSEN = ("trl float32 batch 8", "trl bfloat16 batch 8")
# The gradients of one batch, computed in bf16 by two libraries, agree about as well as this.
AGREES = 0.05


def agrees(lora_rank: int) -> float:
    """Return how far gradients may differ: those of adapters depend on their random halves."""
    return 0.5 if lora_rank else AGREES


def arguments(doc: str, tried: Mapping[str, Any]) -> argparse.ArgumentParser:
    """Return the options that every comparison with TRL has."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("student", nargs="?", default="smollm2-135m-instruct")
    parser.add_argument("--python", required=True, help="the Python that has TRL")
    parser.add_argument("--sides", action="append", choices=list(tried))
    parser.add_argument("--tune", action="store_true", help="take every setting of TRL")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lora-rank", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", default="")
    return parser


def compared(
    options: argparse.Namespace,
    tried: Mapping[str, Mapping[str, Any]],
    scripts: tuple[str, str],
    equal: Sequence[str],
    told: Mapping[str, Any],
    check: Callable[[list[Side]], None],
) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """Open toprope and the chosen settings of TRL, check that they do the same, and time steps.

    `scripts` are toprope's and TRL's; `told` is what every side is opened with. Returns the
    result by side and every side's answers. Ends the process where the sides do other work.
    """
    names = list(tried) if options.tune else options.sides or list(CHOSEN)
    with ExitStack() as stack:
        ours = Side("toprope", sys.executable, scripts[0], make="", threads=options.threads)
        sides = [stack.enter_context(ours)]
        for name in names:
            side = Side(name, options.python, scripts[1], make=MAKE, threads=options.threads)
            sides.append(stack.enter_context(side))
        opened = {
            side.name: side.ask(
                do="open",
                model=str(resolve(options.student)),
                threads=options.threads,
                lora_rank=options.lora_rank,
                learning_rate=1e-4 if options.lora_rank else 1e-6,
                most_train_tokens=1024,
                steps=options.rounds + 1,
                scratch=stack.enter_context(tempfile.TemporaryDirectory()),
                **told,
                **tried.get(side.name, {}),
            )
            for side in sides
        }
        check(sides)
        found = in_turn(
            sides, options.rounds, lambda side, at: side.ask(do="step", at=at + 1, show=False)
        )
        for answers in zip(*found.values(), strict=True):
            require_equal(dict(zip(found, answers, strict=True)), equal)
        return summed_up(sides, found, opened), found
