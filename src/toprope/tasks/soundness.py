"""What makes a task unusable before anything runs: each refusal says which field and why."""

from __future__ import annotations

from collections.abc import Iterator

from toprope.terms import PLAIN, PYTEST, Split, Task, TopropeError


class TaskFormatError(TopropeError):
    """A row that cannot become a task; the message says which line and what to change."""


def check(task: Task, where: str) -> None:
    """Refuse what would make every later number about this task meaningless."""
    for fault in _faults(task):
        raise TaskFormatError(f"{where}: {fault}")


def _faults(task: Task) -> Iterator[str]:
    if not task.fail_to_pass:
        yield "FAIL_TO_PASS is empty; a task needs at least one failing test"
    both = sorted({*task.fail_to_pass} & {*task.pass_to_pass})
    if both:
        yield f"tests {both} are both failing and passing; keep one"
    yield from _suite_faults(task) if task.suite else _call_faults(task)
    if task.focus.path not in task.files:
        yield f"focus names {task.focus.path!r}, which is not in `files`"
        return
    lines = task.files[task.focus.path].count("\n") + 1
    if not 1 <= task.focus.first <= task.focus.last <= lines:
        yield f"focus lines {task.focus.first}-{task.focus.last} are outside the file"
    if task.split is Split.HELDOUT and task.tier is None:
        yield "a heldout task needs a tier (near, mid or far)"


def _call_faults(task: Task) -> Iterator[str]:
    ids = [call.id for call in task.calls]
    if not ids:
        yield "it has no tests; give `tests` (path to text), or `entry` with `calls`"
    if len(set(ids)) != len(ids):
        yield "two calls share an id; make the ids of `calls` unique"
    unknown = sorted({*task.fail_to_pass, *task.pass_to_pass} - set(ids))
    if unknown:
        yield f"tests {unknown} are not among `calls`; add or drop them"


def _suite_faults(task: Task) -> Iterator[str]:
    assert task.suite
    if task.calls:
        yield "it has both `calls` and `tests`; a task has one grader, drop one of them"
    if task.suite.runner not in (PYTEST, PLAIN):
        yield f"tests.runner is {task.suite.runner!r}; it is {PYTEST!r} or {PLAIN!r}"
    known = {*task.suite.files, *task.start()}
    required = (*task.fail_to_pass, *task.pass_to_pass)
    for path in task.suite.paths:
        if path not in known and not any(name.startswith(f"{path}/") for name in known):
            yield f"tests.paths: {path!r} is neither in `tests` nor in the starting state"
    lost = sorted({name.partition("::")[0] for name in required} - known)
    if lost:
        yield (
            f"FAIL_TO_PASS or PASS_TO_PASS names {lost}, which are no files of `tests` or of the "
            "starting state; a test id is path::name"
        )
