"""A failing test as a task: the same words that a climb's tasks are made of.

The tests are the user's own and stay to be seen; that they cannot be changed by an attempt is
the grader's doing.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, replace

from toprope.forge.repository.bugs import UNTOUCHABLE, editable
from toprope.forge.repository.places import is_test
from toprope.grading.pytest_ids import find_function, path_of, without_parameters
from toprope.solve.bench import Bench
from toprope.solve.failing import CannotBegin, Failing
from toprope.solve.shorn import Shorn, shear
from toprope.solve.suspects import Suspect
from toprope.solve.wording import in_trained_form, told_briefly, told_in_full
from toprope.terms import Focus, Source, Split, Suite, Task

_SLOWER = 4.0  # times what the tests took before, and a little more
_LEAST_S = 5.0
_NAMED = 5
_POINTED = (
    " The tests are right and may not be changed.\n\n"
    "The failing tests call, the most suspicious first:\n"
)


@dataclass(frozen=True)
class Brief:
    """What a student of one answer is shown: one function, shorn, and one line of words.

    `task` is the task as it stands in the repository, `shown` the one to be asked about.
    """

    task: Task
    shown: Task
    shorn: Shorn
    score: float


def brief_of(bench: Bench, failing: Failing, suspect: Suspect) -> Brief:
    """Return a suspect as a student was trained to see functions."""
    site = suspect.site
    focus = Focus(site.path, site.first, site.last)
    task = _task(bench, failing, focus, site.name, _words(failing, suspect))
    shorn = shear(site.path, bench.repository.tree.files[site.path], focus)
    shown = replace(task, files={site.path: shorn.text}, focus=shorn.focus)
    return Brief(task, shown, shorn, suspect.score)


def _words(failing: Failing, suspect: Suspect) -> str:
    """What goes wrong, from the failing test that tells most of the suspect in the fewest words."""
    name = suspect.site.name.rpartition(".")[2]
    calling = set(failing.red).intersection(suspect.site.tests)
    told = {test: told_briefly(test, failing.texts[test], name) for test in calling}

    def order(test: str) -> tuple[bool, bool, int, str]:
        line = told[test]
        return not line.startswith(f"{name}("), not in_trained_form(line), len(line), test

    return told[min(told, key=order)]


def full_task(bench: Bench, failing: Failing, suspects: Sequence[Suspect]) -> Task:
    """Return the task for a model over turns: the report, and where the tests point.

    Without a suspect it is shown the failing test itself.
    """
    test = failing.shortest
    statement = told_in_full(test, failing.texts[test], len(failing.red))
    if suspects:
        named = [f"{s.site.path}:{s.site.first} {s.site.name}" for s in suspects[:_NAMED]]
        statement += _POINTED + "\n".join(named)
        site = suspects[0].site
        focus = Focus(site.path, site.first, site.last)
        return _task(bench, failing, focus, site.name, statement)
    return _task(bench, failing, _of_test(bench, test), "", statement)


def required(task: Task, failing: Failing, *, whole: bool) -> Task:
    """Return the task graded by the failing tests alone, or by them and all that passed before."""
    assert task.suite
    names = (*failing.red, *(failing.green if whole else ()))
    paths = tuple(dict.fromkeys(path_of(name) for name in names))
    spent = sum(failing.seconds.get(name, 0.0) for name in names)
    limit = min(task.suite.timeout_s, round(_LEAST_S + _SLOWER * spent, 1))
    suite = replace(task.suite, paths=paths, timeout_s=limit)
    return replace(task, pass_to_pass=failing.green if whole else (), suite=suite)


def _task(bench: Bench, failing: Failing, focus: Focus, name: str, statement: str) -> Task:
    repository = bench.repository
    tree = repository.tree
    tests = dict.fromkeys(path_of(test) for test in (*failing.red, *failing.green))
    known = {path: tree.files[path] for path in tests if path in tree.files}
    suite: Suite = replace(bench.suite, files=known)
    odd = [path for path in (*tests, *bench.generated) if not is_test(path)]
    return Task(
        id=f"{repository.name}/{focus.path}:{name}",
        split=Split.TRAIN,
        tier=None,
        statement=statement,
        files={focus.path: tree.files[focus.path]},
        focus=focus,
        editable=(*editable(tree), *UNTOUCHABLE, *(f"!{path}" for path in odd)),
        entry="",
        calls=(),
        fail_to_pass=failing.red,
        pass_to_pass=(),
        solution={},
        source=Source(
            repository.name, repository.version, focus.path, focus.first, repository.licence,
            name, "",
        ),
        suite=replace(suite, paths=tuple(dict.fromkeys(map(path_of, failing.red)))),
        tree=tree,
    )  # fmt: skip


def _of_test(bench: Bench, test: str) -> Focus:
    """The lines of a test; the head of its file where they cannot be told."""
    path = path_of(test)
    text = bench.repository.tree.files.get(path)
    if text is None:
        raise CannotBegin(f"the file of {test} is not among the files that git does not ignore")
    try:
        found = find_function(ast.parse(text), without_parameters(test))
    except (SyntaxError, ValueError):
        found = None
    if found is None:
        return Focus(path, 1, min(120, text.count("\n") + 1))
    return Focus(path, found.lineno, found.end_lineno or found.lineno)
