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
import tempfile
from contextlib import ExitStack
from typing import Any

from peer_sides import Side, in_turn, prompts, require_equal, save, show, summed_up

from toprope.policy.load import resolve

MAKE = "python3 -m venv PEER && PEER/bin/pip install torch==2.13.0 && " \
    "PEER/bin/pip install trl==1.16.0 transformers==5.23.0 peft==0.21.2"  # fmt: skip
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
CHOSEN = ("trl float32 batch 8", "trl bfloat16 batch 8")
# The gradients of one batch, computed in bf16 by two libraries, agree about as well as this.
AGREES = 0.05


def agrees(lora_rank: int) -> float:
    """Return how far gradients may differ: those of adapters depend on their random halves."""
    return 0.5 if lora_rank else AGREES


def opened(side: Side, options: argparse.Namespace, scratch: str) -> dict[str, Any]:
    """Start a side's student; its prompts are those of all rounds."""
    count = (options.rounds + 1) * options.prompts
    return side.ask(
        do="open",
        model=str(resolve(options.student)),
        threads=options.threads,
        prompts=prompts(count, tokens=options.prompt_tokens),
        prompts_a_step=options.prompts,
        group=options.group,
        tokens=options.tokens,
        lora_rank=options.lora_rank,
        learning_rate=1e-4 if options.lora_rank else 1e-6,
        most_train_tokens=1024,
        steps=options.rounds + 1,
        blocks=16 * options.prompts * options.group,
        scratch=scratch,
        **TRIED.get(side.name, {}),
    )


def check(sides: list[Side], group: int, agrees: float) -> None:
    """Let all take a step on toprope's answers, and end unless they are the same step."""
    ours = sides[0].ask(do="step", at=0, show=True)
    for side in sides[1:]:
        theirs = side.ask(do="step", at=0, answers=ours["answers"])
        require_equal({"toprope": ours, side.name: theirs}, EQUAL)
        ratio = theirs["grad_norm"] * group / (group - 1) / ours["grad_norm"]
        print(f"{side.name}: gradient {ratio:.3f} of ours, loss "
              f"{theirs['loss'] * group / (group - 1):+.5f} and {ours['loss']:+.5f}, positions "
              f"{theirs['positions']} and {ours['positions']}", file=sys.stderr)  # fmt: skip
        if abs(ratio - 1) > agrees:
            raise SystemExit(f"{side.name} took another step: its gradient is {ratio:.3f} of ours")


def run(options: argparse.Namespace) -> None:
    names = list(TRIED) if options.tune else options.sides or list(CHOSEN)
    with ExitStack() as stack:
        ours = Side("toprope", sys.executable, "ours_grpo.py", make="", threads=options.threads)
        sides = [stack.enter_context(ours)]
        told = {}
        for name in names:
            script = "trl_grpo.py"
            side = Side(name, options.python, script, make=MAKE, threads=options.threads)
            sides.append(stack.enter_context(side))
        for side in sides:
            scratch = stack.enter_context(tempfile.TemporaryDirectory())
            told[side.name] = opened(side, options, scratch)
        check(sides, options.group, agrees(options.lora_rank))
        found = in_turn(
            sides, options.rounds, lambda side, at: side.ask(do="step", at=at + 1, show=False)
        )
        for answers in zip(*found.values(), strict=True):
            require_equal(dict(zip(found, answers, strict=True)), EQUAL)
        result = summed_up(sides, found, told)
    show(result, found["toprope"][0]["trained"], "answer tokens")
    if options.json:
        save(options.json, "grpo", options, result)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("student", nargs="?", default="smollm2-135m-instruct")
    parser.add_argument("--python", required=True, help="the Python that has TRL")
    parser.add_argument("--sides", action="append", choices=list(TRIED))
    parser.add_argument("--tune", action="store_true", help="take every setting of TRL")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--prompt-tokens", type=int, default=200)
    parser.add_argument("--lora-rank", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", default="")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
