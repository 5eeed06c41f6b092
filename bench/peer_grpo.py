"""A GRPO step of toprope against one of TRL's `GRPOTrainer`, in turn.

python bench/peer_grpo.py --python PEER/bin/python [MODEL FOLDER]

Both sample 8 answers to each of 8 prompts of about 200 tokens (temperature 1, nothing cut
off, every answer as long as the other side's), reward them alike and take one Adam step, in
bf16 on the same number of threads; the same weights learn, all (`--lora-rank 0`) or adapters.
TRL's loss is set to toprope's (`dr_grpo`, no scaling, no KL). Before anything is timed both
sides take a step on the same answers: read and trained tokens must be equal, and TRL's
gradient, whose advantages lack RLOO's factor G/(G-1), may differ by rounding only. Each TRL
setting is a side; `--tune` takes all of them, once. The steps of a side follow one another.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

from peer_sides import Side, prompts, require_equal, save, show
from peer_trl import agrees, arguments, compared

EQUAL = ("read", "lengths", "trained")
# fp32 weights under autocast are TRL's default, and what toprope's fp32 master weights equal;
# bf16 weights round an update of 1e-6 away, but are what many take.
TRIED = {
    f"trl {dtype} batch {batch}{' checkpointed' if again else ''}": {
        "dtype": dtype, "batch": batch, "checkpointing": again, "continuous": False,
    }
    for dtype in ("bfloat16", "float32") for batch in (8, 16, 32) for again in (False, True)
} | {
    "trl bfloat16 batch 8 continuous": {
        "dtype": "bfloat16", "batch": 8, "checkpointing": False, "continuous": True,
    }
}  # fmt: skip


def check(sides: list[Side], group: int, close: float) -> None:
    """Let all take a step on toprope's answers, and end unless they are the same step."""
    ours = sides[0].ask(do="step", at=0, show=True)
    for side in sides[1:]:
        theirs = side.ask(do="step", at=0, answers=ours["answers"])
        require_equal({"toprope": ours, side.name: theirs}, EQUAL)
        ratio = theirs["grad_norm"] * group / (group - 1) / ours["grad_norm"]
        print(f"{side.name}: gradient {ratio:.3f} of ours, loss "
              f"{theirs['loss'] * group / (group - 1):+.5f} and {ours['loss']:+.5f}, positions "
              f"{theirs['positions']} and {ours['positions']}", file=sys.stderr)  # fmt: skip
        if abs(ratio - 1) > close:
            raise SystemExit(f"{side.name} took another step: its gradient is {ratio:.3f} of ours")


def run(options: argparse.Namespace) -> None:
    count = (options.rounds + 1) * options.prompts
    told = {
        "prompts": prompts(count, tokens=options.prompt_tokens),
        "prompts_a_step": options.prompts,
        "group": options.group,
        "tokens": options.tokens,
        "blocks": 16 * options.prompts * options.group,
    }
    same = partial(check, group=options.group, close=agrees(options.lora_rank))
    scripts = ("ours_grpo.py", "trl_grpo.py")
    result, found = compared(options, TRIED, scripts, EQUAL, told, same)
    show(result, found["toprope"][0]["trained"], "answer tokens")
    if options.json:
        save(options.json, "grpo", options, result)


def main() -> None:
    parser = arguments(__doc__, TRIED)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--prompt-tokens", type=int, default=200)
    run(parser.parse_args())


if __name__ == "__main__":
    main()
