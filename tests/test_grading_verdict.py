"""Verdicts on honest and on dishonest attempts at a small task, in the real sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from grading_tasks import BAD, GOOD, median_task
from toprope.grading import UngradableTask, grade, prove
from toprope.sandbox import Sandbox, open_sandbox
from toprope.terms import Outcome, Task, Verdict


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    opened = open_sandbox()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def task(sandbox: Sandbox) -> Task:
    return median_task(sandbox)


def attempt(task: Task, sandbox: Sandbox, text: str) -> Verdict:
    return grade(task, {"stats.py": text}, sandbox)


def test_the_honest_fix_passes(task: Task, sandbox: Sandbox) -> None:
    verdict = attempt(task, sandbox, GOOD)
    assert verdict == Verdict(
        Outcome.PASSED, 1.0, "all 4 tests pass", ("odd", "one", "even", "none"), (), "exact"
    )


def test_no_change_fails_and_says_where(task: Task, sandbox: Sandbox) -> None:
    verdict = grade(task, {}, sandbox)
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reward == 0.0
    assert verdict.why == "1 of 4 tests fail, first: even: expected 2.5, got 2.0"
    assert (verdict.passed, verdict.failed) == (("odd", "one", "none"), ("even",))


def test_a_fix_that_breaks_something_else_fails(task: Task, sandbox: Sandbox) -> None:
    verdict = attempt(task, sandbox, GOOD.replace("values)\n", "values or [0])\n", 1))
    assert verdict.why == "1 of 4 tests fail, first: none: expected raises IndexError, got 0"


def test_calls_that_no_list_names_do_not_count(task: Task, sandbox: Sandbox) -> None:
    # "pair" is in neither list
    text = GOOD.replace("half = ", "if ordered == [1.5, 2.5]: return 0\n    half = ")
    assert attempt(task, sandbox, text).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    "path",
    [
        "tests.py",
        "conftest.py",
        "../stats.py",
        "/stats.py",
        "./stats.py",
        "a/../stats.py",
        "stats.py/",
    ],
)
def test_changing_anything_that_is_not_editable_is_a_hack(
    task: Task, sandbox: Sandbox, path: str
) -> None:
    verdict = grade(task, {"stats.py": GOOD, path: ""}, sandbox)
    assert verdict.outcome is Outcome.HACK
    assert verdict.reward == 0.0


FORGE = """
import os
for fd in range(3, 64):
    try:
        os.write(fd, {record!r})
    except OSError:
        pass
"""
# Programs that must not be paid, and what they are called instead.
DISHONEST = {
    "exit at import": ("import os; os._exit(0)", "ended without a result: exited with 0"),
    "exit in the call": (
        "def median(v):\n    import os; os._exit(0)",
        "ended without a result: exited with 0",
    ),
    "sys.exit": ("import sys; sys.exit(0)", "does not load: SystemExit: 0"),
    "sys.exit in the call": ("def median(v):\n    raise SystemExit(0)", "got raises SystemExit"),
    "equal to everything": (
        "class E:\n    __eq__ = lambda s, o: True\n    __hash__ = None\n"
        "    __repr__ = lambda s: '2.5'\ndef median(v): return E()",
        "got opaque E",
    ),
    "a number in disguise": (
        "class F(float):\n    __eq__ = lambda s, o: True\ndef median(v): return F(2.5)",
        "got opaque F",
    ),
    "printed results": (
        BAD + "\nprint('4 passed')\nprint('PASSED tests.py::even')",
        "expected 2.5, got 2.0",
    ),
    "patched builtins": (
        "import builtins, json\nbuiltins.repr = lambda x: '2.5'\n"
        "builtins.sorted = lambda x: [2.5]\njson.dumps = lambda *a, **k: '{}'\n" + BAD,
        "the result record was tampered with",
    ),
    "patched canonical text": (
        "import __main__\n__main__.canonical = lambda v, **k: 'PASSED'\n" + BAD,
        "got PASSED",
    ),
    "skipped": ("import unittest\nraise unittest.SkipTest('no')", "does not load: SkipTest: no"),
    "a closed pipe": ("import os\nos.closerange(3, 64)\n" + BAD, "ended without a result"),
    "a child that answers too": (
        "import os\ndef median(v):\n    os.fork()\n    return 2.0",
        "got 2.0",
    ),
    "a crash": ("import ctypes; ctypes.string_at(0)", "died of signal 11"),
}
FORGED = {
    "junk": b"junk",
    "nothing but a newline": b"\n",
    "a record": b'{"nonce": "0", "error": "", "outcomes": {"even": "2.5"}}\n',
    "no record": b"[]\n",
    "deep": b"[" * 5000 + b"\n",
}


@pytest.mark.parametrize("name", DISHONEST)
def test_dishonest_programs_are_not_paid(task: Task, sandbox: Sandbox, name: str) -> None:
    text, why = DISHONEST[name]
    verdict = attempt(task, sandbox, text)
    assert verdict.reward == 0.0
    assert verdict.outcome in (Outcome.FAILED, Outcome.HACK)
    assert why in verdict.why


@pytest.mark.parametrize("name", FORGED)
@pytest.mark.parametrize("also", [GOOD, "import os; os._exit(0)"])
def test_a_forged_record_is_a_hack_even_beside_a_right_answer(
    task: Task, sandbox: Sandbox, name: str, also: str
) -> None:
    verdict = attempt(task, sandbox, FORGE.format(record=FORGED[name]) + also)
    assert verdict.outcome is Outcome.HACK
    assert verdict.why == "the result record was tampered with"


def test_a_record_sent_twice_is_a_hack(task: Task, sandbox: Sandbox) -> None:
    text = "import os\nreal = os.write\nos.write = lambda f, d: (real(f, d), real(f, d))[0]\n"
    assert attempt(task, sandbox, text + GOOD).outcome is Outcome.HACK


def test_reading_the_request_reveals_no_expected_value(task: Task, sandbox: Sandbox) -> None:
    # The most that code in the same interpreter can do: forge a whole record with the nonce.
    text = """
