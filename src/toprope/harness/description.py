"""What a reader needs to speak to a trained student: prompt, form of the answer, limits.

Without the same prompt word for word the student is another model, so an export carries it.
"""

from __future__ import annotations

from typing import Any

from toprope.harness import lines


def describe(*, max_tokens: int, dtype: str) -> dict[str, Any]:
    """Return the harness as plain data, for `harness.json` beside exported weights.

    `dtype` is the precision that the student was sampled in.
    """
    shown, answer = lines.SHOTS[0]
    return {
        "dialect": lines.DIALECT,
        "prompt": [
            {"role": "system", "content": lines.SYSTEM},
            {"role": "user", "content": "{the lines, numbered from 1: N|line}\n{what goes wrong}"},
        ],
        "answer": "N|new text of line N",
        "stop": lines.STOP,
        "example": {
            "messages": [
                {"role": "system", "content": lines.SYSTEM},
                {"role": "user", "content": shown},
            ],
            "answer": answer,
        },
        "limits": {"max_tokens": max_tokens, "temperature": 1.0, "dtype": dtype},
    }
