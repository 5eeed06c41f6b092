"""Python literals as test inputs: writing them, making them up by kind, changing them a little.

All chance comes from the generator that the caller passes. It must not know functions.
"""

from __future__ import annotations

import random
from collections.abc import Callable

_WORDS = (
    "a", "b", "ab", "abc", "hello", "world", "foo", "bar", "spam", "eggs", "data", "Test",
    "value", "key", "name", "apple", "banana", "cherry", "level", "noon", "racecar", "python",
    "Mississippi", "x", "y", "z", "one", "two", "three", "cat", "dog", "mouse", "HTML", "id",
    "user_id", "fooBar", "camelCaseWord", "some_snake_name", "kebab-case-name", "A", "Bb",
    "quiz", "jazz", "box", "baby", "church", "city",
)  # fmt: skip
_TEXTS = (
    "", " ", "Hello, World!", "the quick brown fox", "a,b,c", "a=1;b=2", "key: value", "  padded  ",
    "line one\nline two", "UPPER lower", "x-y_z", "foo.bar.baz", "/usr/local/lib", "dir/file.txt",
    "http://example.com/a?b=1#c", "user@example.com", "<b>bold</b> & more", "it's \"quoted\"",
    "tab\tseparated", "1, 2, 3", "caf\u00e9", "aaa bbb aaa", "(a + b) * c", "%20 a+b", "3 apples",
)  # fmt: skip
_DIGITS = (
    "0", "1", "7", "12", "42", "007", "123456", "-5", "+3", "3.14", "1e3", "1,234", "0x1F", "101",
    "1011", "ff", "1.2.3", "2.0.0rc1", "12:30:45", "2020-02-29", "1999-12-31", "20240101",
    "192.168.0.1", "4111111111111111", "50%", "10kb", "#ff0000", "MCMXCIV", "IV", "1/2",
)  # fmt: skip
_BYTES = (b"", b"a", b"abc", b"hello world", b"\x00\x01\xff", b"line\n", b"1010", b"\x80abc")

_FUNCTIONS = (
    "lambda x: x", "lambda x: x > 2", "lambda x: x % 2", "lambda x: x + 1", "lambda x: x * 2",
    "lambda x: -x", "lambda x: len(x)", "lambda x: x[0]", "len", "str", "abs", "bool", "str.upper",
    "lambda x, y: x + y", "lambda x, y: x - y", "lambda a, b: a < b", "lambda *a: a", "max", "int",
)  # fmt: skip

Maker = Callable[[random.Random], object]


class Code(str):
    """The source of a value that is no literal, such as a small function."""

    __slots__ = ()


def as_literal(value: object) -> str:
    """Write a value as a literal that does not depend on the order of hashing."""
    if isinstance(value, set) and value:
        return "{" + ", ".join(sorted(as_literal(item) for item in value)) + "}"
    if type(value) is list:
        return "[" + ", ".join(as_literal(item) for item in value) + "]"
    if type(value) is tuple:
        inner = ", ".join(as_literal(item) for item in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if type(value) is dict:
        pairs = (f"{as_literal(key)}: {as_literal(item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    return str(value) if isinstance(value, Code) else repr(value)


def _small(rng: random.Random) -> int:
    return rng.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, -1, -2, -3])


def _natural(rng: random.Random) -> int:
    return rng.choice([0, 1, 2, 3, 5, 7, 9, 12, 13, 16, 25, 28, 36, 59, 60, 97, 100, 101, 144])


def _large(rng: random.Random) -> int:
    return rng.choice([255, 256, 360, 561, 997, 1000, 1024, 1900, 2000, 2024, 3599, 65537, 10**6])


def _floating(rng: random.Random) -> float:
    return rng.choice([0.0, 0.5, 1.0, 1.5, -1.5, 2.5, 3.14159, 0.1, 10.25, 99.9, -0.25, 1000.0])


def _word(rng: random.Random) -> str:
    return rng.choice(_WORDS)


def _text(rng: random.Random) -> str:
    return rng.choice(_TEXTS)


def _phrase(rng: random.Random) -> str:
    separator = rng.choice([" ", " ", "-", "_", ",", ", "])
    return separator.join(rng.choice(_WORDS) for _ in range(rng.randint(2, 4)))


def _digits(rng: random.Random) -> str:
    return rng.choice(_DIGITS)


def _letter(rng: random.Random) -> str:
    return rng.choice("abcxyzABZ019 ,.-_:/")


def _list_of(maker: Maker, kind: type = list, longest: int = 6) -> Maker:
    def make(rng: random.Random) -> object:
        return kind(maker(rng) for _ in range(rng.randint(0, longest)))

    return make


def _ordered(rng: random.Random) -> list[int]:
    return sorted({rng.randint(-5, 30) for _ in range(rng.randint(1, 7))})


def _matrix(rng: random.Random) -> list[list[int]]:
    rows = rng.randint(1, 3)
    columns = rng.choice([rows, rows, rng.randint(1, 3)])
    return [[rng.randint(0, 9) for _ in range(columns)] for _ in range(rows)]


def _bits(rng: random.Random) -> list[int]:
    return [rng.randint(0, 1) for _ in range(rng.randint(1, 6))]


