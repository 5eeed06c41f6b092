"""What a teacher is asked, and what is taken from its answer."""

from __future__ import annotations

import dataclasses

import pytest

from grading_tasks import BAD, GOOD
from toprope.teacher.prompt import NoAnswer, extract, messages, question_key
from toprope.terms import Call, Focus, Source, Split, Task

BEFORE = "import math\n\n\n"
AFTER = "\n\ndef mean(values):\n    return sum(values) / len(values)\n"


def task_of(bad: str = BAD) -> Task:
    first = BEFORE.count("\n") + 1
    return Task(
        id="median",
        split=Split.TRAIN,
        tier=None,
        statement="median([4, 1, 3, 2]) returns 2.0, expected 2.5",
        files={"stats.py": BEFORE + bad + AFTER},
        focus=Focus("stats.py", first, first + bad.count("\n") - 1),
        editable=("stats.py",),
        entry="stats.py:median",
        calls=(Call("even", "([4, 1, 3, 2],)", "2.5"),),
        fail_to_pass=("even",),
        pass_to_pass=(),
        solution={"stats.py": BEFORE + GOOD + AFTER},
        source=Source("invented", "1", "stats.py", 1, "Apache-2.0", "median", "none"),
    )


def test_the_question_shows_the_function_and_the_failing_example_but_no_fix() -> None:
    talk = messages(task_of())
    assert BAD.strip() in talk[-1]["content"]
    assert "expected 2.5" in talk[-1]["content"]
    assert "half - 1]" not in talk[-1]["content"]
    assert "def mean" not in talk[-1]["content"]


@pytest.mark.parametrize(
    "answer",
    [
        f"```python\n{GOOD}```",
        f"```python\n{GOOD}",
        f"Here it is:\n\n```\n{GOOD}```\nI fixed the index.",
        GOOD,
        f"{GOOD}\nThe wrong index was used.",
        "```python\n" + "".join(f"        {line}\n" for line in GOOD.splitlines()) + "```",
        "```python\n" + GOOD.replace("    ", "  ") + "```",
        f"```python\nimport math\n\n{GOOD}\n\ndef other(x):\n    return x\n```",
        f"```python\nprint(1)\n```\nor rather\n```python\n{GOOD}```",
    ],
    ids=[
        "block", "unclosed", "prose", "bare", "trailing", "indented", "two-spaces", "module",
        "second-block",
    ],
)  # fmt: skip
def test_the_function_is_found_however_it_is_wrapped(answer: str) -> None:
    task = task_of()
    assert extract(answer, task) == {"stats.py": BEFORE + GOOD + AFTER}


@pytest.mark.parametrize("answer", ["", "I cannot.", "```python\ndef mode(v):\n    return v\n```"])
def test_an_answer_without_the_function_is_no_answer(answer: str) -> None:
    with pytest.raises(NoAnswer, match="median"):
        extract(answer, task_of())


def test_decorators_stay_the_tasks_own() -> None:
    bad = "@staticmethod\n" + BAD
    changed = extract(f"```python\n@cache\n{GOOD}```", task_of(bad))
    assert changed["stats.py"] == BEFORE + "@staticmethod\n" + GOOD + AFTER


def test_the_key_of_a_question_changes_with_what_is_asked_and_with_nothing_else() -> None:
    task = task_of()
    same = dataclasses.replace(task, id="renamed", calls=())
    other = dataclasses.replace(task, statement="median([1]) returns 2, expected 1")
    assert question_key(messages(task)) == question_key(messages(same))
    assert question_key(messages(task)) != question_key(messages(other))


def test_what_precedes_the_question_does_not_change_its_key() -> None:
    talk = messages(task_of())
    assert question_key(talk) == question_key([{"role": "system", "content": "other"}, talk[-1]])
