"""What an endpoint refuses of the usual settings, learned from its answer and remembered.

Some take `max_completion_tokens` in place of `max_tokens`; some draw at one temperature only;
some know no `seed` or `stop`. It must not know how a request is sent.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from typing import Any

LIMIT, OTHER_LIMIT = "max_tokens", "max_completion_tokens"
_STATUSES = (400, 422)
_NEVER = ("model", "messages")
# Also ordinary words: only the name of a setting where it is quoted.
_WORDS = ("stop", "seed")


class Refusals:
    """The settings that one endpoint does not take; may be used from several threads."""

    def __init__(self) -> None:
        self.dropped: list[str] = []
        self.limit = LIMIT
        self._lessons: set[str] = set()
        self._limits_refused: set[str] = set()
        self._lock = threading.Lock()

    def fit(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings as this endpoint takes them, as far as is known."""
        kept = {name: value for name, value in settings.items() if name not in self.dropped}
        if LIMIT in kept:
            kept[self.limit] = kept.pop(LIMIT)
        return kept

    def learn(self, status: int, text: str, sent: Mapping[str, Any]) -> tuple[str, bool]:
        """What a refusal of `sent` teaches, in words, and whether that is new.

        No words if it names none of its settings; after words, the same question is worth
        asking again.
        """
        name = _named(text, sent) if status in _STATUSES else None
        with self._lock:
            lesson = self._lesson(name) if name else ""
            new = lesson not in self._lessons
            self._lessons.add(lesson)
            return lesson, new

    def _lesson(self, name: str) -> str:
        if name not in (LIMIT, OTHER_LIMIT):
            if name not in self.dropped:
                self.dropped.append(name)
            return f"the endpoint takes no {name}; it is asked without"
        self._limits_refused.add(name)
        other = OTHER_LIMIT if name == LIMIT else LIMIT
        if other in self._limits_refused:
            return ""  # it is the number that is refused, not its name
        self.limit = other
        return f"the endpoint takes {other} in place of {name}"


def _named(text: str, sent: Mapping[str, Any]) -> str | None:
    """The setting among `sent` that a refusal names first."""
    known = [name for name in sent if name not in _NEVER]
    told = _param(text)
    if told in known:
        return told
    places = {}
    for name in known:
        mark = rf"['\"`]{name}\\?['\"`]" if name in _WORDS else rf"(?<![a-z_]){name}(?![a-z_])"
        if found := re.search(mark, text):
            places[name] = found.start()
    return min(places, key=lambda name: places[name], default=None)


def _param(text: str) -> str | None:
    """What the usual form of an error, `{"error": {"param": …}}`, says of it."""
    try:
        error = json.loads(text)["error"]
        return str(error["param"]).rsplit(".", 1)[-1]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
