"""Decoding by toprope's sampler against transformers, llama.cpp and vLLM, in turn.

python bench/peer_decode.py --python PEER/bin/python --llama LLAMA/bin/python
    --vllm .venv-vllm/bin/python --gguf FILE.gguf [MODEL FOLDER]

Every side is given the same ids, prompts of about 200 tokens that it has not seen before, and
draws at temperature 1, nothing cut off, the same number of tokens of every episode: batch 1 is
one episode, 8, 32 and 128 are groups of 8 that share a prompt. Seconds are from the ids to
the last token drawn, prompts included, in bf16 on the same number of threads. llama.cpp runs
twice: with the matrices in bf16, and with those of the GGUF file as it is. A side left out is
not started. At the end toprope scores what every side drew: the mean log-probability of draws
at temperature 1 is the same for all, and another for any other temperature or model.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

from peer_sides import Side, in_turn, prompts, require_equal, save, show, summed_up
from tokenizers import Tokenizer

from toprope.policy.load import resolve

VENV = "python3 -m venv PEER && PEER/bin/pip install "
MAKE = {
    "hf": VENV + "torch==2.13.0 && PEER/bin/pip install transformers==5.23.0 accelerate",
    "llama": VENV + "xllamacpp==2026.10.11549 gguf==0.19.0",
    "vllm": "make vllm-env",
}
EQUAL = ("read", "prompt_tokens", "lengths", "drawn")
GROUP = 8
# How far mean log-probabilities of draws of one distribution lie apart, in standard errors.
ALIKE = 5.0


def sides_of(options: argparse.Namespace) -> dict[str, tuple[str, str, str, dict[str, Any]]]:
    """Return what is started: by name its Python, script, environment and settings."""
    hf, llama, vllm = options.python, options.llama, options.vllm
    found = {"toprope": (sys.executable, "ours_decode.py", "", {})}
    if hf:
        for way in ("generate", "continuous"):
            if way not in options.without:
                found[f"transformers {way}"] = (hf, "hf_decode.py", MAKE["hf"], {"way": way})
    if llama:
        for kind in (options.kind, ""):
            name = f"llama.cpp {kind or Path(options.gguf).stem.rpartition('-')[2]}"
            found[name] = (llama, "llama_decode.py", MAKE["llama"], {"kind": kind})
    if vllm:
        found["vllm-cpu"] = (vllm, "vllm_decode.py", MAKE["vllm"], {"eager": options.eager})
    return found


def asked(options: argparse.Namespace, batch: int, seed: int) -> list[list[int]]:
    """Return the prompts of a round as ids, different in every round."""
    tokenizer = _tokenizer(options.student)
    count = max(1, batch // GROUP)
    texts = prompts(count, tokens=options.prompt_tokens, seed=1000 * seed + batch)
    return [tokenizer.encode(one, add_special_tokens=False).ids for one in texts]


@cache
def _tokenizer(student: str) -> Tokenizer:
    return Tokenizer.from_file(str(resolve(student) / "tokenizer.json"))


def measured(sides: list[Side], told: dict[str, Any], batch: int, options: Any) -> dict[str, Any]:
    """Return the result of one batch size, with the score of every side's draws."""

    scored = batch == max(options.batches)

    def ask(side: Side, at: int) -> dict[str, Any]:
        return side.ask(
            do="draw",
            prompts=asked(options, batch, at),
            group=min(batch, GROUP),
            tokens=options.tokens,
            number=f"{batch}/{at}",
            show=scored and at == 0,
        )

    in_turn(sides, 1, lambda side, at: ask(side, options.rounds))  # warms up
    found = in_turn(sides, options.rounds, ask)
    for answers in zip(*found.values(), strict=True):
        require_equal(dict(zip(found, answers, strict=True)), EQUAL)
    drawn = {name: answers[0].pop("answers") for name, answers in found.items()}
    result = summed_up(sides, found, told)
    if scored:
        _score(sides[0], drawn, asked(options, batch, 0), result)
    return result


def _score(
    judge: Side, drawn: dict[str, list[list[int]]], asked: list[list[int]], result: Any
) -> None:
    """Note the mean log-probability of each side's draws; end unless they are alike."""
    few = 4 * GROUP  # answers are enough, and these of the first prompts
    for name, answers in drawn.items():
        if len(set(map(tuple, answers))) < len(answers) / 2:
            raise SystemExit(f"{name} draws the same answers again and again")
        result[name]["score"] = judge.ask(
            do="score", prompts=asked, group=GROUP, answers=answers[:few]
        )
    ours = result["toprope"]["score"]
    for name, one in result.items():
        score = one["score"]
        apart = (
            abs(score["mean"] - ours["mean"]) / (score["error"] ** 2 + ours["error"] ** 2) ** 0.5
        )
        print(f"{name}: mean log-probability {score['mean']:.3f} +- {score['error']:.3f}")
        if apart > ALIKE and not _quantised(name):
            raise SystemExit(f"{name} does not draw from this model at temperature 1")


def _quantised(name: str) -> bool:
    return name.startswith("llama.cpp") and not name.endswith("16")


def run(options: argparse.Namespace) -> None:
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory())
        sides, told = [], {}
        for name, (python, script, make, more) in sides_of(options).items():
            side = Side(name, python, script, make=make, threads=options.threads)
            sides.append(stack.enter_context(side))
            print(f"opening {name}", file=sys.stderr)
            told[name] = side.ask(
                do="open",
                model=str(resolve(options.student)),
                gguf=options.gguf,
                scratch=scratch,
                threads=options.threads,
                rows=max(options.batches),
                longest=2 * options.prompt_tokens + options.tokens,
                blocks=max(options.batches) * (options.prompt_tokens // 16 + 4),
                **more,
            )
        results = {}
        for batch in options.batches:
            results[batch] = measured(sides, told, batch, options)
            print(f"\nbatch {batch}, {options.tokens} tokens an episode")
            show(results[batch], batch * options.tokens, "tokens")
    if options.json:
        save(options.json, "decode", options, results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("student", nargs="?", default="smollm2-135m-instruct")
    parser.add_argument("--python", default="", help="the Python that has transformers")
    parser.add_argument("--llama", default="", help="the Python that has xllamacpp and gguf")
    parser.add_argument("--vllm", default="", help="the Python that has vllm-cpu")
    parser.add_argument("--eager", action="store_true", help="vLLM without compilation")
    parser.add_argument("--gguf", default="", help="the file that the model folder was made of")
    parser.add_argument("--kind", default="BF16", choices=("BF16", "F16"))
    parser.add_argument(
        "--without", action="append", default=[], choices=("generate", "continuous")
    )
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--prompt-tokens", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", default="")
    options = parser.parse_args()
    if options.llama and not Path(options.gguf).is_file():
        parser.error("--llama needs --gguf, the file that the model folder was made of")
    run(options)


if __name__ == "__main__":
    main()
