"""What kinds of value a parameter probably takes, from its name, annotation and default.

A guess only: what really works is found by calling. It must not run anything.
"""

from __future__ import annotations

import ast
import re

from toprope.forge.literals import KINDS

_STRINGS = ("word", "text", "phrase", "digits", "letter")
_NUMBERS = ("small", "natural", "large", "float")
_LISTS = ("ints", "words", "ordered", "floats", "letters", "lists", "tuple", "points")
_MAPS = ("counts", "table", "nested", "graph")
_BY_ANNOTATION = (
    (r"\bstr|Text", _STRINGS),
    (r"\bint\b|Integral", ("small", "natural", "large")),
    (r"float|Number|Real", ("float", "small", "natural")),
    (r"\bbool", ("bool",)),
    (r"bytes", ("bytes",)),
    (r"[Ll]ist|Sequence|Iterable|Collection", _LISTS),
    (r"[Tt]uple", ("tuple", "point", "triple")),
    (r"[Dd]ict|Mapping", _MAPS),
    (r"[Ss]et\b", ("set", "ints")),
    (r"Matrix", ("matrix",)),
    (r"Callable", ("function",)),
    (r"datetime", ("moment",)),
    (r"date\b", ("date", "moment")),
    (r"timedelta", ("period",)),
)
_BY_NAME = (
    (r"^(s|st|string|str\w*|text|txt|word|name|title|line|msg|sentence|phrase|label|prefix|suffix"
     r"|path|url|uri|filename|value|val|token|term|pattern|html|css|code|source|src|s1|s2|str1|str2)$",
     _STRINGS),
    (r"^(sep|delim\w*|char|c|ch|letter|quote|fill\w*)$", ("letter", "word")),
    (r"^(n|m|k|i|j|x|y|z|a|b|p|q|r|num\w*|number|count|size|length|width|height|depth|index|idx|pos"
     r"|limit|start|stop|end|step|base|year|month|day|hour|minute|second|order|degree|mod\w*|bits)$",
     _NUMBERS),
    (r"^(lst|list\w*|l|arr\w*|array|seq\w*|items|iterable|it|elements|xs|values|nums|numbers|data"
     r"|collection|args|words|tokens|parts|lines|sequence\w*|perm\w*|partition|vector|v|u)$",
     _LISTS),
    (r"^(d|dct|dict\w*|mapping|obj|map\w*|params|attrs|options|config|table|counts)$", _MAPS),
    (r"^(matrix|mat|grid|board|image|table|rows|f|g)$", ("matrix", "ints")),
    (r"^(graph|adj\w*|edges|tree)$", ("graph", "points")),
    (r"^(pt|pt1|pt2|point\w*|p0|p1|p2|coord\w*|vec\w*)$", ("point", "triple")),
    (r"^(bytes|data|buf\w*|raw|payload|b)$", ("bytes",)),
    (r"^(func|function|fn|f|key|pred\w*|predicate|callback|callable|iteratee|op|binop|keyfunc"
     r"|comparator|transform|cond\w*|selector|by|g)$", ("function",)),
    (r"^(dt|date\w*|d|day|moment|when|dt1|dt2|t)$", ("date", "moment")),
    (r"^(delta|td|duration|period)$", ("period",)),
    (r"^(is_|has_|use_|allow|strict|reverse|ignore|inclusive|flag|force)", ("bool",)),
)  # fmt: skip


def parameter_kinds(argument: ast.arg, default: ast.expr | None) -> list[str]:
    """Return kinds worth trying first for a parameter, likeliest first; may be empty."""
    found: list[str] = []
    if argument.annotation is not None:
        written = ast.unparse(argument.annotation)
        for pattern, kinds in _BY_ANNOTATION:
            if re.search(pattern, written):
                found += kinds
    if isinstance(default, ast.Constant):
        found += _of_default(default.value)
    for pattern, kinds in _BY_NAME:
        if re.match(pattern, argument.arg):
            found += kinds
    return list(dict.fromkeys(found))


def _of_default(value: object) -> tuple[str, ...]:
    if isinstance(value, bool):
        return ("bool",)
    if isinstance(value, int):
        return ("small", "natural")
    if isinstance(value, float):
        return ("float",)
    if isinstance(value, str):
        return ("word", "letter")
    return ("none",) if value is None else ()


RARE_KINDS = ("function", "date", "moment", "period", "decimal", "fraction")
PLAIN_KINDS = tuple(kind for kind in KINDS if kind not in RARE_KINDS)
