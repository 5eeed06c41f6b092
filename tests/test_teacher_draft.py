"""A draft gives the function back; a departure changes one line of it."""

from __future__ import annotations

from toprope.tasks import load_taskset
from toprope.teacher.draft import departed, draft, may_depart
from toprope.teacher.prompt import extract
from toprope.terms import Split

TEXT = "```python\ndef f(a, b):\n    c = a - b\n    return c\n```"


def test_an_undeparted_draft_is_the_task_unchanged() -> None:
    for task in load_taskset("default").split(Split.TRAIN)[:40]:
        assert extract(draft(task), task)[task.focus.path] == task.files[task.focus.path]


def test_a_departure_replaces_the_rest_of_its_line_and_no_other() -> None:
    before = "```python\ndef f(a, b):\n    c = a"
    assert departed(TEXT, before, " + b\n    return 5") == (
        "```python\ndef f(a, b):\n    c = a + b\n    return c"
    )
    assert departed(TEXT, before, "\n") == "```python\ndef f(a, b):\n    c = a\n    return c"
    last = "```python\ndef f(a, b):\n    c = a - b\n    return "
    assert departed(TEXT, last, "a") == "```python\ndef f(a, b):\n    c = a - b\n    return a"


def test_departures_begin_in_code() -> None:
    head = "```python\ndef f"
    assert not may_depart("```python\n", "class")
    assert not may_depart(head, "g")
    assert may_depart(head + "(a, ", "c")
    body = head + "(a, b):\n"
    assert may_depart(body, "    x")
    assert not may_depart(body + "    ", "# so")
    assert not may_depart(body + "    ", '"""')
    assert not may_depart(body + "    c = a\n", "```")
    assert not may_depart(body, "\n")
    assert may_depart(body + "    c = a", "\n")