def _point(rng: random.Random) -> tuple[object, ...]:
    make = rng.choice([_small, _floating])
    return tuple(make(rng) for _ in range(2))


def _triple(rng: random.Random) -> tuple[object, ...]:
    return tuple(_natural(rng) for _ in range(3))


def _pairs(rng: random.Random) -> list[tuple[object, ...]]:
    return [(_word(rng), _small(rng)) for _ in range(rng.randint(0, 4))]


def _counts(rng: random.Random) -> dict[str, int]:
    return {_word(rng): _small(rng) for _ in range(rng.randint(0, 4))}


def _table(rng: random.Random) -> dict[str, str]:
    return {_word(rng): _word(rng) for _ in range(rng.randint(0, 3))}


def _nested(rng: random.Random) -> dict[str, object]:
    inner: list[object] = [_counts(rng), _small(rng), [1, 2, 3], {"b": {"c": 3}}]
    return {rng.choice("abcd"): rng.choice(inner) for _ in range(rng.randint(0, 3))}


def _graph(rng: random.Random) -> dict[object, list[object]]:
    nodes: list[object] = list(rng.choice(["abcd", (0, 1, 2, 3)]))
    return {node: rng.sample(nodes, rng.randint(0, 2)) for node in nodes}


def _records(rng: random.Random) -> list[dict[str, int]]:
    return [{"a": _small(rng), "b": _small(rng)} for _ in range(rng.randint(0, 3))]


def _date(rng: random.Random) -> Code:
    year, month = rng.choice([1970, 1999, 2000, 2019, 2023, 2024]), rng.randint(1, 12)
    return Code(f"datetime.date({year}, {month}, {rng.randint(1, 28)})")


def _moment(rng: random.Random) -> Code:
    day = _date(rng).removeprefix("datetime.date(").removesuffix(")")
    return Code(f"datetime.datetime({day}, {rng.randint(0, 23)}, {rng.randint(0, 59)})")


def _period(rng: random.Random) -> Code:
    return Code(f"datetime.timedelta({rng.randint(-3, 40)}, {rng.choice([0, 1, 59, 3600, 4000])})")


KINDS: dict[str, Maker] = {
    "small": _small,
    "natural": _natural,
    "large": _large,
    "float": _floating,
    "word": _word,
    "text": _text,
    "phrase": _phrase,
    "digits": _digits,
    "letter": _letter,
    "bool": lambda rng: rng.random() < 0.5,
    "none": lambda rng: None,
    "bytes": lambda rng: rng.choice(_BYTES),
    "ints": _list_of(_small),
    "ordered": _ordered,
    "bits": _bits,
    "floats": _list_of(_floating),
    "words": _list_of(_word, longest=4),
    "letters": _list_of(_letter, longest=5),
    "tuple": _list_of(_small, tuple, 4),
    "set": _list_of(_small, set, 4),
    "matrix": _matrix,
    "lists": _list_of(_list_of(_small, longest=3), longest=3),
    "point": _point,
    "triple": _triple,
    "points": _list_of(_point, longest=4),
    "pairs": _pairs,
    "counts": _counts,
    "table": _table,
    "nested": _nested,
    "graph": _graph,
    "records": _records,
    "function": lambda rng: Code(rng.choice(_FUNCTIONS)),
    "date": _date,
    "moment": _moment,
    "period": _period,
    "decimal": lambda rng: Code(f"Decimal('{rng.choice(['0', '1.5', '-2.25', '10', '3.14'])}')"),
    "fraction": lambda rng: Code(f"Fraction({_small(rng)}, {rng.randint(1, 7)})"),
}


def changed(value: object, rng: random.Random) -> object:
    """Return a value of the same shape that differs a little."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice([value + 1, value - 1, -value, value * 2, value // 2, 0])
    if isinstance(value, float):
        return rng.choice([value + 1, -value, value * 2, value / 2, 0.0, float(round(value))])
    if isinstance(value, Code):
        return value
    if isinstance(value, str):
        return _changed_text(value, rng)
    if isinstance(value, list | tuple):
        items = list(value)
        _change_items(items, rng)
        return type(value)(items)
    if isinstance(value, dict):
        keys = list(value)
        if not keys:
            return value
        key = rng.choice(keys)
        kept = {k: v for k, v in value.items() if k != key}
        return kept if rng.random() < 0.4 else {**kept, key: changed(value[key], rng)}
    return value


def _change_items(items: list[object], rng: random.Random) -> None:
    if not items:
        return
    place = rng.randrange(len(items))
    act = rng.randrange(5)
    if act == 0:
        del items[place]
    elif act == 1:
        items.insert(place, items[place])
    elif act == 2:
        items.reverse()
    else:
        items[place] = changed(items[place], rng)


def _changed_text(value: str, rng: random.Random) -> str:
    act = rng.randrange(7)
    place = rng.randrange(len(value) + 1)
    if act == 0:
        return value[:place] + value[place + 1 :]
    if act == 1:
        return value[:place] + rng.choice("aZ0 -_.,x/") + value[place:]
    if act == 2:
        return value.swapcase()
    if act == 3:
        return value[::-1]
    if act == 4:
        return value + value[:place]
    return value[:place] if act == 5 else value[place:]
