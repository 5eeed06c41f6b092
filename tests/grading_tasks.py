"""Small invented tasks for the grading tests."""

from __future__ import annotations

from toprope.grading import observe_calls
from toprope.sandbox import Sandbox
from toprope.terms import Call, Focus, Source, Split, Task

GOOD = '''\
def median(values):
    """The middle of the sorted values."""
    ordered = sorted(values)
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[half]
    return (ordered[half - 1] + ordered[half]) / 2
'''
BAD = GOOD.replace("half - 1]", "half - 2]")
CALLS = (
    ("odd", "([3, 1, 2],)"),
    ("one", "([7],)"),
    ("even", "([4, 1, 3, 2],)"),
    ("pair", "([1.5, 2.5],)"),
    ("none", "([],)"),
)


def median_task(sandbox: Sandbox) -> Task:
    """A real small task whose expectations were observed from the original."""
    expected = observe_calls(sandbox, {"stats.py": GOOD}, "stats.py:median", CALLS)
    return Task(
        id="median",
        split=Split.TRAIN,
        tier=None,
        statement="median is wrong for an even number of values",
        files={"stats.py": BAD, "tests.py": "assert True\n"},
        focus=Focus("stats.py", 1, 7),
        editable=("stats.py",),
        entry="stats.py:median",
        calls=tuple(Call(name, args, expected[name]) for name, args in CALLS),
        fail_to_pass=("even",),
        pass_to_pass=("odd", "one", "none"),
        solution={"stats.py": GOOD},
        source=Source("invented", "1", "stats.py", 1, "Apache-2.0", "median", "none"),
    )
