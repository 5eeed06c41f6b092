"""Text to token ids, once: prompts through the chat template, actions as they stand.

Student tokens are never decoded and encoded again; only prompts and a teacher's actions
pass through here. Knows a tokenizer's interface, not a model.
"""

from __future__ import annotations

from typing import Any

from toprope.harness import lines
from toprope.terms import Task


def prompt_ids(tokenizer: Any, task: Task, *, granted: bool = False) -> tuple[int, ...]:
    """Return the ids of an episode's prompt, up to where the model starts to answer."""
    text = tokenizer.apply_chat_template(
        lines.messages(task, granted=granted), tokenize=False, add_generation_prompt=True
    )
    return tuple(tokenizer.encode(text, add_special_tokens=False))


def departure(tokenizer: Any, task: Task, action: str) -> int:
    """Return which token of an action is the first that the shown line would not have had.

    The tokens before it copy; this one decides. It is the last one if nothing departs.
    """
    ids = action_ids(tokenizer, action)
    copy = action_ids(tokenizer, lines.unchanged(task, action))
    pairs = enumerate(zip(ids, copy, strict=False))
    return next((at for at, (one, other) in pairs if one != other), len(ids) - 1)


def action_ids(tokenizer: Any, action: str) -> tuple[int, ...]:
    """Return the ids of a teacher's action in the student's tokens, its end token included."""
    return (*tokenizer.encode(action, add_special_tokens=False), tokenizer.eos_token_id)
