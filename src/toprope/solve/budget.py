"""What solving may use, and has used: attempts, sampled tokens, seconds. All limits are hard."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Limits:
    """`tokens` are sampled ones and `seconds` wall time, over all attempts; `turns` of each.

    0 `attempts` is the usual number for the dialect.
    """

    attempts: int = 0
    tokens: int = 40_000
    seconds: float = 900.0
    turns: int = 12


@dataclass
class Budget:
    """Counts against limits, from when it is made."""

    limits: Limits
    attempts: int = 0
    prompt_tokens: int = 0
    sampled_tokens: int = 0
    begun: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Wall time since it was made."""
        return time.monotonic() - self.begun

    @property
    def tokens_left(self) -> int:
        """How many tokens may still be sampled."""
        return max(0, self.limits.tokens - self.sampled_tokens)

    @property
    def seconds_left(self) -> float:
        """How much wall time is left."""
        return max(0.0, self.limits.seconds - self.seconds)

    @property
    def used_up(self) -> str:
        """The name of the limit that is reached, or ""."""
        if self.attempts >= self.limits.attempts:
            return "attempts"
        if not self.tokens_left:
            return "tokens"
        return "" if self.seconds_left else "seconds"

    def spend(self, prompt_tokens: int, sampled_tokens: int) -> None:
        """Count one call of a model."""
        self.prompt_tokens += prompt_tokens
        self.sampled_tokens += sampled_tokens
