"""Dialects over turns: lenient reading, helpful errors, limits; scripted models, real sessions."""

import sys
from dataclasses import replace

import pytest

from suite_parts import BROKEN, MEDIAN, TASK, TESTS
from toprope.grading import grade
from toprope.harness.turns import TURN_DIALECTS, Answered, TurnLimits, Unreadable, play
from toprope.harness.turns.actions import (
    Bash,
    Replace,
    RunTests,
    Search,
    SetLines,
    Submit,
    View,
)  # fmt: skip
from toprope.harness.turns.places import Misplaced, placed
from toprope.harness.turns.play import cut
from toprope.sandbox import Limits, Start, open_sandbox
from toprope.tasks import make_tree
from toprope.terms import Environment, Outcome

BLOCK = "{path}\n<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE"


@pytest.mark.parametrize(
    ("dialect", "text", "actions"),
    [
        ("lines", "view a.py", [View("a.py")]),
        ("lines", "`view a.py 3 9`", [View("a.py", 3, 9)]),
        ("lines", "I look first.\n$ view src/a.py 3-9", [View("src/a.py", 3, 9)]),
        ("lines", "search def f(", [Search("def f(")]),
        ("lines", "edit a.py 2 3\n  x\nend\ntest", [SetLines("a.py", 2, 3, "  x"), RunTests()]),
        ("lines", "```\nedit a.py 2\n    y = 1\n```", [SetLines("a.py", 2, 2, "    y = 1")]),
        ("lines", "edit a.py 2 2\n```python\n  y\n```\nend", [SetLines("a.py", 2, 2, "  y")]),
        ("lines", "edit a.py 2 2\nend", [SetLines("a.py", 2, 2, "")]),
        ("lines", "Done", [Submit()]),
        ("blocks", BLOCK.format(path="a.py", old="x", new="y"), [Replace("a.py", "x", "y")]),
        (
            "blocks",
            "The fix:\n\n" + BLOCK.format(path="`a.py`", old="  x", new="") + "\nsubmit",
            [Replace("a.py", "  x", ""), Submit()],
        ),
        (
            "blocks",
            "a.py\n```python\n<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE\n```",
            [Replace("a.py", "x", "y")],
        ),
        ("blocks", "<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE", [Replace("", "x", "y")]),
        (
            "blocks",
            "```python\n<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE\n```",
            [Replace("", "x", "y")],
        ),
        ("blocks", "search foo\ntest", [Search("foo"), RunTests()]),
        ("bash", "I look.\n```bash\nls -la\n```", [Bash("ls -la")]),
        ("bash", "```sh\ncat <<'E'\nx\nE\n```  ", [Bash("cat <<'E'\nx\nE")]),
        ("bash", "```bash \necho COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT\n```", [Submit()]),
        ("bash", "```\nls", [Bash("ls")]),
    ],
)
def test_messages_are_read_leniently(dialect, text, actions):
    assert TURN_DIALECTS[dialect].read(text) == actions


@pytest.mark.parametrize(
    ("dialect", "text", "told"),
    [
        ("lines", "The bug is in line 3.", "Answer with `edit PATH A B`"),
        ("lines", "edit a.py 3 4", "then the new lines, then `end`"),
        ("blocks", "a.py\n<<<<<<< SEARCH\nx\n=======\ny", "is not closed"),
        ("blocks", "", "That is no action"),
        ("bash", "ls", "0 were found"),
        ("bash", "```bash\nls\n```\n```bash\npwd\n```", "2 were found"),
    ],
)
def test_what_is_no_action_is_answered_with_what_to_do(dialect, text, told):
    with pytest.raises(Unreadable, match=told):
        TURN_DIALECTS[dialect].read(text)


def test_a_search_text_names_one_place_or_hears_why_not():
    text = "def f(a):\n    return a\n\n\ndef g(a):   \n    return a\n"
    assert placed(text, "def f(a):\n    return a", "m.py") == (0, 22)
    begin, end = placed(text, "def g(a):\n    return a", "m.py")
    assert text[begin:end] == "def g(a):   \n    return a"
    with pytest.raises(Misplaced, match=r"2 times \(lines 2, 6\); give more lines"):
        placed(text, "    return a", "m.py")
    with pytest.raises(Misplaced, match="closest lines are:\n    1 def f"):
        placed(text, "def f(b):\n    return b", "m.py")
    with pytest.raises(Misplaced, match=r"not in m.py\.$"):
        placed(text, "import everything from nowhere", "m.py")


def test_a_long_observation_keeps_its_head_and_its_tail():
    assert cut("abc", 3) == "abc"
    told = cut("a" * 50 + "b" * 50, 20)
    assert told == "a" * 10 + "\n... 80 characters left out ...\n" + "b" * 10


@pytest.fixture(scope="module")
def sandbox():
    environment = Environment(python=sys.executable, warm=("pytest",), tools=True)
    opened = open_sandbox(workers=1, environments={"stats": environment})
    yield opened
    opened.close()


