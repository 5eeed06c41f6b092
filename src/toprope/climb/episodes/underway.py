"""An episode over turns that is under way: its tokens, its files, what it has used so far."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from toprope.harness.turns.act import CHANGES, SUBMITTED, Acted
from toprope.harness.turns.play import Turn, TurnLimits, exceeded
from toprope.harness.turns.stream import Stream
from toprope.terms import Outcome, Task, Verdict

LOST, CRASHED, SILENT = "lost", "crashed", "silent"
ENDS = {
    "turns": Verdict(Outcome.LIMIT, 0.0, "ran out of turns (turns.most)"),
    "tokens": Verdict(Outcome.LIMIT, 0.0, "ran out of tokens (turns.tokens)"),
    "context": Verdict(Outcome.LIMIT, 0.0, "ran out of context (turns.context)"),
    "seconds": Verdict(Outcome.TIMEOUT, 0.0, "ran out of time (turns.seconds)"),
    CHANGES: Verdict(Outcome.LIMIT, 0.0, "changed more files than can be told"),
    "malformed": Verdict(Outcome.MALFORMED, 0.0, "said nothing that is an action"),
    CRASHED: Verdict(Outcome.FAILED, 0.0, "ended the sandbox's worker twice"),
    LOST: Verdict(Outcome.INFRA, 0.0, "a turn could not be sampled or done"),
    SILENT: Verdict(Outcome.INFRA, 0.0, "the teacher that had taken over gave no more turns"),
}
"""What episodes are worth that ended without handing anything in; `lost` and `silent` are ours."""


class UnderWay:
    """One episode: `number` names its random numbers, `cut` says that its last turn was cut off.

    `files` is what it has changed so far, packed; `end` is "" while it goes on.
    """

    def __init__(
        self, task: Task, id: str, number: str, prompt_ids: tuple[int, ...], *, end: str = ""
    ) -> None:
        self.task, self.id, self.number, self.end = task, id, number, end
        self.stream = Stream(prompt_ids)
        self.files: Mapping[str, Any] = {}
        self.turns: list[Turn] = []
        self.said: tuple[int, ...] = ()
        self.seconds, self.cut = 0.0, False

    @property
    def handed_in(self) -> bool:
        """Whether there is something to grade."""
        return self.end == SUBMITTED

    def renamed(self, id: str) -> UnderWay:
        """Return an episode that goes on from here under another name, and forgets this one."""
        other = UnderWay(self.task, id, id, self.stream.prompt_ids, end=self.end)
        other.stream.see(self.stream.ids)
        other.files, other.turns, other.said = self.files, list(self.turns), self.said
        other.seconds = self.seconds
        return other

    def turn_name(self, name: str) -> str:
        """Return the name of its next turn, from its id or its random numbers' name."""
        return f"{name}#{len(self.turns)}"

    def key(self, what: str) -> str:
        """Return the journal's key of what is done now: of all that was said and seen, too."""
        seen = hashlib.sha256(repr(self.stream.context).encode()).hexdigest()[:16]
        return f"{what}:{self.turn_name(self.id)}:{seen}"

    def say(self, ids: Sequence[int], logprobs: Sequence[float] | None = None) -> None:
        """Add a turn's own tokens."""
        self.said = tuple(ids)
        self.stream.say(ids, logprobs)

    def hear(self, ids: Sequence[int]) -> None:
        """Add a turn that is read and not learned from: what another said, or must not be said."""
        self.said = tuple(ids)
        self.stream.see(ids)

    def take(self, text: str, acted: Acted | None, limits: TurnLimits) -> None:
        """Add what became of a turn (None: we failed to do it), and end where a limit is met."""
        if acted is None:
            self.end = LOST
            return
        turn = Turn(text, acted.actions, acted.observation, len(self.said))
        self.turns.append(turn)
        self.files, self.seconds = acted.files, self.seconds + acted.seconds
        self.end = acted.end or exceeded(self.turns, limits, self.seconds)

    def transcript(self) -> str:
        """Return the episode in words: what was said and what was shown, turn by turn."""
        told = []
        for at, turn in enumerate(self.turns, 1):
            told.append(
                f"[turn {at}, {turn.tokens} tokens] {', '.join(turn.actions) or 'no action'}"
            )
            told += [turn.text, "[shown]", turn.observation] if turn.observation else [turn.text]
        return "\n".join([*told, f"[{self.end}]"])
