"""Draws the forgetting suite at the current policy version and notes what was foreseen.

Whether something was forgotten is judged in `ledger/forgetting.py`. Nothing here changes the
policy, and no text of the suite reaches the learner.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

from toprope.climb.crew import Crew
from toprope.climb.texts import Text, Texts
from toprope.ledger import forgetting, queries
from toprope.policy.nexttoken import Foresight, Reading, foresee

LONGEST = 512  # tokens of a text that are read


def draw(crew: Crew, iteration: int) -> None:
    """Note, per text, how many tokens the policy foresees; nothing where there is no suite."""
    suite = crew.suite
    if suite is None:
        return
    learner = crew.learner
    with crew.meters.phase("eval"):
        readings = read(suite, learner.tokenizer)
        found, work = foresee(learner.model, readings)
    crew.meters.count(
        "eval",
        processed_tokens=work.tokens,
        flops=learner.shape.forward(work.positions, work.pairs, work.logits),
    )
    rows = zip(suite.texts, found, strict=True)
    texts = {t.id: [t.kind, *told(one)] for t, one in rows if one.tokens}
    value = {"suite": suite.hash, "version": crew.version, "texts": texts}
    crew.ledger.note(iteration, forgetting.NOTE, value)


def draw_seeded(crew: Crew, iteration: int) -> None:
    """Draw it between the last seed and the first RL step, once, where anything was seeded."""
    if crew.version and len(queries.notes(crew.ledger.db, forgetting.NOTE)) < 2:
        draw(crew, iteration)


def told(one: Foresight) -> list[float | None]:
    """Return what a note keeps of a text; a likelihood that is no number is None."""
    return [one.right, one.tokens, one.nats if isfinite(one.nats) else None]


def read(suite: Texts, tokenizer: Any) -> list[Reading]:
    """Return the texts as ids: answers after their question in the chat template."""
    return [_reading(text, tokenizer) for text in suite.texts]


def _reading(text: Text, tokenizer: Any) -> Reading:
    if not text.question:
        return Reading(_encode(tokenizer, text.text)[:LONGEST], 1)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": text.question}], tokenize=False, add_generation_prompt=True
    )
    given = _encode(tokenizer, asked)
    answer = _encode(tokenizer, text.text)[: max(0, LONGEST - len(given))]
    return Reading(given + answer, len(given))


def _encode(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(tokenizer.encode(text, add_special_tokens=False))