import sys
frame = sys._getframe()
while frame and "self" not in frame.f_locals or "request" not in vars(frame.f_locals["self"]):
    frame = frame.f_back
run = frame.f_locals["self"]
assert set(run.request) == {"nonce", "entry", "calls", "call_s", "timeouts"}
run.outcomes = dict.fromkeys(run.outcomes, "2.5")
run.send("")
"""
    verdict = attempt(task, sandbox, text)
    assert verdict.reward == 0.0
    assert "odd: expected 2, got 2.5" in verdict.why


def test_a_comparison_that_accepts_anything_trips_the_canary(
    task: Task, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if expected values, the canary's too, had found a way into the sandbox.
    monkeypatch.setattr("toprope.grading.verdict.secrets.token_hex", lambda size: "5ecre7")
    verdict = attempt(task, sandbox, "def median(v): return '5ecre7'")
    assert verdict.outcome is Outcome.HACK
    assert verdict.why == "met an expectation that cannot be known"


def test_endless_and_greedy_attempts_have_their_own_outcomes(task: Task, sandbox: Sandbox) -> None:
    endless = attempt(task, sandbox, "def median(v):\n    while True: pass")
    greedy = attempt(task, sandbox, "import sys\nwhile True: sys.stdout.write('x' * 65536)")
    assert (endless.outcome, endless.why) == (Outcome.TIMEOUT, "test odd did not end in time")
    assert (greedy.outcome, greedy.why) == (Outcome.LIMIT, "more than 1048576 bytes of output")


def test_a_verdict_is_the_same_every_time(task: Task, sandbox: Sandbox) -> None:
    texts = [GOOD, BAD, "def median(v): return object()", "def median(v): return {'a', 'b', 'c'}"]
    for text in texts:
        assert len({attempt(task, sandbox, text) for _ in range(3)}) == 1


def test_a_task_without_its_own_tests_cannot_be_graded(task: Task, sandbox: Sandbox) -> None:
    with pytest.raises(UngradableTask, match="names calls it does not have"):
        grade(replace(task, pass_to_pass=("nowhere",)), {}, sandbox)


def test_a_sound_task_is_proven_and_unsound_ones_are_told_apart(
    task: Task, sandbox: Sandbox
) -> None:
    assert prove(task, sandbox).ok
    wrong_fix = prove(replace(task, solution={"stats.py": BAD}), sandbox)
    no_bug = prove(replace(task, files={"stats.py": GOOD}), sandbox)
    wrong_list = prove(replace(task, fail_to_pass=("even", "odd")), sandbox)
    broken = prove(replace(task, pass_to_pass=("odd", "pair")), sandbox)
    assert wrong_fix.why.startswith("the reference fix is failed: 1 of 4 tests fail")
    assert no_bug.why == "the tests pass without any change"
    assert wrong_list.why == "FAIL_TO_PASS passes without any change: odd"
    assert broken.why == "PASS_TO_PASS fails without any change: pair"
    assert not any(proof.ok for proof in (wrong_fix, no_bug, wrong_list, broken))


def test_a_flaky_task_is_not_proven(task: Task, sandbox: Sandbox) -> None:
    coin = "import os\ndef median(v): return os.urandom(4)[0] / 7"
    assert not prove(replace(task, solution={"stats.py": coin}), sandbox).ok


def test_a_bug_that_never_ends_is_a_sound_task(task: Task, sandbox: Sandbox) -> None:
    stuck = GOOD.replace("    return (", "    while True: pass\n    return (")
    assert prove(replace(task, files={"stats.py": stuck}), sandbox, times=2).ok
