"""Where there is no terminal, a long climb still says what it is at."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from toprope.cli.view import ClimbView
from toprope.climb.status import Status


def told(*statuses: Status) -> list[str]:
    """Return the lines that a log file gets."""
    file = io.StringIO()
    with ClimbView(Path("runs/x"), Console(file=file, width=120)) as view:
        for status in statuses:
            view.show(status)
    return file.getvalue().splitlines()[1:]


def test_a_log_names_what_takes_long_in_any_iteration() -> None:
    lines = told(
        Status(1, "imitating 64 demonstrations", seconds_spent=70),
        Status(1, "held-out after seeding: 120 tasks", seconds_spent=130),
        Status(9, "the frozen base, given the same draws", seconds_spent=700),
    )
    assert lines == [
        "1:10 imitating 64 demonstrations",
        "2:10 held-out after seeding: 120 tasks",
        "11:40 the frozen base, given the same draws",
    ]


def test_what_every_iteration_does_is_told_by_its_one_line() -> None:
    lines = told(
        Status(4, "looking at the cold tasks"),
        Status(4, "sampling 80 episodes"),
        Status(4, "learning"),
        Status(4, "committed", states={"cold": 3, "live": 2}, seconds_left=61),
    )
    assert lines == ["0:00 [  4]  cold 3 live 2 mastered 0  1:01 left"]
