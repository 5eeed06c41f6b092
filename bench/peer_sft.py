"""A supervised step of toprope against one of TRL's `SFTTrainer`, in turn.

python bench/peer_sft.py --python PEER/bin/python [MODEL FOLDER]

Both take one Adam step on the same 32 rows of ids (a prompt of 120 to 280 tokens, an answer
of 16 to 48 that alone carries loss), each step's rows longest first, so that neither side
pads more than it must, in bf16 on the same number of threads. Rows read, their tokens and
the trained ones must be equal in every round; in the first step, before anything is timed,
so must be loss and gradient, but for rounding. Each TRL setting is a side.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from contextlib import ExitStack
from typing import Any

from peer_grpo import AGREES, MAKE, agrees
from peer_sides import Side, in_turn, prompts, require_equal, save, show, summed_up
from tokenizers import Tokenizer

from toprope.policy.load import resolve

EQUAL = ("read", "rows", "tokens", "trained")
FREE = " padding free"
TRIED = {
    f"trl {dtype} batch {batch}{how}": {
        "dtype": dtype, "batch": batch,
        "checkpointing": "check" in how, "padding_free": how == FREE,
    }
    for dtype in ("bfloat16", "float32")
    for batch in (4, 8, 16)
    for how in ("", " checkpointed", FREE)
}  # fmt: skip
CHOSEN = ("trl float32 batch 8", "trl bfloat16 batch 8")


def made_rows(options: argparse.Namespace) -> list[dict[str, list[int]]]:
    """Return the rows of all steps as ids, those of a step longest first."""
    tokenizer = Tokenizer.from_file(str(resolve(options.student) / "tokenizer.json"))
    rng = random.Random(0)
    found = []
    for step in range(options.rounds + 1):
        rows = []
        for text in prompts(options.rows, tokens=800, seed=step):
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            prompt, answer = rng.randint(120, 280), rng.randint(16, 48)
            rows.append({"prompt": ids[:prompt], "answer": ids[prompt : prompt + answer]})
        found += sorted(rows, key=lambda row: -len(row["prompt"] + row["answer"]))
    return found


def check(sides: list[Side], close: float) -> None:
    """Let all take the first step, and end unless it is the same step."""
    ours = sides[0].ask(do="step", at=0)
    for side in sides[1:]:
        theirs = side.ask(do="step", at=0)
        require_equal({"toprope": ours, side.name: theirs}, EQUAL)
        loss, norm = (theirs[key] / ours[key] for key in ("loss", "grad_norm"))
        print(f"{side.name}: loss {loss:.4f} and gradient {norm:.3f} of ours, positions "
              f"{theirs['positions']} and {ours['positions']}", file=sys.stderr)  # fmt: skip
        if abs(loss - 1) > AGREES or abs(norm - 1) > close:
            raise SystemExit(f"{side.name} took another step than toprope")


def run(options: argparse.Namespace) -> None:
    names = list(TRIED) if options.tune else options.sides or list(CHOSEN)
    rows = made_rows(options)
    with ExitStack() as stack:
        ours = Side("toprope", sys.executable, "ours_sft.py", make="", threads=options.threads)
        sides = [stack.enter_context(ours)]
        for name in names:
            side = Side(name, options.python, "trl_sft.py", make=MAKE, threads=options.threads)
            sides.append(stack.enter_context(side))
        told: dict[str, Any] = {}
        for side in sides:
            told[side.name] = side.ask(
                do="open",
                model=str(resolve(options.student)),
                threads=options.threads,
                rows=rows,
                rows_a_step=options.rows,
                lora_rank=options.lora_rank,
                learning_rate=1e-4 if options.lora_rank else 1e-6,
                most_train_tokens=1024,
                steps=options.rounds + 1,
                scratch=stack.enter_context(tempfile.TemporaryDirectory()),
                **TRIED.get(side.name, {}),
            )
        check(sides, agrees(options.lora_rank))
        found = in_turn(sides, options.rounds, lambda side, at: side.ask(do="step", at=at + 1))
        for answers in zip(*found.values(), strict=True):
            require_equal(dict(zip(found, answers, strict=True)), EQUAL)
        result = summed_up(sides, found, told)
    each = [one["tokens"] for one in found["toprope"]]
    show(result, sum(each) / len(each), "tokens")
    if options.json:
        save(options.json, "sft", options, result)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("student", nargs="?", default="smollm2-135m-instruct")
    parser.add_argument("--python", required=True, help="the Python that has TRL")
    parser.add_argument("--sides", action="append", choices=list(TRIED))
    parser.add_argument("--tune", action="store_true", help="take every setting of TRL")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--lora-rank", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", default="")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
