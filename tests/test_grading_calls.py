"""What counts as the same outcome, and what a sandbox is asked and answers."""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from toprope.grading import canonical, comparable, observe_calls
from toprope.sandbox import Sandbox, open_sandbox

Point = collections.namedtuple("Point", "x y")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    opened = open_sandbox()
    yield opened
    opened.close()


def outcome(sandbox: Sandbox, body: str, args: str = "()") -> str:
    return observe_calls(sandbox, {"m.py": body}, "m.py:f", [("a", args)])["a"]


class Liar:
    def __eq__(self, other: object) -> bool:
        return True

    def __repr__(self) -> str:
        return "3"


class Text(str):
    pass


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        (1, "1"),
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (float("nan"), "nan"),
        ("1", "'1'"),
        (b"1", "b'1'"),
        ([1, (2,), {3}], "[1, (2), set{3}]"),
        ((), "()"),
        ({3, 10, 2}, "set{10, 2, 3}"),
        (frozenset(), "frozenset{}"),
        ({"b": 1, "a": [2]}, "{'b': 1, 'a': [2]}"),
        (range(3), "range(0, 3)"),
        (decimal.Decimal("1.50"), "Decimal('1.50')"),
        (fractions.Fraction(1, 3), "Fraction(1, 3)"),
        (datetime.date(2020, 1, 2), "datetime.date(2020, 1, 2)"),
        (collections.OrderedDict(a=1), "OrderedDict({'a': 1})"),
        (collections.Counter("aab"), "Counter({'a': 2, 'b': 1})"),
        (collections.defaultdict(list, {1: [2]}), "defaultdict({1: [2]})"),
        (collections.deque([1, 2]), "deque(1, 2)"),
        (Point(1, "y"), "Point(x=1, y='y')"),
        (iter([1, 2]), "iter[1, 2]"),
        ((n * n for n in range(3)), "iter[0, 1, 4]"),
        (itertools.count(), f"iter[{', '.join(map(str, range(200)))}, ...]"),
        ({1: 2}.items(), "dict_items((1, 2))"),
        (int, "type(int)"),
        (Liar(), "opaque Liar"),
        ([Text("x")], "opaque Text"),
        (lambda: 3, "opaque function"),
    ],
)
def test_the_canonical_text_of_a_value(value: object, text: str) -> None:
    assert canonical(value) == text


def test_integers_too_long_for_python_to_write_are_still_compared() -> None:
    assert canonical(10**5000).startswith(hex(10**5000)[:1900])


def test_long_outcomes_are_cut_but_still_told_apart() -> None:
    one, other = canonical([0] * 5000 + [1]), canonical([0] * 5000 + [2])
    assert len(one) <= 2000
    assert one[:1900] == other[:1900]
    assert one != other


def test_what_is_endless_or_tangled_is_opaque() -> None:
    tangled: list[Any] = []
    tangled.append(tangled)
    assert canonical(tangled) == "opaque too large"
    assert canonical([0] * 200_000) == "opaque too large"


def test_values_of_different_type_never_look_the_same() -> None:
    values = [1, 1.0, True, "1", b"1", [1], (1,), {1}, frozenset({1}), {1: 1}, iter([1])]
    assert len({canonical(value) for value in values}) == len(values)


def test_only_values_and_exceptions_can_be_expected() -> None:
    assert comparable("3")
    assert comparable("'opaque'")
    assert comparable("raises ValueError")
    for never in ("opaque Liar", "timeout", "unrun", "error:load SyntaxError"):
        assert not comparable(never)


@pytest.mark.parametrize(
    ("body", "args", "expected"),
    [
        ("def f(a, b): return a + b", "(1, 2)", "3"),
        ("def f(): raise KeyError('x')", "()", "raises KeyError"),
        ("def f(): raise SystemExit", "()", "raises SystemExit"),
        ("def f(): return f()", "()", "raises RecursionError"),
        ("def f():\n yield 1\n raise ValueError", "()", "iter[1, raises ValueError]"),
        ("def f(a): a.append(9)", "([1],)", "None with arguments ([1, 9])"),
        ("def f(a): return sum(a)", "(iter([1, 2]),)", "3"),
        ("def f(a): a.pop(); raise ValueError", "([1],)", "raises ValueError with arguments ([])"),
        ("def f(a): return a * 2", "(Decimal('1.5'),)", "Decimal('3.0')"),
        ("import random\ndef f(): return random.random()", "()", "0.8444218515250481"),
        ("def f(): print('all tests pass')", "()", "None"),
        ("class f:\n pass", "()", "opaque f"),
        ("def f(a): return 1", "(undefined,)", "error:NameError"),
        ("def f(a): return 1", "(1,", "error:SyntaxError"),
        ("def g(): return 1", "()", "error:load AttributeError: module 'm' has no attribute 'f'"),
        ("def f(:", "()", "error:load SyntaxError: invalid syntax (m.py, line 1)"),
        ("raise ValueError(object())", "()", "error:load ValueError: <object object at 0x>"),
    ],
)
def test_what_a_call_comes_to(sandbox: Sandbox, body: str, args: str, expected: str) -> None:
    assert outcome(sandbox, body, args) == expected


def test_the_entry_may_be_deep_in_a_package_or_named_like_a_standard_module(
    sandbox: Sandbox,
) -> None:
    files = {
        "pkg/__init__.py": "",
        "pkg/base.py": "ONE = 1\n",
        "pkg/mod.py": "from .base import ONE\nclass Box:\n  @staticmethod\n  def f(): return ONE\n",
        "string.py": "import re, json\ndef f(): return 'mine'\n",
    }
    assert observe_calls(sandbox, files, "pkg/mod.py:Box.f", [("a", "()")]) == {"a": "1"}
    assert observe_calls(sandbox, files, "string.py:f", [("a", "()")]) == {"a": "'mine'"}


@pytest.mark.parametrize(
    "body",
    [
        "def f(n):\n  while n: pass\n  return 1",
        "def f(n):\n  import time\n  if n: time.sleep(60)\n  return 1",
        "def f(n):\n  while n:\n    try:\n      while 1: pass\n    except: pass\n  return 1",
        "def f(n):\n  try:\n    while n: pass\n  except BaseException: return 2\n  return 1",
    ],
)
def test_a_call_without_end_is_a_timeout_and_the_rest_still_known(
    sandbox: Sandbox, body: str
) -> None:
    calls = [("a", "(0,)"), ("b", "(1,)"), ("c", "(0,)")]
    seen = observe_calls(sandbox, {"m.py": body}, "m.py:f", calls, call_s=0.1, timeouts=1)
    assert seen == {"a": "1", "b": "timeout", "c": "unrun"}


def test_loading_without_end_is_a_timeout(sandbox: Sandbox) -> None:
    seen = observe_calls(sandbox, {"m.py": "while 1: pass"}, "m.py:f", [("a", "()")], call_s=0.1)
    assert seen["a"].startswith("error:timeout")


def test_observing_twice_gives_the_same(sandbox: Sandbox) -> None:
    body = "def f(): return {'x', 'yy', 'zzz'}, list({'x', 'yy', 'zzz'}), hash('a')"
    assert len({outcome(sandbox, body) for _ in range(4)}) == 1
