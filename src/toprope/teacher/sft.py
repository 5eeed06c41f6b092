"""Writes cached attempts that were verified as a dataset for supervised fine-tuning.

Chat rows as JSON lines, each with where it came from and under which licence; of training
tasks only, unless asked; equal ones once. It must not know who trains on them.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toprope.teacher.cache import Cached
from toprope.teacher.prompt import Messages
from toprope.terms import Outcome, Split

_FENCE = "```"


@dataclass(slots=True)
class Exported:
    """How many rows were written, and how many were left out for which reason."""

    written: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def export_sft(
    attempts: Iterable[Cached],
    path: Path,
    *,
    splits: Collection[str] = (Split.TRAIN.value,),
    guarded: Collection[str] = (),
    teacher_licence: str | None = None,
) -> Exported:
    """Write the verified attempts of tasks in `splits`, whole or not at all; return the counts.

    `guarded` are hashes of tasks (`question.task_hash`) that are left out in whatever split
    they were met. `teacher_licence` is what the teacher's maker says of its answers; None is
    written as null: not told.
    """
    counts, lines = Exported(), list[str]()
    seen: set[tuple[str, str]] = set()
    for attempt in attempts:
        if attempt.outcome != Outcome.PASSED.value:
            counts.left_out["not verified"] += 1
        elif attempt.split not in splits or attempt.task_hash in guarded:
            counts.left_out["of a split that is not asked for"] += 1
        elif (row := _row(attempt, teacher_licence)) is None:
            counts.left_out["unreadable"] += 1
        elif (same := (attempt.task_hash, row["messages"][-1]["content"])) in seen:
            counts.left_out["the same again"] += 1
        else:
            seen.add(same)
            lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    counts.written = len(lines)
    partial = path.with_name(path.name + ".partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.write_text("".join(lines), encoding="utf-8")
    os.replace(partial, path)
    return counts


def _row(attempt: Cached, teacher_licence: str | None) -> dict[str, Any] | None:
    try:
        answer, source = json.loads(attempt.answer), json.loads(attempt.source)
        talk: Messages = answer["messages"]
        text = str(answer["text"])
    except (ValueError, KeyError, TypeError):
        return None
    return {
        "messages": [*talk, {"role": "assistant", "content": closed(text)}],
        "metadata": {
            "task": attempt.task_id,
            "task_hash": attempt.task_hash,
            "split": attempt.split,
            "source": source,
            "licence": source.get("licence"),
            "teacher": attempt.teacher,
            "teacher_licence": teacher_licence,
            "endpoint": attempt.place,
            "attempt": attempt.number,
            "sampling": answer.get("sampling"),
            "prompt_tokens": attempt.prompt_tokens,
            "completion_tokens": attempt.completion_tokens,
            "asked_at": attempt.asked_at,
            "verified": "its tests were run in the sandbox",
        },
    }


def closed(text: str) -> str:
    """The text with its last fence closed: the stop string that ends an answer is not in it."""
    text = text.rstrip()
    return f"{text}\n{_FENCE}" if text.count(_FENCE) % 2 else text
