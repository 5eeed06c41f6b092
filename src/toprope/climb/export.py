"""A run's checkpoint as an ordinary Hugging Face folder, with what the run showed of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from toprope.climb.config import ClimbConfig
from toprope.climb.pastrun import LAST, PastRun
from toprope.harness.description import describe, describe_turns
from toprope.harness.dialect import DIALECTS
from toprope.harness.turns import TURN_DIALECTS
from toprope.policy.checkpoint import check_checkpoint
from toprope.policy.export import export_model
from toprope.policy.load import about_model, load_model, load_tokenizer


class Exported(NamedTuple):
    """The checkpoint that was written, and the largest logit difference after reading back."""

    checkpoint: str
    difference: float


def export_run(run: Path, out: Path, which: str = LAST) -> Exported:
    """Write a checkpoint of the run in `run` (`last`, `best` or `step-…`) to the new folder `out`.

    Raises:
        TopropeError: no such run or checkpoint, an altered checkpoint, or `out` is taken.
    """
    past = PastRun.open(run)
    checkpoint = past.checkpoint(which)
    facts = check_checkpoint(checkpoint)
    summary = _of_version(past, int(facts["version"]))
    card = {
        "name": out.name,
        "base": _about_base(past, checkpoint, str(summary["student"])),
        "taskset": summary["taskset"],
        "harness": _harness(past.config),
        "summary": summary,
        "run": str(summary["run"]),
        "checkpoint": checkpoint.name,
    }
    model, tokenizer = load_model(checkpoint, "float32"), load_tokenizer(checkpoint)
    return Exported(checkpoint.name, export_model(model, tokenizer, out, card=card))


def _harness(config: ClimbConfig) -> dict[str, Any]:
    """How the student acts, in words and settings, for whoever uses it."""
    student, turns = config.student, config.turns
    limits: dict[str, Any] = {"max_tokens": student.max_tokens, "dtype": student.dtype}
    if not turns.dialect:
        return describe(DIALECTS[student.dialect], **limits)
    return describe_turns(TURN_DIALECTS[turns.dialect], settings=turns.model_dump(), **limits)


def _about_base(past: PastRun, checkpoint: Path, student: str) -> dict[str, Any]:
    """What is known of the student that the run began with."""
    about = about_model(checkpoint)  # the base's small files came along, its manifest among them
    if about["name"] == checkpoint.name:
        about = {"source": past.config.student.model}
    return {**about, "name": student}


def _of_version(past: PastRun, version: int) -> dict[str, Any]:
    """The run's summary, without the last evaluation if that measured another checkpoint."""
    summary = past.summary()
    if past.measured_after() != version:
        summary["heldout"] = {**summary["heldout"], "after": None, "rl_gain": None}
    return summary
