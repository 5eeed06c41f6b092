"""The `rewrite` dialect: what is shown, what is read, and what a fix is written as."""

from __future__ import annotations

import ast
import random
from dataclasses import replace

import pytest

from toprope.harness import lines, rewrite
from toprope.harness.description import describe
from toprope.harness.lines import MalformedAction
from toprope.tasks import load_taskset
from toprope.terms import Focus, Task

TASKS = load_taskset("default").tasks


@pytest.fixture(scope="module")
def task() -> Task:
    """A method: its lines are indented in the file."""
    one = next(t for t in TASKS if lines.shown_lines(t)[0].endswith(":"))
    body = "\n".join(f"    {line}" if line else "" for line in lines.shown_lines(one))
    focus = Focus(one.focus.path, 2, 1 + len(lines.shown_lines(one)))
    return replace(one, files={one.focus.path: f"class Holder:\n{body}\n"}, focus=focus)


def focus(task: Task, files: dict[str, str]) -> list[str]:
    return files[task.focus.path].split("\n")


def test_the_shown_lines_lose_their_common_indent_and_nothing_else(task: Task) -> None:
    shown = rewrite.draft(task)
    assert shown.startswith("def ")
    assert len(shown.split("\n")) == len(lines.shown_lines(task)) + 1
    assert rewrite.messages(task)[-1]["content"] == shown + task.statement
    assert rewrite.held(task).endswith("(")


@pytest.mark.parametrize("seed", range(3))
def test_every_reference_fix_reads_back_as_itself(seed: int) -> None:
    for one in random.Random(seed).sample(list(TASKS), 60):
        fixed = {**one.files, **one.solution}
        answer = rewrite.express(one, fixed)
        assert answer is not None
        assert answer.endswith("\n")
        assert rewrite.parse(answer, one) == {one.focus.path: fixed[one.focus.path]}


def test_a_copy_changes_nothing(task: Task) -> None:
    for text in (rewrite.draft(task), rewrite.draft(task).split("\n")[0]):
        for blanks in (text, text.replace("\n", " \n")):
            assert rewrite.parse(blanks, task) == {task.focus.path: task.files[task.focus.path]}


def test_an_answer_ends_after_the_first_line_that_differs(task: Task) -> None:
    first = rewrite.draft(task).split("\n")[0]
    assert rewrite.ended(f"{first}\n    return 1\n    more\n", task) == f"{first}\n    return 1\n"
    for open_ in (rewrite.draft(task), f"{first}\n    return 1", first, ""):
        assert rewrite.ended(open_, task) == open_


def test_only_the_first_line_that_differs_is_read(task: Task) -> None:
    shown = rewrite.draft(task).split("\n")
    answer = "\n".join([shown[0], "    return 1", "    nonsense ((("])
    before, after = focus(task, dict(task.files)), focus(task, rewrite.parse(answer, task))
    moved = [at for at, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    assert moved == [task.focus.first]  # the second shown line
    assert after[moved[0]] == " " * 8 + "return 1"


def test_an_answer_that_leaves_no_python_is_malformed(task: Task) -> None:
    for text in ("```python\n", "def other_name(:\n", "Sure! Here is the function:", ""):
        with pytest.raises(MalformedAction, match="head"):
            rewrite.parse(text, task)
    first = rewrite.draft(task).split("\n")[0]
    with pytest.raises(MalformedAction, match="no Python"):
        rewrite.parse(f"{first}\n    return (\n", task)


def test_the_worked_examples_are_answers_of_this_dialect() -> None:
    for question, answer in rewrite.SHOTS:
        body = question.rsplit("\n", 1)[0].split("\n")
        written = answer.rstrip("\n").split("\n")
        assert written[:-1] == body[: len(written) - 1]
        assert written[-1] != body[len(written) - 1]
        ast.parse("\n".join([*written, *body[len(written) :]]))


def test_the_description_tells_no_reader_to_stop_at_the_first_line() -> None:
    told = describe(rewrite, max_tokens=48, dtype="bfloat16")
    assert told["dialect"] == "rewrite"
    assert told["stop"] == rewrite.ENDING != describe(lines, max_tokens=48, dtype="x")["stop"]
    assert told["example"]["answer"] == rewrite.SHOTS[0][1]
