"""Where actions are done: each gives an observation, in words that help the next turn.

Files are read and written through the session; nothing an attempt does here reaches the
grader but its changes to editable files.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Protocol

from toprope.grading.verdict import is_editable
from toprope.harness.turns.actions import (
    Action,
    Bash,
    Replace,
    RunTests,
    Search,
    SetLines,
    Submit,
    View,
)  # fmt: skip
from toprope.harness.turns.places import Misplaced, closest, placed
from toprope.harness.turns.state import handed_in
from toprope.sandbox.protocol import Result
from toprope.terms import InfraError, Task, TopropeError

_VIEWED = 120  # lines
_HITS = 30
_LONGEST_LINE = 200
_CLOCK = re.compile(r" in \d+\.\d+s( \(\d+:\d\d:\d\d\))?")  # of a test run's last line


class Room(Protocol):
    """What a desk needs of a session."""

    def run(self, command: str, seconds: float) -> Result:
        """Run a command line in the workspace."""

    def write(self, path: str, text: str) -> None:
        """Make this the whole text of a file."""

    def changed(self) -> dict[str, str | None]:
        """The files that differ from the start, None for those that are gone."""


class Desk:
    """One attempt's workspace. `seconds` bounds each command.

    `files` are all that the session began with, where that is not the task's start.
    """

    def __init__(
        self, task: Task, session: Room, seconds: float, files: Mapping[str, str] | None = None
    ) -> None:
        self.task = task
        self.session = session
        self.seconds = seconds
        self.begun = task.start() if files is None else dict(files)
        self.files = dict(self.begun)

    def do(self, action: Action) -> str:
        """Do it and return what is to be seen; a fault of the action is an observation, too.

        Raises `InfraError`: a fault of ours is not shown to a model.
        """
        try:
            return self._do(action)
        except InfraError:
            raise
        except (Misplaced, TopropeError) as fault:
            return f"Error: {fault}"

    def changes(self) -> dict[str, str]:
        """The editable files that differ from the start; what else was changed does not count."""
        self.look_again()
        return handed_in(self.task, self.files)

    def look_again(self) -> None:
        """See what commands have changed."""
        self.files = dict(self.begun)
        for path, text in self.session.changed().items():
            if text is None:
                self.files.pop(path, None)
            else:
                self.files[path] = text

    def _do(self, action: Action) -> str:
        match action:
            case View(path, first, last):
                return self._view(path, first, last)
            case Search(text, path):
                return self._search(text, path)
            case SetLines(path, first, last, text):
                return self._set_lines(path, first, last, text)
            case Replace(path, old, new):
                return self._replace(path or self.task.focus.path, old, new)
            case RunTests():
                return self._test()
            case Bash(command):
                return self._bash(command)
            case Submit():
                return ""

    def _view(self, path: str, first: int, last: int) -> str:
        lines = self._text(path).split("\n")
        last = min(last or len(lines), len(lines), first + _VIEWED - 1)
        if first > len(lines):
            return f"{path} has {len(lines)} lines."
        shown = [f"{at:5} {lines[at - 1][:_LONGEST_LINE]}" for at in range(max(1, first), last + 1)]
        rest = f"\n({len(lines)} lines in all)" if last < len(lines) or first > 1 else ""
        return f"{path}\n" + "\n".join(shown) + rest

    def _search(self, text: str, path: str) -> str:
        hits = [
            f"{name}:{at}: {line.strip()[:_LONGEST_LINE]}"
            for name, whole in sorted(self.files.items())
            if path in name and text in whole
            for at, line in enumerate(whole.split("\n"), 1)
            if text in line
        ]
        if not hits:
            return f"Nothing has {text!r} in it."
        more = f"\n({len(hits) - _HITS} more)" if len(hits) > _HITS else ""
        return "\n".join(hits[:_HITS]) + more

    def _set_lines(self, path: str, first: int, last: int, text: str) -> str:
        lines = self._text(path).split("\n")
        if not 1 <= first <= last <= len(lines):
            return f"Error: {path} has lines 1 to {len(lines)}; {first} to {last} are not there."
        new = text.split("\n") if text else []
        self._write(path, "\n".join([*lines[: first - 1], *new, *lines[last:]]))
        return self._view(path, max(1, first - 3), first + len(new) + 2)

    def _replace(self, path: str, old: str, new: str) -> str:
        if not old.strip() and path not in self.files:
            self._write(path, new + "\n")
            return f"{path} was made."
        text = self._text(path)
        begin, end = placed(text, old, path)
        self._write(path, text[:begin] + new + text[end:])
        first = text.count("\n", 0, begin) + 1
        return self._view(path, max(1, first - 3), first + new.count("\n") + 3)

    def _test(self) -> str:
        suite = self.task.suite
        seen = [path for path in suite.paths if path in self.files] if suite else []
        if suite is None or not seen:
            return "There are no tests to be seen; read the statement again."
        words = ["python", "-m", "pytest", "-q", "--no-header", "--tb=short", "-p",
                 "no:cacheprovider", "-o", "addopts=", *suite.args, *seen]  # fmt: skip
        folders = ":".join(f"$PWD/{folder}" if folder else "$PWD" for folder in suite.imports)
        # How long it took is no news, and would make equal turns unequal.
        return _CLOCK.sub("", self._bash(f'PYTHONPATH="{folders}" {shlex.join(words)}'))

    def _bash(self, command: str) -> str:
        result = self.session.run(command, self.seconds)
        self.look_again()
        said = result.stdout.decode("utf-8", "replace").rstrip()
        ended = "" if result.status == "exited" and not result.returncode else f"\n({result.why})"
        return (said or "(no output)") + ended

    def _text(self, path: str) -> str:
        if path in self.files:
            return self.files[path]
        near = closest(path, self.files)
        raise Misplaced(f"there is no file {path!r}{f'; did you mean {near}?' if near else ''}")

    def _write(self, path: str, text: str) -> None:
        if not is_editable(path, self.task):
            allowed = ", ".join(glob for glob in self.task.editable if glob[0] != "!")
            raise Misplaced(f"{path} may not be changed; these may: {allowed}")
        self.session.write(path, text)
        self.files[path] = text
