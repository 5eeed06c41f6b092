"""A verified final state told as turns of a dialect: look, change, hand in.

What a teacher did in its own form becomes what the student would have said to do the same;
whether that is so is found by doing it. Knows no teacher and no tokens.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher

from toprope.harness import lines
from toprope.harness.turns.actions import Submit, Unreadable
from toprope.harness.turns.bash_dialect import STOP_WORDS
from toprope.harness.turns.dialects import TURN_DIALECTS
from toprope.harness.turns.places import occurrences
from toprope.harness.turns.state import handed_in, packed, unpacked
from toprope.terms import Task

_AROUND = 4  # lines that are looked at on either side of a change
_MARK = "END_OF_LINES"


@dataclass(frozen=True, slots=True)
class _Edit:
    """Lines `first` to `last` of a file, 1-based and both included, become `new`."""

    path: str
    first: int
    last: int
    new: tuple[str, ...]


def express(task: Task, new_files: Mapping[str, str]) -> str | None:
    """Return a final state as an action: `N|line` where that is enough, else its changes as JSON.

    None where nothing editable differs from the task's start.
    """
    short = lines.express(task, new_files)
    if short is not None:
        return short
    changed = handed_in(task, {**task.start(), **new_files})
    return json.dumps(packed(task, {**task.start(), **changed})) if changed else None


def final_files(task: Task, action: str) -> dict[str, str]:
    """Return the changed files (path to whole new text) that an action of `express` stands for."""
    if action.startswith("{"):
        return handed_in(task, unpacked(task, json.loads(action)))
    return lines.parse(action, task)


def retold(dialect: str, task: Task, action: str) -> list[str] | None:
    """Return the messages of a student that does what an action does, or None if it has no way.

    Files can be changed, not made; a change whose text a dialect would read as its own signs
    has no form in it.
    """
    said = finishing(dialect, task, task.start(), action)
    return said if said is not None and said[1:] else None


def finishing(dialect: str, task: Task, files: Mapping[str, str], action: str) -> list[str] | None:
    """Return the messages of one who goes on from `files` to what an action does, and hands in.

    Every editable file that is not as the action leaves it is mended, whoever changed it; where
    nothing is left to mend it is only handed in. None where it has no way, as in `retold`.
    """
    try:
        wanted = final_files(task, action)
    except lines.MalformedAction:
        return None
    goal, told = {**task.start(), **wanted}, _DIALECTS[dialect]
    paths = {*wanted, *handed_in(task, files), *(goal.keys() - files.keys())}
    said = []
    for path in sorted(path for path in paths if files.get(path) != goal.get(path)):
        if path not in files or path not in goal:
            return None
        edits = _edits(path, files[path], goal[path])
        said.append(told.view(edits[-1]))  # the topmost
        text = files[path]
        for edit in edits:
            said.append(told.edit(edit, text))
            text = _applied(edit, text)
        if text != goal[path]:
            return None
    said.append(told.submit)
    return said if all(_reads(dialect, one) for one in said) else None


def _edits(path: str, before: str, after: str) -> list[_Edit]:
    """What differs, from the bottom up, so that no edit moves the lines of the next."""
    old, new = before.split("\n"), after.split("\n")
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    found = []
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag == "equal":
            continue
        blank = not any(new[k:m])  # empty lines alone would read as none
        if (i == j or (blank and k < m)) and i > 0:
            i, k = i - 1, k - 1
        elif i == j or (blank and k < m):
            j, m = j + 1, m + 1
        found.append(_Edit(path, i + 1, j, tuple(new[k:m])))
    return found[::-1]


def _applied(edit: _Edit, text: str) -> str:
    old = text.split("\n")
    return "\n".join([*old[: edit.first - 1], *edit.new, *old[edit.last :]])


def _reads(dialect: str, message: str) -> bool:
    """Whether a message is read as the one action that it was written for."""
    try:
        actions = TURN_DIALECTS[dialect].read(message)
    except Unreadable:
        return False
    return len(actions) == 1 and (isinstance(actions[0], Submit) or not message.endswith("submit"))


def _view(edit: _Edit) -> str:
    return f"view {edit.path} {max(1, edit.first - _AROUND)} {edit.last + _AROUND}"


def _set_lines(edit: _Edit, text: str) -> str:
    body = "".join(f"{line}\n" for line in edit.new)
    return f"edit {edit.path} {edit.first} {edit.last}\n{body}end"


def _block(edit: _Edit, text: str) -> str:
    """A search text of the changed lines, with as many around them as make it the only one."""
    old = text.split("\n")
    first, last = edit.first - 1, edit.last
    while first > 0 or last < len(old):
        wanted = "\n".join(old[first:last])
        if len(occurrences(text, wanted)) == 1 and (
            edit.new or last - first > edit.last - edit.first + 1
        ):
            break
        first, last = max(0, first - 1), min(len(old), last + 1)
    new = [*old[first : edit.first - 1], *edit.new, *old[edit.last : last]]
    sought = "\n".join(old[first:last])
    written = "\n".join(new)
    return f"{edit.path}\n<<<<<<< SEARCH\n{sought}\n=======\n{written}\n>>>>>>> REPLACE"


def _shell(command: str) -> str:
    return f"```bash\n{command}\n```"


def _sed_view(edit: _Edit) -> str:
    first, last = max(1, edit.first - _AROUND), edit.last + _AROUND
    return _shell(f"sed -n {first},{last}p {shlex.quote(edit.path)}")


def _sed_edit(edit: _Edit, text: str) -> str:
    """A file is lines that end: at its end, the empty text after the last one is none."""
    path, new = shlex.quote(edit.path), shlex.quote(edit.path + ".new")
    old = text.split("\n")
    kept, body, rest = edit.first - 1, list(edit.new), f"; tail -n +{edit.last + 1} {path}"
    if edit.last == len(old):
        whole = [*old[:kept], *edit.new]
        kept, rest = min(kept, len(whole) - 1), ""
        body = whole[kept:-1]
    written = "".join(f"{line}\n" for line in body)
    parts = f"head -n {kept} {path}; cat{rest}"
    return _shell(f"{{ {parts}; }} > {new} <<'{_MARK}'\n{written}{_MARK}\nmv {new} {path}")


@dataclass(frozen=True, slots=True)
class _Telling:
    """How a dialect looks at an edit's place, makes it in the file as it is, and hands in."""

    view: Callable[[_Edit], str]
    edit: Callable[[_Edit, str], str]
    submit: str


_DIALECTS = {
    "lines": _Telling(_view, _set_lines, "submit"),
    "blocks": _Telling(_view, _block, "submit"),
    "bash": _Telling(_sed_view, _sed_edit, _shell(f"echo {STOP_WORDS}")),
}
