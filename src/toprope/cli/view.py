"""The live view of a climb: one table on a terminal, one line an iteration elsewhere."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from toprope.climb.status import Status

_STATES = ("unseen", "cold", "live", "mastered", "parked", "broken")
_EVERY_TIME = ("sampling", "learning", "looking at")  # what each iteration does, told by its line


class ClimbView:
    """Shows a run's status as it changes; a context manager."""

    def __init__(self, folder: Path, console: Console | None = None) -> None:
        self.console = console or Console()
        self.folder = folder
        self._rows: list[Status] = []
        self._now = Status(0, "starting")
        self._live: Live | None = None

    def __enter__(self) -> ClimbView:
        self.console.print(f"climbing in {self.folder} (Ctrl-C stops; the same command resumes)")
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, status: Status) -> None:
        """Take a new status: what is being done, or an iteration that was committed."""
        if status.doing == "committed":
            self._rows = [*self._rows, status][-12:]
            self.console.print(line(status), highlight=False)
        elif self._live is None and not status.doing.startswith(_EVERY_TIME):
            self.console.print(f"{_clock(status.seconds_spent)} {status.doing}", highlight=False)
        self._now = status
        if self._live is not None:
            self._live.update(self._table())

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        newest = self._rows[-1] if self._rows else self._now
        counts = "  ".join(f"{name} {newest.states.get(name, 0)}" for name in _STATES)
        table.add_row(Text(f"iteration {self._now.iteration}", style="bold"), self._now.doing)
        table.add_row("tasks", counts)
        table.add_row("time", f"{_clock(self._now.seconds_spent)} spent, {_left(self._now)}")
        return table


def line(status: Status) -> str:
    """Return an iteration in one line."""
    states = status.states
    parts = [
        f"{_clock(status.seconds_spent)} [{status.iteration:>3}]",
        f"cold {states.get('cold', 0)} live {states.get('live', 0)} "
        f"mastered {states.get('mastered', 0)}",
    ]
    if status.train_rate is not None:
        parts.append(
            f"train {status.train_rate:.0%} ({status.mixed_groups}/{status.groups} groups mixed)"
        )
    if status.dev_rate is not None:
        parts.append(f"dev {status.dev_rate:.0%}")
    if status.teacher_share is not None:
        parts.append(f"teacher {status.teacher_share:.0%}")
    if status.tokens_per_second is not None:
        parts.append(f"{status.tokens_per_second:.0f} tok/s")
    parts.append(_left(status))
    return "  ".join(parts)


def _left(status: Status) -> str:
    return "" if status.seconds_left is None else f"{_clock(max(0.0, status.seconds_left))} left"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:d}:{int(seconds) % 60:02d}"
