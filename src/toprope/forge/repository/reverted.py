"""A repository's own commits taken back, the latest first."""

from __future__ import annotations

from toprope.forge.repository.history import Commit, commits, files_at
from toprope.forge.repository.reverting import revert
from toprope.forge.repository.workbench import Workbench, taken
from toprope.terms import Task


def revert_commits(bench: Workbench, limit: int) -> tuple[list[Task], int]:
    """Return at most `limit` tasks in the order of their dates, and how many commits are left."""
    folder = bench.repository.folder
    history = commits(folder)
    tried = 0

    def attempt(commit: Commit) -> Task | str:
        before, after = files_at(folder, f"{commit.id}~1"), files_at(folder, commit.id)
        return revert(commit, before, after, bench.repository, bench.suite, bench.sandbox)

    def tell(done: int, found: int) -> None:
        bench.tell(f"{done} of {len(history)} commits", found, limit)

    found: list[Task] = []
    answers = bench.answers(reversed(history), lambda commit: commit.id, attempt)
    for _, tasks in taken(answers, limit, tell):
        tried += 1
        found += tasks
    return found[::-1], len(history) - tried
