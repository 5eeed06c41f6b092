"""What a make has decided so far, on disk: a kill costs only what was under way.

One JSON line per candidate, below a first line that names everything the answers depend on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toprope.forge.repository.baseline import Baseline
from toprope.tasks import from_row, make_tree, to_row
from toprope.terms import Task, Tree

INFRA = "infra"


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
    baseline: Baseline | None = None
    before: int = 0  # answers of earlier sittings

    def __post_init__(self) -> None:
        self._trees = {self.tree.hash: self.tree}

    def open(self) -> Progress:
        """Read what is there, and begin the file anew if it belongs to something else."""
        lines = self.path.read_text().splitlines(keepends=True) if self.path.exists() else []
        whole = [line for line in lines if line.endswith("\n")]
        if not whole or json.loads(whole[0]) != {"make": dict(self.depends)}:
            whole = [json.dumps({"make": dict(self.depends)}) + "\n"]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("".join(whole))
        for row in map(json.loads, whole[1:]):
            if "good" in row:
                callers = {(path, line): tuple(names) for path, line, names in row["callers"]}
                self.baseline = Baseline(row["good"], callers, row["bad"])
            else:
                answer = self._read(row)
                self.known[answer.key] = answer
        self.before = len(self.known)
        return self

    def keep_baseline(self, baseline: Baseline) -> Baseline:
        """Keep what the tests did, so that a make that goes on starts from the same."""
        callers = [[*place, list(names)] for place, names in baseline.callers.items()]
        self._append({"good": dict(baseline.good), "callers": callers, "bad": dict(baseline.bad)})
        return baseline

    def add(self, answer: Answer) -> None:
        """Keep an answer; one that we failed to find is asked for again another time."""
        self.known[answer.key] = answer
        if answer.word == INFRA:
            return
        row: dict[str, Any] = {"key": answer.key, "word": answer.word}
        tree = answer.task.tree if answer.task else None
        if tree and tree.hash not in self._trees:
            self._trees[tree.hash] = tree
            row["files"] = dict(tree.files)
        if answer.task:
            row["task"] = to_row(answer.task)
        self._append(row)

    def _append(self, row: dict[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def _read(self, row: dict[str, Any]) -> Answer:
        if "files" in row:
            tree = make_tree(row["files"])
            self._trees[tree.hash] = tree
        task = row.get("task")
        read = from_row(task, str(self.path), self._trees) if task else None
        return Answer(row["key"], row["word"], read)
