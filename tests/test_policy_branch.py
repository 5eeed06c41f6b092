"""Departures from a draft: found and continued exactly as plain forward passes would."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from tiny_models import FAMILIES, tiny_model
from toprope.policy import attention
from toprope.policy.branch import MOST_IN_A_LINE, MOST_TOKENS, Brancher, Draft

VOCABULARY = 64
NEWLINE = 7
TEXTS: list[str | None] = [f"<{i}>" for i in range(VOCABULARY)]
TEXTS[NEWLINE] = "\n"
TEXTS[0] = None


def anywhere(before: str, piece: str) -> bool:
    return True


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest) -> Any:
    made = tiny_model(request.param, vocabulary=VOCABULARY)
    made.set_attn_implementation(attention.NAME)
    return made.eval()


def drafts(seed: int = 0) -> list[Draft]:
    rng = random.Random(seed)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(rng.randrange(1, VOCABULARY) for _ in range(count))

    return [Draft(ids(length), (*ids(5), NEWLINE, *ids(6))) for length in (3, 17, 9)]


def plain_logits(model: Any, ids: tuple[int, ...]) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=torch.tensor([ids])).logits[0, -1]
    return logits


def greedy_line(model: Any, ids: tuple[int, ...]) -> list[int]:
    found = [ids[-1]]
    while TEXTS[found[-1]] not in (None, "\n") and len(found) < MOST_TOKENS:
        found.append(int(plain_logits(model, ids + tuple(found[1:])).argmax()))
    return found


def test_every_departure_is_what_plain_passes_give(model: Any) -> None:
    asked = drafts()
    for draft, group in zip(
        asked, Brancher(model, TEXTS).branches(asked, 4, anywhere), strict=True
    ):
        assert len(group) == 4
        for branch in group:
            before = draft.prompt_ids + draft.ids[: branch.cut]
            chances = torch.softmax(plain_logits(model, before), dim=-1)
            assert branch.ids[0] != draft.ids[branch.cut]
            assert branch.chance == pytest.approx(float(chances[branch.ids[0]]), rel=1e-3)
            assert branch.ids == greedy_line(model, (*before, branch.ids[0]))


def test_the_likeliest_come_first_and_lines_share(model: Any) -> None:
    for group in Brancher(model, TEXTS).branches(drafts(1), 6, anywhere):
        chances = [branch.chance for branch in group]
        assert chances == sorted(chances, reverse=True)
        lines = [branch.cut > 5 for branch in group]
        assert max(lines.count(True), lines.count(False)) <= MOST_IN_A_LINE


def test_a_place_that_is_not_allowed_is_passed_over(model: Any) -> None:
    def second_line(before: str, piece: str) -> bool:
        return "\n" in before and piece != "<5>"

    for group in Brancher(model, TEXTS).branches(drafts(2), 3, second_line):
        assert group
        assert all(branch.cut > 5 and branch.ids[0] != 5 for branch in group)


def test_nowhere_allowed_gives_nothing(model: Any) -> None:
    asked = drafts(3)
    found = Brancher(model, TEXTS).branches(asked, 3, lambda before, piece: False)
    assert found == [[], [], []]
