"""Marks of a test and the cases that `parametrize` makes of it, named as pytest names them.

Only what is certain: for everything else `NotPlain` is raised, and pytest itself runs.
"""

from __future__ import annotations

import enum
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

_FOREIGN = ("usefixtures", "xfail")


class NotPlain(BaseException):
    """These tests need pytest itself; `said` remembers it if a test swallows the exception."""

    said: ClassVar[list[str]] = []

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.said.append(why)


class Case(NamedTuple):
    """One call of a test function: its arguments by name and the marks of this case alone."""

    id: str
    arguments: dict[str, Any]
    marks: list[Any]


def marks_of(*owners: object) -> list[Any]:
    """The marks of a function, its class and its module, the closest first."""
    found: list[Any] = []
    for owner in owners:
        places = owner.__mro__ if isinstance(owner, type) else (owner,)
        for place in places:
            stored = vars(place).get("pytestmark", [])
            listed = stored if isinstance(stored, (list, tuple)) else [stored]
            found += [getattr(mark, "mark", mark) for mark in listed]
    for mark in found:
        check(mark)
    return found


def check(mark: Any) -> None:
    """Refuse a mark that asks for what only pytest does."""
    name = getattr(mark, "name", None)
    if name in _FOREIGN or not isinstance(name, str):
        raise NotPlain(f"it is marked {name}")


def skipped(marks: Sequence[Any]) -> bool:
    """Whether a mark keeps the test from running."""
    for mark in marks:
        if mark.name == "skip":
            return True
        if mark.name == "skipif":
            conditions = [*mark.args, *([mark.kwargs["condition"]] if "condition" in mark.kwargs
                                        else [])]  # fmt: skip
            if any(not isinstance(condition, bool) for condition in conditions):
                raise NotPlain("it is skipped on a condition that is no truth value")
            if any(conditions):
                return True
    return False


def cases(marks: Sequence[Any]) -> list[Case]:
    """The cases of a function with these marks; one without a name where none parametrizes it."""
    axes = [list(_axis(*mark.args, **mark.kwargs)) for mark in marks if mark.name == "parametrize"]
    made = []
    for chosen in itertools.product(*axes):
        arguments: dict[str, Any] = {}
        for case in chosen:
            arguments.update(case.arguments)
        found = [mark for case in chosen for mark in case.marks]
        made.append(Case("-".join(case.id for case in chosen), arguments, found))
    if len({case.id for case in made}) != len(made):
        raise NotPlain("two of its cases have one name")
    return made


def _axis(argnames: Any, argvalues: Any, ids: Any = None, **more: object) -> Iterator[Case]:
    if more:
        raise NotPlain(f"it is parametrized with {', '.join(more)}")
    one = isinstance(argnames, str) and "," not in argnames
    names = [argnames.strip()] if one else _names(argnames)
    values = list(argvalues)
    named = _given(ids, len(values))
    for at, value in enumerate(values):
        case_id: object = None
        marks: Sequence[Any] = ()
        if type(value).__name__ == "ParameterSet":
            case_id, marks, value = value.id, value.marks, value.values
        elif one:
            value = (value,)
        if len(value) != len(names):
            raise NotPlain("it has a case with another number of arguments")
        own = [getattr(mark, "mark", mark) for mark in marks]
        for mark in own:
            check(mark)
        arguments = dict(zip(names, value))  # noqa: B905 - Python 3.9
        if case_id is None:
            case_id = named(at, list(arguments.items()))
        if not isinstance(case_id, str):
            raise NotPlain("a name of a case is no text")
        yield Case(_escaped(case_id), arguments, own)
    if not values:
        raise NotPlain("it has no cases")


def _names(argnames: Any) -> list[str]:
    names = argnames.split(",") if isinstance(argnames, str) else argnames
    return [name.strip() for name in names if name.strip()]


def _given(ids: Any, count: int) -> Callable[[int, list[tuple[str, Any]]], object]:
    """How cases are named: by a list, by a function of a value, or by the values alone."""

    def by_values(at: int, arguments: list[tuple[str, Any]]) -> object:
        return "-".join(_named(name, value, at) for name, value in arguments)

    def by_function(at: int, arguments: list[tuple[str, Any]]) -> object:
        parts = []
        for name, value in arguments:
            told = ids(value)
            if told is not None and not isinstance(told, str):
                raise NotPlain("a function names its cases by what is no text")
            parts.append(_named(name, value, at) if told is None else told)
        return "-".join(parts)

    def by_list(at: int, arguments: list[tuple[str, Any]]) -> object:
        told = listed[at]
        if isinstance(told, (int, float, bool)):
            return str(told)
        return by_values(at, arguments) if told is None else told

    if ids is None:
        return by_values
    if callable(ids):
        return by_function
    listed = list(ids)
    if len(listed) != count:
        raise NotPlain("it names another number of cases than it has")
    return by_list


def _named(name: str, value: Any, at: int) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        raise NotPlain("a case is named by bytes")
    if value is None or isinstance(value, (float, int, bool, complex)):
        return str(value)
    if isinstance(value, re.Pattern):
        return str(value.pattern)
    if isinstance(value, enum.Enum):
        return str(value)
    own = getattr(value, "__name__", None)
    return own if isinstance(own, str) else f"{name}{at}"


def _escaped(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii")
