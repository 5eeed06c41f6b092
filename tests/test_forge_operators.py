import ast

import pytest

from toprope.forge.operators import OPERATORS, RESERVED, Shown, edits


def lines_made(operator, text):
    """The changed line of every edit that one operator makes of a function."""
    shown = Shown(text)
    return [shown.apply(e).split("\n")[e.line - 1].strip() for e in OPERATORS[operator](shown)]


def body(line):
    return f"def f(a, b):\n    {line}\n"


@pytest.mark.parametrize(
    ("operator", "line", "made"),
    [
        ("arithmetic", "return a + b", {"return a - b"}),
        ("augmented", "a += b", {"a -= b", "a = b"}),
        ("branches", "return a if b else 0", {"return 0 if b else a"}),
        ("compare", "return a <= b", {"return a < b", "return a >= b"}),
        ("compare", "return a not in b", {"return a in b"}),
        ("constant", "return a * 0x0f", {"return a * 0x10", "return a * 0xe"}),
        ("function", "return min(a, b)", {"return max(a, b)"}),
        ("index", "return a[-1]", {"return a[0]", "return a[-2]"}),
        ("keyword", "return g(a, key=b)", {"return g(a)"}),
        ("logic", "return a and b", {"return a or b"}),
        ("method", "return a.lstrip()", {"return a.rstrip()", "return a.strip()"}),
        (
            "negate",
            "return 1 if not a else 2",
            {"return 1 if a else 2"},
        ),
        ("negate", "return 1 if a else 2", {"return 1 if not a else 2"}),
        ("nothing", "return []", {"return None"}),
        ("order", "return g(a, b)", {"return g(b, a)"}),
        ("order", "return a - b", {"return b - a"}),
        (
            "range",
            "return range(a)",
            {"return range(a + 1)", "return range(a - 1)", "return range(1, a)"},
        ),
        ("returned", "return a", {"return b"}),
        ("sign", "return g(-a)", {"return g(a)"}),
        ("slice", "return a[1:]", {"return a[2:]", "return a[0:]", "return a[:]"}),
        ("slice", "return a[::-1]", {"return a[:]"}),
        ("string", "return a.split(',')", {"return a.split(';')", "return a.split(' ')"}),
        ("term", "return a * b", {"return a", "return b"}),
        ("truth", "return True", {"return False"}),
        ("unfilter", "return [x for x in a if x]", {"return [x for x in a]"}),
        ("unwrap", "return sorted(a)", {"return a"}),
        ("unwrap", "return a.strip()", {"return a"}),
        ("variable", "return a + 1", {"return b + 1"}),
    ],
)
def test_an_operator_makes_its_kind_of_bug(operator, line, made):
    found = set(lines_made(operator, body(line)))
    assert found == made


def test_break_and_default_values_change_too():
    loop = "def f(a):\n    for x in a:\n        break\n"
    assert lines_made("leave", loop) == ["continue"]
    assert lines_made("default", "def f(a, n=2):\n    return a\n") == [
        "def f(a, n=3):",
        "def f(a, n=1):",
    ]


def test_edits_change_exactly_one_line_and_always_parse():
    text = (
        "def f(seq, n=3, fill=None):\n"
        "    out = []\n"
        "    for i in range(0, len(seq), n):\n"
        "        part = seq[i:i + n]\n"
        "        out.append(part if fill is None and n > 1 else g(part, fill))\n"
        "    return [x for x in out if x]\n"
    )
    found = edits(text)
    assert len({edit.operator for edit, _ in found}) >= 12
    for edit, made in found:
        pairs = zip(text.split("\n"), made.split("\n"), strict=True)
        assert [n for n, (a, b) in enumerate(pairs, 1) if a != b] == [edit.line]
        ast.parse(made)


def test_no_edit_repeats_another_or_keeps_the_meaning():
    found = edits("def f(a, b):\n    return (a) + b\n")
    trees = [ast.dump(ast.parse(made)) for _, made in found]
    assert len(set(trees)) == len(trees)
    assert ast.dump(ast.parse("def f(a, b):\n    return a + b\n")) not in trees


def test_annotations_and_format_strings_are_left_alone():
    text = "def f(a: int = 1) -> str:\n    return '%s and' % a\n"
    assert all("int" in made and "-> str" in made for _, made in edits(text))
    assert not any(edit.operator == "arithmetic" for edit, _ in edits(text))


def test_there_are_many_operators_and_two_are_reserved():
    assert len(OPERATORS) - len(RESERVED) >= 15
    assert len(RESERVED) == 2
    assert set(OPERATORS) >= RESERVED
