"""Runs the calls of a task inside the sandbox and says what came out, canonically.

This file is also the program text of a grading job, so it imports the standard library
only. It never knows an expected value: it reports outcomes, and the other process compares
them. `canonical` documents when two outcomes are the same.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import hashlib
import importlib
import importlib.util
import json
import math
import os
import pathlib
import random
import re
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

LONGEST = 2000  # characters of an outcome; a longer one ends in a digest of the whole
_ITEMS = 200  # consumed from an iterator
_NODES = 100_000
_DEPTH = 40
_TEXT = 1_000_000
_PATIENCE = 6  # wall time per processor time: a busy machine must not change an outcome
_LOADING = 4  # times a call's time, for importing the module

ARGUMENT_NAMES: dict[str, Any] = {
    "math": math,
    "inf": math.inf,
    "nan": math.nan,
    "Decimal": decimal.Decimal,
    "Fraction": fractions.Fraction,
    "datetime": datetime,
    "OrderedDict": collections.OrderedDict,
    "defaultdict": collections.defaultdict,
    "Counter": collections.Counter,
    "deque": collections.deque,
}
_BY_REPR = (
    float, complex, bytes, bytearray, range, decimal.Decimal, fractions.Fraction,
    datetime.date, datetime.timedelta, datetime.timezone, pathlib.PurePosixPath,
    pathlib.PosixPath, uuid.UUID,
)  # fmt: skip
_SEQUENCES: dict[type, tuple[str, str]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    collections.deque: ("deque(", ")"),
    type({}.keys()): ("dict_keys(", ")"),
    type({}.values()): ("dict_values(", ")"),
    type({}.items()): ("dict_items(", ")"),
}
_MAPPINGS = (collections.OrderedDict, collections.defaultdict, collections.Counter)


class Opaque(Exception):
    """The value has no canonical form."""


class Overtime(BaseException):
    """A call used up its time."""


def canonical(value: object, *, consume: bool = True) -> str:
    """The text by which two outcomes are compared; equal texts mean equal outcomes.

    Exact built-in types only, recursively: a subclass, or an object that claims to equal
    everything, is `opaque` and never equals anything. Sets are sorted, dicts keep their
    order, floats are their repr. Iterators are consumed up to 200 items as `iter[...]`
    (never if `consume` is False). Some value types of the standard library and named
    tuples are `Type(contents)`. Longer than 2,000 characters: cut, with a digest.
    """
    try:
        return _bounded(_Writer(consume).write(value, 0))
    except Opaque as reason:
        return f"opaque {reason}"


def _bounded(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{text[: LONGEST - 80]}... sha256:{digest}"


class _Writer:
    """Writes one value, counting what it has written."""

    def __init__(self, consume: bool) -> None:
        self.consume = consume
        self.left = _NODES

    def write(self, value: Any, depth: int) -> str:
        self.left -= 1
        if depth > _DEPTH or self.left < 0:
            raise Opaque("too large")
        kind = type(value)
        if value is None or kind is bool or value is Ellipsis or value is NotImplemented:
            return repr(value)
        if kind is int:
            return repr(value) if value.bit_length() < 10_000 else hex(value)
        if kind in (str, bytes, bytearray) and len(value) > _TEXT:
            raise Opaque("too large")
        if kind is str or kind in _BY_REPR:
            return repr(value)
        if kind in (datetime.datetime, datetime.time):
            return self._moment(value)
        if kind in _SEQUENCES:
            opening, closing = _SEQUENCES[kind]
            return f"{opening}{self._join(value, depth)}{closing}"
        if kind in (set, frozenset):
            items = sorted(self.write(item, depth + 1) for item in value)
            return f"{kind.__name__}{{{', '.join(items)}}}"
        if kind is dict:
            return self._mapping(value, depth)
        if kind in _MAPPINGS:
            return f"{kind.__name__}({self._mapping(value, depth)})"
        if issubclass(kind, tuple) and type(getattr(kind, "_fields", None)) is tuple:
            return self._named_tuple(kind, value, depth)
        if isinstance(value, type) and value.__module__ == "builtins":
            return f"type({value.__name__})"
        if self.consume and hasattr(kind, "__next__"):
            return self._iterator(value, depth)
        raise Opaque(str(kind.__name__)[:80])

    def _join(self, items: Any, depth: int) -> str:
        return ", ".join([self.write(item, depth + 1) for item in items])

    def _mapping(self, value: Any, depth: int) -> str:
        pairs = [
            f"{self.write(key, depth + 1)}: {self.write(item, depth + 1)}"
            for key, item in value.items()
        ]
        return f"{{{', '.join(pairs)}}}"

    def _moment(self, value: Any) -> str:
        if value.tzinfo is not None and type(value.tzinfo) is not datetime.timezone:
            raise Opaque("time zone")
        return repr(value)

    def _named_tuple(self, kind: type, value: Any, depth: int) -> str:
        names = [str(name) for name in kind._fields]  # type: ignore[attr-defined]
        items = [self.write(item, depth + 1) for item in tuple.__iter__(value)]
        if len(names) != len(items):
            raise Opaque(str(kind.__name__)[:80])
        pairs = ", ".join(f"{name}={item}" for name, item in zip(names, items, strict=True))
        return f"{kind.__name__}({pairs})"

    def _iterator(self, value: Iterator[Any], depth: int) -> str:
        items: list[str] = []
        while len(items) < _ITEMS:
            try:
                item = next(value)
            except StopIteration:
                break
            except Exception as error:
                items.append(f"raises {type(error).__name__}")
                break
            items.append(self.write(item, depth + 1))
        else:
            items.append("...")
        return f"iter[{', '.join(items)}]"


class Clock:
    """Bounds each call by processor time, and by a multiple of it in wall time.

    Processor time, so that a busy machine does not change an outcome. Code that swallows
    the interruption is interrupted again, and in the end cut off by `on_stuck`.
    """

    def __init__(self, seconds: float, on_stuck: Callable[[], NoReturn]) -> None:
        self.seconds = seconds
        self.on_stuck = on_stuck
        self.armed = False
        self.rings = 0
        signal.signal(signal.SIGPROF, self._ring)
        signal.signal(signal.SIGALRM, self._ring)

    def start(self, share: float = 1.0) -> None:
        """Give what comes next its time, or a multiple of it."""
        self.rings = 0
        self.armed = True
        signal.setitimer(signal.ITIMER_PROF, self.seconds * share, 0.05)
        signal.setitimer(signal.ITIMER_REAL, self.seconds * share * _PATIENCE, 0.05)

    def stop(self) -> None:
        """Stop counting."""
        self.armed = False
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        if not self.armed:
            return
        self.rings += 1
        if self.rings > 5:
            self.on_stuck()
        raise Overtime


class Run:
    """One run of all calls; ends by sending exactly one record and leaving."""

    def __init__(self, request: dict[str, Any], result_fd: int) -> None:
        self.request = request
        self.owner = os.getpid()
        self.result_fd = result_fd
        self.outcomes = dict.fromkeys((name for name, _ in request["calls"]), "unrun")
        self.current = ""
        self.clock = Clock(request["call_s"], self._stuck)

    def all(self) -> NoReturn:
        """Load the entry, run the calls in order, send the record."""
        patience = self.request["timeouts"]
        try:
            self.clock.start(_LOADING)
            function = load(self.request["entry"])
        except BaseException as error:
            self.clock.stop()
            self.send(_describe(error))
        self.clock.stop()
        for name, arguments in self.request["calls"]:
            self.current = name
            outcome = self._one(function, arguments)
            self.outcomes[name] = outcome
            patience -= outcome == "timeout"
            if patience <= 0:
                break
        self.send("")

    def send(self, error: str) -> NoReturn:
        """Write the one record; a copy of this process made by the attempt writes nothing."""
        if os.getpid() == self.owner:
            record = {"nonce": self.request["nonce"], "error": error, "outcomes": self.outcomes}
            data = json.dumps(record).encode("ascii") + b"\n"
            while data:
                data = data[os.write(self.result_fd, data) :]
        os._exit(0)

    def _one(self, function: Callable[..., Any], arguments: str) -> str:
        before = outcome = after = ""
        try:
            try:
                values = eval(arguments, dict(ARGUMENT_NAMES))
                before = canonical(values, consume=False)
                self.clock.start()
                outcome = _outcome(function, values)
                after = canonical(values, consume=False)
            finally:
                self.clock.stop()
        except Overtime:
            self.clock.stop()  # once more: it may have rung before it was stopped
        except BaseException as error:  # the arguments cannot be made or compared
            outcome = f"error:{type(error).__name__}"
        if self.clock.rings:
            return "timeout"
        return outcome if before == after else _bounded(f"{outcome} with arguments {after}")

    def _stuck(self) -> NoReturn:
        if self.current:
            self.outcomes[self.current] = "timeout"
            self.send("")
        self.send("timeout while loading")


def _outcome(function: Callable[..., Any], values: tuple[Any, ...]) -> str:
    try:
        return canonical(function(*values))
    except Overtime:
        raise
    except BaseException as error:
        return f"raises {type(error).__name__}"


def load(entry: str) -> Callable[..., Any]:
    """The function named by "folder/module.py:name", imported as Python would."""
    path, _, name = entry.partition(":")
    module_name = path.removesuffix(".py").replace("/", ".")
    if "." in module_name:
        found: Any = importlib.import_module(module_name)
    else:
        # By path, so that a file may bear the name of a standard module.
        safe = module_name if module_name not in sys.stdlib_module_names else f"task_{module_name}"
        spec = importlib.util.spec_from_file_location(safe, os.path.abspath(path))
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} is not a Python file")
        found = sys.modules[safe] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _describe(error: BaseException) -> str:
    if isinstance(error, Overtime):
        return "timeout while loading"
    text = f"{type(error).__name__}: {error}"
    return re.sub(r"0x[0-9a-f]+", "0x", text)[:200]


def main(result_fd: int) -> NoReturn:
    """Read the request from standard input and answer it."""
    random.seed(0)
    Run(json.loads(sys.stdin.buffer.read()), result_fd).all()


if __name__ == "__main__":
    main(globals()["RESULT_FD"])
