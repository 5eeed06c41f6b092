"""From an answer's text to what is graded: the one road of samples and of endpoints' replies."""

from __future__ import annotations

from collections.abc import Mapping

from toprope.harness.dialect import Dialect
from toprope.harness.lines import MalformedAction
from toprope.terms import Outcome, Task, Verdict


def read_action(dialect: Dialect, task: Task, text: str, stop: str) -> Mapping[str, str] | Verdict:
    """Return the changes that an answer asks for, or the verdict on one that is no action.

    `stop` says why the answer ended: "stop", or what cut it short; "lost" is our failure.
    """
    if stop == "lost":
        return Verdict(Outcome.INFRA, 0.0, "the sampler gave no usable answer")
    try:
        if stop != "stop":
            raise MalformedAction(f"the answer ended by {stop}")
        return dialect.parse(text, task)
    except MalformedAction as error:
        return Verdict(Outcome.MALFORMED, 0.0, str(error))
