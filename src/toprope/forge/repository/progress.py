"""What a make has decided so far, on disk: a kill costs only what was under way.

One JSON line per candidate, below a first line that names everything the answers depend on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toprope.tasks import from_row, to_row
from toprope.terms import Task, Tree


@dataclass(frozen=True)
class Answer:
    """What became of one candidate: a task, or the word for why not."""

    key: str
    word: str
    task: Task | None = None


@dataclass
class Progress:
    """The answers in the file at `path`; those of another make are thrown away."""

    path: Path
    depends: Mapping[str, Any]
    tree: Tree
    known: dict[str, Answer] = field(default_factory=dict)

    def open(self) -> Progress:
        """Read what is there, and begin the file anew if it belongs to something else."""
        lines = self.path.read_text().splitlines(keepends=True) if self.path.exists() else []
        whole = [line for line in lines if line.endswith("\n")]
        if not whole or json.loads(whole[0]) != {"make": dict(self.depends)}:
            whole = [json.dumps({"make": dict(self.depends)}) + "\n"]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("".join(whole))
        for line in whole[1:]:
            answer = self._read(json.loads(line))
            self.known[answer.key] = answer
        return self

    def add(self, answer: Answer) -> None:
        """Keep an answer."""
        self.known[answer.key] = answer
        row = {"key": answer.key, "word": answer.word}
        if answer.task:
            row["task"] = to_row(answer.task)  # type: ignore[assignment]
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def _read(self, row: dict[str, Any]) -> Answer:
        task = row.get("task")
        trees = {self.tree.hash: self.tree}
        return Answer(
            row["key"], row["word"], from_row(task, str(self.path), trees) if task else None
        )
