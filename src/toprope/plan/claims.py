"""Sentences that people say about chips, with the numbers that hold them up or break them.

Verdicts follow from the numbers of the tables at hand, so another chip file or tariff may
change them. It must not know how they are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from toprope.plan import sentences
from toprope.plan.chips import Chip
from toprope.plan.nearest import did_you_mean
from toprope.plan.ranges import Range
from toprope.plan.sentences import Evidence
from toprope.terms import TopropeError


class UnknownClaim(TopropeError):
    """A claim by no known name: the nearest one."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence and its evidence."""

    key: str
    sentence: str
    evidence: tuple[Evidence, ...]

    @property
    def verdict(self) -> str:
        """`holds`, `breaks`, or `holds in part` where the numbers go both ways."""
        sides = {one.holds for one in self.evidence}
        return "holds in part" if len(sides) == 2 else "holds" if True in sides else "breaks"

    @property
    def tally(self) -> str:
        """How many of its numbers hold it up."""
        return f"{sum(one.holds for one in self.evidence)} of {len(self.evidence)} numbers for it"


_Evaluate = Callable[[Mapping[str, Chip], Range], list[Evidence]]

SENTENCES: dict[str, tuple[str, _Evaluate]] = {
    "count": (
        "A slower chip differs from a faster one only in how many you need for the same FLOPs.",
        sentences.count,
    ),
    "models": (
        "A slower chip has no effect on what models you can run.",
        sentences.models,
    ),
    "price": ("Some already pay six times the price per FLOP.", sentences.price),
    "nodes": (
        "Older process nodes only mean more chips and more electricity.",
        sentences.nodes,
    ),
    "electricity": ("Cheap electricity makes up for it.", sentences.electricity),
    "behind": ("The rival is two to four years behind.", sentences.behind_two_to_four),
    "far-behind": ("The rival is seven to ten years behind.", sentences.behind_seven_to_ten),
    "inference": (
        "Dedicated inference chips have overtaken GPUs.",
        sentences.inference,
    ),
    "h800": ("The H800 is an H100 made worse.", sentences.h800),
    "h200": ("The H200 is more powerful than the H100.", sentences.h200),
    "950": ("The Ascend 950 is as good as an H200.", sentences.ascend_950),
}


def claims(chips: Mapping[str, Chip], per_kwh: Range, only: tuple[str, ...] = ()) -> list[Claim]:
    """Return the sentences with their evidence. Raises `UnknownClaim` with the nearest name."""
    for name in only:
        if name not in SENTENCES:
            where = f"claims are {', '.join(SENTENCES)}"
            raise UnknownClaim(f"no claim {name!r}; {did_you_mean(name, SENTENCES, where)}")
    return [
        Claim(key, sentence, tuple(evaluate(chips, per_kwh)))
        for key, (sentence, evaluate) in SENTENCES.items()
        if not only or key in only
    ]
