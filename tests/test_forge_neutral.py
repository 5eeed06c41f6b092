"""Renaming what a function calls its own: nothing else changes, and the task still holds."""

from __future__ import annotations

import pytest

from toprope.climb.comparing.evaluate import Evaluation, evaluate
from toprope.climb.comparing.renamed import make_twins
from toprope.forge.neutral import neutral
from toprope.sandbox import open_sandbox
from toprope.tasks import make_taskset
from toprope.terms import Call, Focus, Source, Split, Suite, Task, Tier

HELPER = "LIMIT = 3\ndef clip(value, limit=LIMIT):\n    return min(value, limit)\n"
BROKEN = (
    "def total(values, limit=LIMIT):\n"
    "    found = 1\n"
    "    for value in values:\n"
    "        found += clip(value, limit=limit)\n"
    "    return found\n"
)


MATCHES = "def f(a):\n    match a:\n        case P(a=1):\n            pass\n"


def task_of(broken, fixed, *, prelude=HELPER, statement=None, suite=None, calls=None):
    name = broken.split("(")[0].removeprefix("def ")
    first = prelude.count("\n") + 1
    calls = (Call("c0", "([1, 5],)", "4"), Call("c1", "([],)", "0")) if calls is None else calls
    return Task(
        id=f"t/{name}", split=Split.HELDOUT, tier=Tier.NEAR,
        statement=statement or f"{name}([]) returns 1, expected 0",
        files={"m.py": prelude + broken},
        focus=Focus("m.py", first, first + broken.count("\n") - 1), editable=("m.py",),
        entry=f"m.py:{name}", calls=calls, fail_to_pass=tuple(c.id for c in calls), pass_to_pass=(),
        solution={"m.py": prelude + fixed}, source=Source("p", "1", "m.py", 1, "MIT", name, "o"),
        suite=suite,
    )  # fmt: skip


def shown(task):
    lines = task.files["m.py"].split("\n")
    return "\n".join(lines[task.focus.first - 1 : task.focus.last]) + "\n"


def total(**changes):
    return task_of(BROKEN, BROKEN.replace("found = 1", "found = 0"), **changes)


def renamed(body, prelude="", **changes):
    """The function as it is shown after renaming; its fix is another number."""
    return shown(neutral(task_of(body, body.replace("1", "2"), prelude=prelude, **changes)))


def test_parameters_locals_and_the_function_get_names_that_say_nothing():
    twin = neutral(total())
    assert shown(twin) == (
        "def fn(v0, v1=LIMIT):\n"
        "    v2 = 1\n"
        "    for v3 in v0:\n"
        "        v2 += clip(v3, limit=v1)\n"  # the helper's own parameter keeps its name
        "    return v2\n"
    )
    assert twin.files["m.py"].startswith(HELPER)
    assert twin.solution["m.py"] == twin.files["m.py"].replace("v2 = 1", "v2 = 0")
    assert (twin.entry, twin.statement) == ("m.py:fn", "fn([]) returns 1, expected 0")
    assert (twin.id, twin.calls, twin.focus) == (total().id, total().calls, total().focus)


def test_names_that_the_file_knows_are_not_taken():
    assert "def fn_(v0_, v1" in renamed("def f(a, b):\n    return v0(a, fn) + b + 1\n")


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ("def f(a):\n    c = a + 1\n    return f'{c}'\n", "    return f'{c}'"),
        ("def f(a, b=b):\n    return a + b + 1\n", "def fn(v0, b=b):"),
        ("def f(a):\n    [len for len in a]\n    return len(a) + 1\n", "return len(v0) + 1"),
        ("def f(a, n=1):\n    return f(a.n, n=n - 1)\n", "return fn(v0.n, n=n - 1)"),
        ("def f(a):\n    def g(x=1):\n        return x\n    return g(x=a)\n", "def v1(x=1):"),
        ("def f(a):\n    class C:\n        x = 1\n    return C.x + a\n", "x = 1"),
        ("def f(a):\n    import math\n    return math.pi + a + 1\n", "return math.pi + v0 + 1"),
        ("def f(self, _):\n    return self + _ + 1\n", "def fn(self, _):"),
    ],
)
def test_a_name_stays_where_something_else_reads_it(body, kept):
    assert kept in renamed(body)


