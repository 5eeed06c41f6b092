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
from functools import partial

from peer_sides import Side, prompts, require_equal, save, show
from peer_trl import AGREES, agrees, arguments, compared
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
    told = {"rows": made_rows(options), "rows_a_step": options.rows}
    same = partial(check, close=agrees(options.lora_rank))
    scripts = ("ours_sft.py", "trl_sft.py")
    result, found = compared(options, TRIED, scripts, EQUAL, told, same)
    each = [one["tokens"] for one in found["toprope"]]
    show(result, sum(each) / len(each), "tokens")
    if options.json:
        save(options.json, "sft", options, result)


def main() -> None:
    parser = arguments(__doc__, TRIED)
    parser.add_argument("--rows", type=int, default=32)
    run(parser.parse_args())


if __name__ == "__main__":
    main()
