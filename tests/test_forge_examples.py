import ast
import random

import pytest

from toprope.forge.examples import Examples
from toprope.forge.literals import KINDS, Code, as_literal, changed
from toprope.forge.packages import Archive, Package
from toprope.forge.statement import readable, statement

TESTS = """
import pytest
from pack import f

def test_plain():
    assert f(1, b=2) == 3
    assert f(x, 2) == 3
    assert f(*many) == 3

@pytest.mark.parametrize("a, b", [(3, 4), pytest.param(5, 6), (len, 7)])
def test_rows(a, b):
    assert f(a, b) == a + b

def test_loop():
    for a in [10, 20]:
        assert f(a) == a
"""
MODULE = '''
def f(a, b=0):
    """Add.

    >>> f(8, 9)
    17
    """
    return a + b
'''


def function(text):
    return next(n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef))


def test_calls_are_read_from_tests_rows_loops_and_doctests():
    archive = Archive(Package("p", "1", "", "MIT"), {"pack.py": MODULE}, {"test_p.py": TESTS})
    found = set(Examples(archive).calls(function(MODULE)))
    assert found == {"(1, 2)", "(3, 4)", "(5, 6)", "(10,)", "(20,)", "(8, 9)"}


def test_values_near_a_mention_of_the_function_are_tried_too():
    archive = Archive(Package("p", "1", "", "MIT"), {"pack.py": MODULE}, {"test_p.py": TESTS})
    assert 3 in Examples(archive).values(function(MODULE))


def test_a_literal_is_written_the_same_whatever_the_order_of_hashing():
    assert as_literal({"b", "a"}) == "{'a', 'b'}"
    assert (
        as_literal(({"k": [1.5, (2,)]}, set(), Code("len"))) == "({'k': [1.5, (2,)]}, set(), len)"
    )


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_makes_values_that_are_read_back(kind):
    import datetime
    from decimal import Decimal
    from fractions import Fraction

    names = {"datetime": datetime, "Decimal": Decimal, "Fraction": Fraction}
    for seed in range(20):
        rng = random.Random(seed)
        value = changed(KINDS[kind](rng), rng)
        text = as_literal(value)
        again = eval(text, names)
        if kind not in {"function", "date", "moment", "period", "decimal", "fraction"}:
            assert again == value


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        ("set{1, 2}", "{1, 2}"),
        ("(1)", "(1,)"),
        ("[(1), ('a)'), (1, 2), ()]", "[(1,), ('a)',), (1, 2), ()]"),
        ("{'a': set{}, 'set{': (set{1})}", "{'a': set(), 'set{': ({1},)}"),
        ("frozenset{1}", "frozenset{1}"),
        ("deque(1)", "deque(1)"),
        ("Point(x=1)", "Point(x=1)"),
        ("'it\\'s (1)'", "'it\\'s (1)'"),
    ],
)
def test_outcomes_are_shown_as_python_writes_them(outcome, text):
    assert readable(outcome) == text


def test_a_statement_says_the_call_what_it_gave_and_what_it_should():
    assert statement("f", "(1, 2)", "3", "4") == "f(1, 2) returns 3, expected 4"
    assert statement("f", "(1,)", "raises KeyError", "[]") == "f(1) raises KeyError, expected []"
    assert statement("f", "([],)", "iter[1]", "iter[]") == "list(f([])) returns [1], expected []"
    assert statement("f", "(1,)", "2", "raises ValueError") == "f(1) returns 2, expected ValueError"


def test_what_a_statement_cannot_show_shortly_gives_none():
    assert statement("f", "(1,)", "1" * 200, "2") is None
    assert statement("f", "([],)", "None with arguments ([1])", "None") is None
