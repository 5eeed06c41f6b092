"""Where bugs can be put: the functions that tests call, and every edit the operators make there.

Text is spliced, so everything but the edited line stays as its author wrote it.
"""

from __future__ import annotations

import ast
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from toprope.forge.chance import chance
from toprope.forge.operators import Edit, edits
from toprope.forge.repository.baseline import Baseline
from toprope.forge.repository.places import is_test
from toprope.grading.pytest_ids import path_of

_LONGEST = 120  # lines of a function
_MOST_PER_FUNCTION = 12


@dataclass(frozen=True)
class Site:
    """One function that good tests call; `first` to `last` are its lines, decorators left out."""

    path: str
    name: str
    first: int
    last: int
    margin: str
    text: str
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Candidate:
    """One possible bug: an edit of a site's text, and the text it makes."""

    site: Site
    edit: Edit
    text: str

    @property
    def key(self) -> str:
        """A name that does not change when other candidates come or go."""
        edit = self.edit
        spelled = f"{edit.line}:{edit.start}:{edit.end}:{edit.new}:{self.site.text}"
        digest = hashlib.sha256(spelled.encode()).hexdigest()[:6]
        return f"{self.site.path}:{self.site.name}#{edit.operator}-{digest}"

    def mutated(self, whole: str) -> str:
        """The file's text with this bug in it."""
        lines = whole.split("\n")
        site = self.site
        new = [site.margin + line if line else line for line in self.text.split("\n")]
        return "\n".join([*lines[: site.first - 1], *new, *lines[site.last :]])


def find_sites(files: Mapping[str, str], baseline: Baseline) -> list[Site]:
    """Return the functions and methods that good tests call, in order of place."""
    tests = {path_of(name) for name in baseline.good}
    called = {path for path, _ in baseline.callers if path in files and path not in tests}
    paths = sorted(path for path in called if not is_test(path))
    return [site for path in paths for site in _sites(path, files[path], baseline)]


def candidates(sites: Sequence[Site], seed: str) -> list[Candidate]:
    """Return the bugs to try: operators and functions take turns, in a seeded order."""
    by_operator: dict[str, list[Candidate]] = defaultdict(list)
    for site in sites:
        mine = [Candidate(site, edit, text) for edit, text in edits(site.text)]
        for candidate in sorted(mine, key=lambda c: chance(seed, c.key))[:_MOST_PER_FUNCTION]:
            by_operator[candidate.edit.operator].append(candidate)
    for queue in by_operator.values():
        queue.sort(key=lambda c: chance(f"{seed}:turn", c.key))
    ordered = []
    while any(by_operator.values()):
        for name in sorted(by_operator):
            if by_operator[name]:
                ordered.append(by_operator[name].pop())
    return ordered


def _sites(path: str, text: str, baseline: Baseline) -> Iterator[Site]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return
    lines = text.split("\n")
    for name, node in _functions(tree, ""):
        top = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        tests = baseline.callers.get((path, top), ())
        last = node.end_lineno or node.lineno
        if not tests or last - node.lineno >= _LONGEST:
            continue
        margin = " " * node.col_offset
        shown = _without_margin(lines[node.lineno - 1 : last], margin)
        if shown is not None:
            yield Site(path, name, node.lineno, last, margin, shown, tests)


def _functions(node: ast.AST, above: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            yield f"{above}{child.name}", child
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{above}{child.name}.")
        elif isinstance(child, ast.If | ast.Try):
            yield from _functions(child, above)


def _without_margin(lines: Sequence[str], margin: str) -> str | None:
    """The lines moved to the left edge, or None where that cannot be undone exactly."""
    moved = [line.removeprefix(margin) for line in lines]
    back = [margin + line if line else line for line in moved]
    text = "\n".join(moved)
    if back != list(lines) or not text.isascii():
        return None
    try:
        body = ast.parse(text).body
    except SyntaxError:
        return None
    return text if len(body) == 1 and isinstance(body[0], ast.FunctionDef) else None
