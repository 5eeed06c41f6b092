"""Another's message told as a student would say it: its actions alone, as the dialect spells them.

What a teacher says around its actions is not for a small student to learn. Knows no teacher.
"""

from __future__ import annotations

from collections.abc import Callable

from toprope.harness.turns.actions import (
    Action,
    Bash,
    Replace,
    RunTests,
    Search,
    SetLines,
    Submit,
    Unreadable,
    View,
)
from toprope.harness.turns.bash_dialect import STOP_WORDS
from toprope.harness.turns.dialects import TurnDialect


def told_plainly(dialect: TurnDialect, message: str) -> str:
    """Return a message with its actions alone, as the dialect spells them.

    The message itself where it holds none, or where they would not be read as the same actions.
    """
    try:
        actions = dialect.read(message)
        plain = "\n".join(_spelt(dialect, one) for one in actions)
        return plain if dialect.read(plain) == actions else message
    except Unreadable:
        return message


def _spelt(dialect: TurnDialect, one: Action) -> str:
    if isinstance(one, Submit):
        return _fenced(f"echo {STOP_WORDS}") if dialect.NAME == "bash" else "submit"
    return _SPELT[type(one)](one)


def _view(one: View) -> str:
    if not one.last:
        return f"view {one.path}" + (f" {one.first}" if one.first > 1 else "")
    return f"view {one.path} {one.first} {one.last}"


def _set_lines(one: SetLines) -> str:
    body = f"{one.text}\n" if one.text else ""
    return f"edit {one.path} {one.first} {one.last}\n{body}end"


def _replace(one: Replace) -> str:
    return f"{one.path}\n<<<<<<< SEARCH\n{one.old}\n=======\n{one.new}\n>>>>>>> REPLACE"


def _fenced(command: str) -> str:
    return f"```bash\n{command}\n```"


_SPELT: dict[type, Callable[..., str]] = {
    View: _view,
    Search: lambda one: f"search {one.text}",
    SetLines: _set_lines,
    Replace: _replace,
    RunTests: lambda one: "test",
    Bash: lambda one: _fenced(one.command),
}
