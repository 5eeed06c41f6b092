"""Where an action departs from the line it corrects, in the student's own tokens."""

from __future__ import annotations

import pytest

from micro_world import make_tasks, make_tokenizer
from toprope.harness import lines
from toprope.harness.encode import answer_ids, departure
from toprope.terms import Task

TOKENIZER = make_tokenizer()


@pytest.fixture(scope="module")
def task() -> Task:
    return make_tasks(train=1)[0]


def with_line(task: Task, number: int, line: str) -> str:
    return f"{number}|{line}"


def test_the_first_token_that_the_shown_line_would_not_have_had(task: Task) -> None:
    shown = lines.shown_lines(task)[0]
    same = with_line(task, 1, shown)
    assert lines.unchanged(task, with_line(task, 1, "0")) == same
    ids = answer_ids(TOKENIZER, lines, task, same)
    for at in range(len("1|"), len(ids) - 1):
        place = at - len("1|")
        other = "1" if shown[place] != "1" else "2"
        changed = with_line(task, 1, shown[:place] + other + shown[place + 1 :])
        assert departure(TOKENIZER, lines, task, changed) == at


def test_a_line_cut_short_departs_at_its_end_and_a_copy_nowhere(task: Task) -> None:
    shown = lines.shown_lines(task)[0]
    cut = with_line(task, 1, shown[:-1])
    assert (
        departure(TOKENIZER, lines, task, cut) == len(answer_ids(TOKENIZER, lines, task, cut)) - 1
    )
    same = with_line(task, 1, shown)
    assert (
        departure(TOKENIZER, lines, task, same) == len(answer_ids(TOKENIZER, lines, task, same)) - 1
    )
