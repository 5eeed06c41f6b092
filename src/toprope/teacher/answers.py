"""Raw answers that are already there, found again by the question they answer.

So a recording outlives a rebuilt taskset: where a task still asks the same question, the
text is judged anew and nobody asks the teacher twice. Knows nothing of endpoints.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from toprope.teacher.prompt import Messages, question_key
from toprope.teacher.rows import Answer, RecordingError, Row


class AnswerBank:
    """Answers by question, in the order in which they were given."""

    def __init__(self) -> None:
        self._answers: dict[str, list[Answer]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._answers.values()))

    def put(self, answer: Answer) -> None:
        """Keep one answer; the same text under the same settings is kept once."""
        kept = self._answers.setdefault(question_key(answer.messages), [])
        if all((a.text, a.sampling) != (answer.text, answer.sampling) for a in kept):
            kept.append(answer)

    def put_rows(self, rows: Iterable[Row]) -> None:
        """Keep the answers of recorded rows."""
        for row in sorted(rows, key=lambda row: row.index):
            self.put(row.answer)

    def put_raw(self, path: Path) -> None:
        """Keep the answers of a file of raw answers, one JSON object a line.

        A row holds `messages`, `text`, `usage` and `settings`, as a chat client logs them;
        `index`, `finish`, `seconds` and `system_fingerprint` where they are known. A cut last line
        is passed over.
        """
        found: list[tuple[int, Answer]] = []
        for number, line in enumerate(path.read_text().split("\n")[:-1], start=1):
            try:
                row = json.loads(line)
                found.append((int(row.get("index", 0)), _answer(row)))
            except (ValueError, KeyError, TypeError) as fault:
                raise RecordingError(
                    f"{path} line {number}: not a raw answer ({type(fault).__name__}: {fault}); "
                    "it needs messages, text, usage and settings"
                ) from None
        for _, answer in sorted(found, key=lambda item: item[0]):
            self.put(answer)

    def get(self, talk: Messages, index: int) -> Answer | None:
        """The answer that was given to this question the `index`-th time, or None."""
        kept = self._answers.get(question_key(talk), [])
        return kept[index] if index < len(kept) else None


def _answer(row: dict[str, object]) -> Answer:
    usage, settings, talk = row["usage"], row["settings"], row["messages"]
    if not (isinstance(usage, dict) and isinstance(settings, dict) and isinstance(talk, list)):
        raise TypeError("usage and settings must be objects, messages a list")
    return Answer(
        messages=talk,
        text=str(row["text"]),
        finish=str(row.get("finish") or "stop"),
        prompt_tokens=int(usage["prompt_tokens"]),
        completion_tokens=int(usage["completion_tokens"]),
        sampling=settings,
        seconds=float(str(row.get("seconds") or 0.0)),
        server=str(row.get("system_fingerprint") or ""),
    )
