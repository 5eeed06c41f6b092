"""From an answer's text to what is graded: the one road of samples and of endpoints' replies."""

from __future__ import annotations

from collections.abc import Mapping

from toprope.harness import lines
from toprope.terms import Outcome, Task, Verdict


def read_action(task: Task, text: str, stop: str) -> Mapping[str, str] | Verdict:
    """Return the changes that an answer asks for, or the verdict on one that is no action.

    `stop` says why the answer ended: "stop", or what cut it short.
    """
    try:
        if stop != "stop":
            raise lines.MalformedAction(f"the answer ended by {stop}")
        return lines.parse(text, task)
    except lines.MalformedAction as error:
        return Verdict(Outcome.MALFORMED, 0.0, str(error))
