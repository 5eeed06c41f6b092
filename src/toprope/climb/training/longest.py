"""The longest group that the settings permit, for trying whether memory holds a step on it."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nlargest
from typing import Any

from toprope.climb.config import ClimbConfig
from toprope.harness.dialect import DIALECTS
from toprope.harness.encode import draft_ids, prompt_ids
from toprope.learn.packing import GroupRow
from toprope.ledger.states import MASTER_DRAWS
from toprope.terms import Task

# Of so many tasks the longest few by characters are encoded; a prompt of a bigger pool that is
# longer yet is answered when it comes.
_LOOKED_AT, _ENCODED = 10_000, 8


def longest_row(
    tasks: Sequence[Task], tokenizer: Any, config: ClimbConfig, vocabulary: int
) -> GroupRow:
    """Return a group of the longest prompt, whose answers share its draft and nothing else.

    Each answer is as long as may be. The ids are made up: only their number matters. Over turns
    an episode is as long as its context, whatever its task.
    """
    if config.turns.dialect:
        return _row(1, config.turns.context - 1, config, vocabulary)
    dialect = DIALECTS[config.student.dialect]

    def characters(task: Task) -> int:
        return len(dialect.draft(task)) + sum(len(m["content"]) for m in dialect.messages(task))

    def tokens(task: Task) -> int:
        draft = draft_ids(tokenizer, dialect, task)
        return len(prompt_ids(tokenizer, dialect, task)) + len(draft.ids)

    some = nlargest(_ENCODED, tasks[:_LOOKED_AT], key=characters)
    length = max(map(tokens, some), default=1)
    return _row(length, config.student.max_tokens, config, vocabulary)


def _row(length: int, long: int, config: ClimbConfig, vocabulary: int) -> GroupRow:
    answers = max(config.climbing.group, MASTER_DRAWS)
    return GroupRow(
        prompt_ids=tuple(at % vocabulary for at in range(length)),
        completions=tuple(tuple((g + t) % vocabulary for t in range(long)) for g in range(answers)),
        advantages=(1.0,) * answers,
    )
