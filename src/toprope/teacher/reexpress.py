"""A verified final state becomes the student's action: minimised until one line differs.

Cosmetic differences (comments, quotes, blank lines, spacing) are dropped first; each
smaller state counts only if it verifies again. What needs more than one line cannot be
expressed, which is counted and never seeded. Knows nothing of how the state came about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from toprope.teacher.protocol import Express, Files
from toprope.teacher.spelling import in_spelling_of, meaning
from toprope.terms import Task

Verify = Callable[[Sequence[Files]], list[bool]]
MOST_SINGLE = 12  # single-line candidates that are graded, likeliest first
MOST_DROPS = 24  # gradings spent on dropping hunks


@dataclass(frozen=True, slots=True)
class Expressed:
    """The student's action, or None and the reason why there is none."""

    action: str | None
    why: str


@dataclass(frozen=True, slots=True)
class _Hunk:
    """Lines `first` to `last` (excluded) of the broken file become `new`."""

    first: int
    last: int
    new: tuple[str, ...]


def reexpress(task: Task, new_files: Files, verify: Verify, express: Express) -> Expressed:
    """Return the action that does what the verified `new_files` do.

    `verify` says for each candidate state whether it passes all of the task's tests.
    """
    path = task.focus.path
    if any(task.files.get(name) != text for name, text in new_files.items() if name != path):
        return Expressed(None, "changes another file than the one shown")
    before = task.files[path].split("\n")
    hunks = _hunks(before, new_files.get(path, task.files[path]).split("\n"))
    for state in _verified_single(task, before, hunks, verify):
        action = express(task, state)
        if action is not None:
            return Expressed(action, "one line")
    kept = _drop_needless(path, before, hunks, verify)
    action = express(task, {path: _apply(before, kept)})
    if action is not None:
        return Expressed(action, "one line")
    return Expressed(None, f"needs {sum(_size(hunk) for hunk in kept)} changed lines")


def _verified_single(
    task: Task, before: list[str], hunks: list[_Hunk], verify: Verify
) -> Iterator[Files]:
    """The states that change one line alone and verify, likeliest first."""
    candidates = [_Hunk(at, at + 1, (line,)) for hunk in hunks for at, line in _pairs(before, hunk)]
    candidates.sort(key=lambda hunk: -_alike(before[hunk.first], hunk.new[0]))
    spelt = [_spelt(before, hunk) for hunk in candidates[: MOST_SINGLE // 2]]
    tried = [hunk for pair in zip(spelt, candidates, strict=False) for hunk in pair]
    states = [{task.focus.path: _apply(before, [hunk])} for hunk in tried]
    if states:
        verdicts = verify(states)
        yield from (state for state, good in zip(states, verdicts, strict=True) if good)


def _spelt(before: list[str], hunk: _Hunk) -> _Hunk:
    """The hunk in the spelling of the line that it replaces."""
    return _Hunk(hunk.first, hunk.last, (in_spelling_of(before[hunk.first], hunk.new[0]),))


def _pairs(before: list[str], hunk: _Hunk) -> Iterator[tuple[int, str]]:
    """Which old line could have become which new line; in order if their numbers agree."""
    old = range(hunk.first, hunk.last)
    if len(old) == len(hunk.new):
        yield from zip(old, hunk.new, strict=True)
        return
    for at in old:
        for line in hunk.new:
            if line.strip() and _alike(before[at], line) > 0.5:
                yield at, line


def _drop_needless(path: str, before: list[str], hunks: list[_Hunk], verify: Verify) -> list[_Hunk]:
    """The hunks without which the state does not verify, found by dropping one at a time."""
    kept = list(hunks)
    for hunk in hunks[:MOST_DROPS]:
        fewer = [other for other in kept if other is not hunk]
        if fewer and verify([{path: _apply(before, fewer)}])[0]:
            kept = fewer
    return kept


def _hunks(before: list[str], after: list[str]) -> list[_Hunk]:
    """What differs in meaning, in small pieces; lines that say nothing are not compared."""
    old = [(at, key) for at, key in enumerate(map(meaning, before)) if key]
    new = [(at, key) for at, key in enumerate(map(meaning, after)) if key]
    matcher = SequenceMatcher(None, [k for _, k in old], [k for _, k in new], autojunk=False)
    hunks = []
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        lines = [after[at] for at, _ in new[j1:j2]]
        places = [at for at, _ in old[i1:i2]]
        if tag != "equal" and len(places) == len(lines):
            hunks += [_Hunk(at, at + 1, (line,)) for at, line in zip(places, lines, strict=True)]
        elif tag != "equal":
            first = old[i1][0] if i1 < len(old) else len(before)
            hunks.append(_Hunk(first, places[-1] + 1 if places else first, tuple(lines)))
    return hunks


def _apply(before: list[str], hunks: Sequence[_Hunk]) -> str:
    lines = list(before)
    for hunk in sorted(hunks, key=lambda hunk: -hunk.first):
        lines[hunk.first : hunk.last] = hunk.new
    return "\n".join(lines)


def _size(hunk: _Hunk) -> int:
    return max(hunk.last - hunk.first, len(hunk.new))


def _alike(old: str, new: str) -> float:
    return SequenceMatcher(None, old, new, autojunk=False).ratio()