LIMITS = Limits(wall_s=60, cpu_s=30, memory_mb=1024, processes=64, disk_mb=64, descriptors=256)


def played(sandbox, dialect, messages, task=TASK, limits=None):
    """A model that says these messages, whatever it sees; what it saw comes back, too."""
    left = list(messages)
    start = Start("s", task.files, task.tree, task.removed, task.suite.environment, LIMITS)
    session = sandbox.open(start)
    try:
        return play(
            task, TURN_DIALECTS[dialect], lambda _: Answered(left.pop(0), 10), session, limits
        )
    finally:
        session.close()


PATH = "src/stats/median.py"
SOLVING = {
    "lines": [
        "search middle - 2",
        f"view {PATH}",
        f"edit {PATH} 6 6\n    return (ordered[middle - 1] + ordered[middle]) / 2\nend",
        "submit",
    ],
    "blocks": [
        f"view {PATH}",
        BLOCK.format(path=PATH, old="ordered[middle - 2]", new="ordered[middle - 1]"),
        "submit",
    ],
    "bash": [
        "I look.\n```bash\ngrep -rn 'middle - 2' src\n```",
        f"```bash\nsed -i 's/middle - 2/middle - 1/' {PATH} && echo changed\n```",
        "```bash\necho COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT\n```",
    ],
}


@pytest.mark.parametrize("dialect", TURN_DIALECTS)
def test_each_dialect_can_solve_a_task_in_a_repository(sandbox, dialect):
    attempt = played(sandbox, dialect, SOLVING[dialect])
    assert attempt.end == "submitted"
    assert attempt.changes == {PATH: MEDIAN}
    assert any("middle" in turn.observation for turn in attempt.turns)
    assert grade(TASK, attempt.changes, sandbox).outcome is Outcome.PASSED


def test_only_changes_to_editable_files_leave_the_session(sandbox):
    messages = [
        f"```bash\necho x > pytest.ini; echo y >> {PATH}; mkdir -p tests; echo z > tests/a.py\n```",
        SOLVING["bash"][-1],
    ]
    attempt = played(sandbox, "bash", messages)
    assert set(attempt.changes) == {PATH}


def test_faults_are_observations_and_the_attempt_goes_on(sandbox):
    messages = [
        "view src/stats/medain.py",
        "edit src/stats/median.py 40 50\nx\nend",
        "edit tests/conftest.py 1 1\nx\nend",
        "hello",
        "test",
        "submit",
    ]
    seen = [turn.observation for turn in played(sandbox, "lines", messages).turns]
    assert seen[0].endswith("did you mean src/stats/median.py?")
    assert "has lines 1 to 7; 40 to 50 are not there" in seen[1]
    assert "tests/conftest.py may not be changed; these may: src/*.py" in seen[2]
    assert "That is no action" in seen[3]
    assert "no tests to be seen" in seen[4], "the failing tests are cut out"


def test_visible_tests_run_where_there_are_any(sandbox):
    shown = TESTS.replace("2.5", "9")
    task = replace(
        TASK,
        tree=make_tree({**TASK.tree.files, "tests/test_median.py": shown}),
        removed=(),
    )
    attempt = played(sandbox, "lines", ["test", "submit"], task)
    assert "assert 2.0 == 9" in attempt.turns[0].observation


@pytest.mark.parametrize(
    ("messages", "limits", "end"),
    [
        (["hello", "what", "no"], TurnLimits(), "malformed"),
        (["hello", "view src/stats/median.py", "no", "no", "no"], TurnLimits(), "malformed"),
        (["view setup.py"] * 4, TurnLimits(turns=4), "turns"),
        (["view setup.py"] * 3, TurnLimits(tokens=30), "tokens"),
        (["view setup.py"], TurnLimits(seconds=0.0), "seconds"),
    ],
)
def test_limits_end_an_attempt_with_their_name(sandbox, messages, limits, end):
    attempt = played(sandbox, "lines", messages, limits=limits)
    assert (attempt.end, len(attempt.turns)) == (end, len(messages))
    assert attempt.changes == {}


def test_a_command_that_hangs_costs_its_time_and_not_the_session(sandbox):
    messages = ["```bash\nsleep 60\n```", "```bash\necho still here\n```", SOLVING["bash"][-1]]
    attempt = played(sandbox, "bash", messages, limits=TurnLimits(command_s=0.5))
    assert "still running after 0.5 s" in attempt.turns[0].observation
    assert attempt.turns[1].observation == "still here"


def test_the_first_message_shows_the_code_that_the_task_is_about():
    from toprope.harness.turns.play import opening

    told = opening(TASK)
    assert told.startswith(TASK.statement)
    assert "    6     return (ordered[middle - 2] + ordered[middle]) / 2" in told
    assert BROKEN.count("\n") == 6
