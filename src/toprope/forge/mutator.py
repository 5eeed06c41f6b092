"""The no-model baseline: a uniform edit on a uniform line, with the forge's own operators.

Learning to undo our mutations is not learning to code; this says how far blind undoing
gets. For a broken function every edit that the operators can make is listed per line; a
line is drawn uniformly among the shown lines that have any, then an edit uniformly on it.
Most operators undo each other (`<` and `<=`, `and` and `or`, a wrong variable and the right
one). Where undoing would mean inventing code (a term, a filter or a call that is missing)
the baseline has no such edit, and fails.

The rate is exact, not sampled: each distinct edit is run once on the task's tests.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from toprope.forge.operators import edits
from toprope.forge.trial import outcomes
from toprope.sandbox.protocol import Sandbox
from toprope.terms import Task


def mutator_rate(tasks: Iterable[Task], sandbox: Sandbox) -> dict[str, float]:
    """Return the baseline's expected pass@1 on each task, by task id."""
    return {task.id: mutator_pass_probability(task, sandbox) for task in tasks}


def mutator_pass_probability(task: Task, sandbox: Sandbox) -> float:
    """Return the chance that one uniform edit on one uniform line repairs the task."""
    before, shown, after = _parts(task)
    by_line: dict[int, list[str]] = defaultdict(list)
    for edit, text in edits(shown):
        by_line[edit.line].append(before + text + after)
    if not by_line:
        return 0.0
    texts = [text for line in by_line.values() for text in line]
    calls = [call.args for call in task.calls]
    expected = [call.expect for call in task.calls]
    rows = outcomes(sandbox, task.entry, texts, calls)
    passing = {text for text, row in zip(texts, rows, strict=True) if row == expected}
    shares = [sum(text in passing for text in line) / len(line) for line in by_line.values()]
    return sum(shares) / len(shares)


def _parts(task: Task) -> tuple[str, str, str]:
    """Return the shown lines of the broken file, and what is above and below them."""
    lines = task.files[task.focus.path].splitlines(keepends=True)
    first, last = task.focus.first - 1, task.focus.last
    return "".join(lines[:first]), "".join(lines[first:last]), "".join(lines[last:])
