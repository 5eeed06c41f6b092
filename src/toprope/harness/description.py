"""What a reader needs to speak to a trained student: prompt, form of the answer, limits.

Without the same prompt word for word the student is another model, so an export carries it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toprope.harness.dialect import Dialect
from toprope.harness.turns.dialects import TurnDialect

QUESTION = "{what goes wrong}\n\n{path}\n{its lines, numbered from 1, 5 characters wide}"


def describe(dialect: Dialect, *, max_tokens: int, dtype: str) -> dict[str, Any]:
    """Return the harness as plain data, for `harness.json` beside exported weights.

    `dtype` is the precision that the student was sampled in. In a dialect with a draft,
    `max_tokens` counts from the first token that departs from it, and generation is to be
    stopped after the first line that differs from the one shown.
    """
    system = {"role": "system", "content": dialect.SYSTEM}
    shown, answer = dialect.SHOTS[0]
    return {
        "dialect": dialect.DIALECT,
        "prompt": [system, {"role": "user", "content": dialect.QUESTION}],
        "answer": dialect.ANSWER,
        "stop": dialect.ENDING if dialect.DRAFTED else dialect.STOP,
        "example": {"messages": [system, {"role": "user", "content": shown}], "answer": answer},
        "limits": {"max_tokens": max_tokens, "temperature": 1.0, "dtype": dtype},
    }


def describe_turns(
    dialect: TurnDialect, *, settings: Mapping[str, Any], max_tokens: int, dtype: str
) -> dict[str, Any]:
    """Return the harness of a student that acts over turns; `settings` are those of its turns.

    Each turn ends with the tokenizer's end, and each observation is the next user message.
    """
    prompt = [{"role": "system", "content": dialect.SYSTEM}, {"role": "user", "content": QUESTION}]
    return {
        "dialect": f"{dialect.NAME}, over turns",
        "prompt": prompt,
        "answer": "one turn at a time; what comes of it is the next user message",
        "turns": dict(settings),
        "limits": {"max_tokens": max_tokens, "temperature": 1.0, "dtype": dtype},
    }
