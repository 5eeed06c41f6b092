"""Text to token ids, once: prompts through the chat template, answers as they stand.

Student tokens are never decoded and encoded again; only prompts, drafts and a teacher's
actions pass through here. Actions are kept in the `lines` form, whoever wrote them, and
become text of the student's own dialect here. Knows a tokenizer's interface, not a model.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from toprope.harness import lines
from toprope.harness.dialect import Dialect
from toprope.terms import Task, TopropeError


class Draft(NamedTuple):
    """The answer that changes nothing; every answer keeps the first `held` of its tokens."""

    ids: tuple[int, ...]
    held: int


def prompt_ids(
    tokenizer: Any, dialect: Dialect, task: Task, *, granted: bool = False, shown: str = ""
) -> tuple[int, ...]:
    """Return the ids of an episode's prompt, up to where the model starts to answer.

    `shown` is help that stands after the statement: a hint, or feedback.
    """
    if shown:
        task = replace(task, statement=f"{task.statement}\n{shown}")
    text = tokenizer.apply_chat_template(
        dialect.messages(task, granted=granted), tokenize=False, add_generation_prompt=True
    )
    return _encode(tokenizer, text)


def draft_ids(tokenizer: Any, dialect: Dialect, task: Task) -> Draft:
    """Return the draft that a dialect's answers depart from; empty where they do not."""
    ids = _encode(tokenizer, dialect.draft(task))
    held = _encode(tokenizer, dialect.held(task))
    return Draft(ids, _alike(ids, held))


def departure(
    tokenizer: Any, dialect: Dialect, task: Task, action: str, ids: tuple[int, ...] = ()
) -> int:
    """Return which token of an answer is the first that leaves the shown text.

    `ids` are the answer's own where it was sampled; else the action is encoded.

    The tokens before it copy; this one decides. It is the last one if nothing departs.
    """
    ids = ids or answer_ids(tokenizer, dialect, task, action)
    copy = _encode(tokenizer, dialect.unchanged(task, action))
    return min(_alike(ids, copy), len(ids) - 1)


def answer_ids(tokenizer: Any, dialect: Dialect, task: Task, action: str) -> tuple[int, ...]:
    """Return the ids of a verified action (`N|line`) as an answer in a dialect, with its end.

    Raises:
        TopropeError: the action has no form in this dialect.
    """
    text = _text(dialect, task, action)
    if text is None:
        raise TopropeError(f"{task.id}: {action!r} has no form in dialect {dialect.DIALECT}")
    ids = _encode(tokenizer, text)
    return ids if dialect.DRAFTED else (*ids, int(tokenizer.eos_token_id))


def begun_ids(
    tokenizer: Any, dialect: Dialect, task: Task, action: str, keep: int
) -> tuple[int, ...]:
    """Return the first `keep` ids of a verified action as an answer in a dialect."""
    return answer_ids(tokenizer, dialect, task, action)[:keep]


def answer_length(tokenizer: Any, dialect: Dialect, task: Task, action: str) -> int:
    """Return how many ids a verified action has as an answer, without an end token."""
    return len(answer_ids(tokenizer, dialect, task, action)) - (not dialect.DRAFTED)


def has_form(dialect: Dialect, task: Task, action: str) -> bool:
    """Return whether a verified action (`N|line`) can be written as an answer in a dialect."""
    return _text(dialect, task, action) is not None


def _text(dialect: Dialect, task: Task, action: str) -> str | None:
    return action if dialect is lines else dialect.express(task, lines.parse(action, task))


def _encode(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(tokenizer.encode(text, add_special_tokens=False)) if text else ()


def _alike(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Return how many tokens two texts begin with in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
