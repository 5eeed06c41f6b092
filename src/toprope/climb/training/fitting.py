"""Chooses how the learner's steps are cut so that memory holds them, and keeps each choice.

The longest step that the settings permit is weighed or tried before anything is spent. A step
that memory does not hold is taken again in smaller pieces. Choices lie in the run's journal by
iteration and step, so that a resumed run cuts every step as it was cut before, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from toprope.climb.episodes.journal import Unkept
from toprope.climb.meters import Meters
from toprope.learn.fit import Fit
from toprope.learn.footprint import Footprint, mask_bytes, weigh
from toprope.learn.packing import GroupRow
from toprope.learn.step import rehearse
from toprope.policy.device import (
    CPU,
    free_memory,
    give_memory_back,
    memory_ran_out,
    on_device,
)
from toprope.terms import TopropeError

Say = Callable[[str], None]
Took = TypeVar("Took")
KEY = "learner-fit:"
_SHARE = 0.8  # of the free memory of a CPU, which sampler, sandbox and others share


class DoesNotFit(TopropeError):
    """Memory does not hold a step, however it is cut."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """How steps are cut from the `step`-th of an iteration on."""

    iteration: int
    step: int
    fit: Fit


class Fitting:
    """The choices of a run, and the answer to memory that runs out."""

    def __init__(self, first: Fit, model: Any, optimiser: Any, meters: Meters) -> None:
        self.model, self.optimiser, self.meters = model, optimiser, meters
        self.device = next(model.parameters()).device
        self.kept: Any = Unkept()
        self.say: Say = lambda text: None
        self._choices = [_Choice(-1, 0, first)]
        self._at = (-1, 0)

    def open(self, kept: Any, say: Say, longest: Callable[[], GroupRow]) -> None:
        """Take over a run's choices from its journal, or make the first one.

        `longest` makes the longest row that the settings permit.

        Raises:
            DoesNotFit: no way of cutting it fits.
        """
        self.kept, self.say = kept, say
        while found := kept.journal_get([f"{KEY}{len(self._choices) - 1:04d}"]):
            (value,) = found.values()
            self._choices.append(_Choice(value["iteration"], value["step"], Fit(**value["fit"])))
        if len(self._choices) == 1:
            self._try(longest())
        self.say(f"learner: {self._choices[-1].fit.told()}")

    def take(self, rows: Sequence[GroupRow], step: Callable[[Fit], Took]) -> Took:
        """Return what `step` returns, taken as it fits; one that fails is taken again, smaller.

        Raises:
            DoesNotFit: memory ran out however the step was cut; the weights are untouched.
        """
        iteration = self.meters.iteration
        self._at = (iteration, self._at[1] + 1 if self._at[0] == iteration else 0)
        while True:
            fit = self._now()
            try:
                return step(fit)
            except (RuntimeError, MemoryError) as error:
                if not memory_ran_out(error):
                    raise
            self._make_room()
            self._choose(self._smaller(fit, rows))
            self.say(f"learner: memory ran out, so from here on {self._now().told()}")

    def _now(self) -> Fit:
        """Return how this step is cut: the last choice that was made up to it."""
        past = [one for one in self._choices if (one.iteration, one.step) <= self._at]
        return past[-1].fit

    def _choose(self, fit: Fit) -> None:
        number = len(self._choices) - 1
        choice = _Choice(*self._at, fit)
        self._choices.append(choice)
        self.kept.journal_put({f"{KEY}{number:04d}": asdict(choice)})

    def _smaller(self, fit: Fit, rows: Sequence[GroupRow], needed: str = "") -> Fit:
        smaller = fit.smaller(rows)
        if smaller is None:
            raise DoesNotFit(
                f"a training step does not fit in memory even as one answer at a time with "
                f"layers computed again{needed}: choose a smaller student.model, set "
                "student.lora_rank (32) to train adapters only, lower student.max_tokens, or free "
                "memory; whatever is committed is safe"
            )
        return smaller

    def _make_room(self) -> None:
        self.optimiser.forget()
        give_memory_back(self.device)

    def _try(self, row: GroupRow) -> None:
        """Make the first choice: weighed on a CPU, which kills; tried on a device that refuses."""
        fit = self._choices[0].fit
        width = row.width
        rows = [row] * max(1, fit.most_tokens // width)
        with on_device(self.model):
            fit = (self._weighed if self.device.type == CPU else self._tried)(rows, fit)
        self._choose(fit)

    def _weighed(self, rows: Sequence[GroupRow], fit: Fit) -> Fit:
        free = free_memory(self.device)
        weighed = dict[tuple[int, int], Footprint]()
        while free is not None:
            piece = max(fit.pieces(rows), key=lambda one: one[0].width * len(one))
            needs, alike = mask_bytes(piece), (piece[0].width, len(piece))
            if needs <= _SHARE * free:
                if alike not in weighed:
                    weighed[alike] = weigh(self.model, piece)
                needs = weighed[alike].of(fit)
            if needs <= _SHARE * free:
                return fit
            told = f" (it needs {needs / 1e9:.1f} GB more, and {free / 1e9:.1f} GB are free)"
            fit = self._smaller(fit, rows, told)
        return fit

    def _tried(self, rows: Sequence[GroupRow], fit: Fit) -> Fit:
        while True:
            try:
                rehearse(self.model, self.optimiser, rows, fit)
                return fit
            except (RuntimeError, MemoryError) as error:
                if not memory_ran_out(error):
                    raise
            self._make_room()
            fit = self._smaller(fit, rows)