def test_every_way_of_binding_a_name_is_followed():
    body = (
        "def f(a, *rest, **more):\n"
        "    seen = 1\n"
        "    def inner(x):\n"
        "        nonlocal seen\n"
        "        seen = x\n"
        "    try:\n"
        "        inner(a)\n"
        "    except ValueError as fault:\n"
        "        return fault\n"
        "    match a:\n"
        "        case [first, *others]:\n"
        "            return first, others\n"
        "    return lambda y: (y, [z for z in rest], (w := more), seen)\n"
    )
    expected = (
        "def fn(v0, *v1, **v2):\n"
        "    v3 = 1\n"
        "    def v4(v5):\n"
        "        nonlocal v3\n"
        "        v3 = v5\n"
        "    try:\n"
        "        v4(v0)\n"
        "    except ValueError as v6:\n"
        "        return v6\n"
        "    match v0:\n"
        "        case [v7, *v8]:\n"
        "            return v7, v8\n"
        "    return lambda v9: (v9, [v10 for v10 in v1], (v11 := v2), v3)\n"
    )
    assert renamed(body) == expected


def test_the_function_keeps_a_name_that_others_speak():
    outside = "def g(a):\n    return f(a)\n"
    assert renamed("def f(a):\n    return a + 1\n", outside).startswith("def f(v0)")
    told = renamed("def f(a):\n    return a + 1\n", statement="what f(1) says is wrong")
    assert told.startswith("def f(v0)")


def test_where_a_suite_may_call_by_them_parameters_keep_their_names():
    suite = Suite({"test_m.py": ""}, ("test_m.py",))
    twin = neutral(total(suite=suite, calls=()))
    assert shown(twin).startswith("def total(values, limit=LIMIT):\n    v0 = 1\n    for v1 in")


@pytest.mark.parametrize(
    ("task", "why"),
    [
        (task_of("x = 1\n", "x = 2\n", prelude=""), "no one function"),
        (task_of("def f(:\n", "def f(1):\n", prelude=""), "no one function"),
        (task_of("def f(a):\n    1\n", "def g(a):\n    1\n", prelude=""), "no one function"),
        (task_of(MATCHES, MATCHES.replace("1", "2")), "cannot be replaced"),
        (
            task_of("def f():\n    return 1\n", "def f():\n    return 2\n", statement="no"),
            "no name to replace",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_renamed_safely_is_not_and_says_why(task, why):
    assert why in neutral(task)


class Answers:
    """A subject that hands in the reference fix where it knows it."""

    name, source, at_once, sampled_tokens = "plain names only", "scripted", 8, 0

    def __init__(self, knows, said=None):
        self.knows, self.said = knows, said or (lambda task: task.solution)

    def play(self, plans, grader, *, seed, temperature):
        return [
            grader.grade_many(
                [
                    (
                        e,
                        p.task,
                        self.said(p.task) if self.knows(p.task, at) else {"m.py": "x = 1\n"},
                    )
                    for at, e in enumerate(p.episode_ids(0))
                ]
            )
            for p in plans
        ]

    def close(self):
        pass


def test_twins_are_proven_and_compared_with_their_tasks():
    sum_of_two = (Call("c0", "(1, 2)", "3"),)
    minus, plus = ("def add(a, b):\n    return a - b\n", "def add(a, b):\n    return a + b\n")
    sums = [total(), task_of(minus, plus, calls=sum_of_two, prelude="")]
    by_name = [text.replace("return a", "return locals()['a']") for text in (minus, plus)]
    unprovable = task_of(*by_name, calls=sum_of_two, prelude="")
    with open_sandbox() as sandbox:
        twins = make_twins([*sums, unprovable], neutral, sandbox)
        assert [task.id for task in twins.tasks] == [task.id for task in sums]
        assert twins.dropped == {"fix fails": 1}
        taskset = make_taskset(sums, "sums")
        knower = Answers(lambda task, draw: draw % 2 == 0 and "fn" not in task.entry)
        solver = Answers(lambda task, draw: True)
        solver.name = "solver"
        by_id = {task.id: task for task in sums}
        parrot = Answers(lambda task, draw: True, lambda task: by_id[task.id].solution)
        asked = Evaluation(taskset, draws=4, rename=neutral)
        told = evaluate(asked, [knower, solver, parrot], sandbox, lambda *words: None)
    assert told["renamed"] == {"tasks": 2, "dropped": {}}
    first, second, third = (subject["renamed"] for subject in told["subjects"])
    assert first["as_they_are"]["all"]["pass@1"] == 0.5
    assert first["tiers"]["all"]["pass@1"] == 0.0
    assert first["difference"]["all"]["gain"] == -0.5
    assert first["gain"] is None
    assert (second["difference"]["all"]["gain"], second["gain"]["all"]["gain"]) == (0.0, 1.0)
    # The very files that pass a task do not pass its twin, whose function has another name.
    assert third["difference"]["all"]["gain"] == -1.0
    assert told["subjects"][1]["gain"]["all"]["gain"] == 0.5
