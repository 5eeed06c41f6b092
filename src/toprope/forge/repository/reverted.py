"""A repository's own commits taken back, the latest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from toprope.forge.repository.history import Commit, files_at, read_history
from toprope.forge.repository.reverting import revert
from toprope.forge.repository.workbench import Workbench, taken
from toprope.terms import Task


def revert_commits(
    bench: Workbench, limit: int, allowed: Collection[str]
) -> tuple[list[Task], int, Counter[str]]:
    """Return at most `limit` tasks in the order of their dates, how many commits are left, and
    how many could not be tried at all, with a word for why.

    `allowed` paths may look as if they held secrets.
    """
    folder = bench.repository.folder
    history = read_history(folder, bench.suite.paths)
    usable = history.commits
    tried = 0

    def attempt(commit: Commit) -> Task | str:
        before, after = files_at(folder, f"{commit.id}~1"), files_at(folder, commit.id)
        return revert(commit, before, after, bench.repository, bench.suite, bench.sandbox,
                      allowed)  # fmt: skip

    def tell(done: int, found: int) -> None:
        bench.tell(f"{done} of {len(usable)} commits", found, limit)

    found: list[Task] = []
    answers = bench.answers(reversed(usable), lambda commit: commit.id, attempt)
    for _, tasks in taken(answers, limit, tell):
        tried += 1
        found += tasks
    return found[::-1], len(usable) - tried, history.unusable
