"""The teacher's natural form: a whole function in, the whole corrected function out.

Turns a task into chat messages and an answer's text into changed files, leniently. It
does not know who answers, what the answer is worth, or the student's dialect.
"""

from __future__ import annotations

import ast
import hashlib
import re
import textwrap

from toprope.teacher.protocol import TeacherError
from toprope.terms import Task

Messages = list[dict[str, str]]

# The fixed part comes first, so that a server computes it once for all tasks.
SYSTEM = (
    "Fix the bug in the Python function. Reply with the whole corrected function "
    "in one ```python block, no explanation."
)
STOP = ("\n```\n",)
_MOST_TEXT, _MOST_LINES = 16_384, 60  # of an answer, beside what the shown function allows for
_BLOCK = re.compile(r"```[A-Za-z0-9]*[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


class NoAnswer(TeacherError):
    """The teacher's text holds no version of the function that was asked for."""


def messages(task: Task) -> Messages:
    """Return the chat that asks for a corrected version of the function in focus."""
    code = textwrap.dedent("\n".join(focus_lines(task)))
    question = f"```python\n{code}\n```\n{task.statement}"
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]


def question_key(talk: Messages) -> str:
    """Return the SHA-256 of the question that a chat ends with, whatever came before it.

    An answer may be used again for any task that asks the same question.
    """
    return hashlib.sha256(talk[-1]["content"].encode()).hexdigest()


def extract(text: str, task: Task) -> dict[str, str]:
    """Return {path: whole new text} of the focus file with the answered function put in.

    The function is taken from the first block (or the bare text) that holds one of the
    right name; its decorators and everything around it stay the task's own.

    Raises:
        NoAnswer: no function of the right name can be read from the text, or it is longer than
            any correction of this function.
    """
    shown = focus_lines(task)
    most = _MOST_TEXT + 4 * sum(map(len, shown))
    if len(text) > most:
        raise NoAnswer(f"an answer of {len(text):,} characters; at most {most:,} are read")
    offset, name, unit = _shape(shown)
    for piece in [*_BLOCK.findall(text), text]:
        body = _function_source(piece, name, most=_MOST_LINES + 3 * len(shown))
        if body is not None:
            margin = re.match(r"\s*", shown[offset])
            indent = margin.group() if margin else ""
            fitted = [indent + line if line else line for line in _fit(body, unit)]
            lines = task.files[task.focus.path].split("\n")
            lines[task.focus.first - 1 + offset : task.focus.last] = fitted
            return {task.focus.path: "\n".join(lines)}
    raise NoAnswer(f"no function called {name} in the answer")


def focus_lines(task: Task) -> list[str]:
    """Return the lines of the task's focus, as they stand in its file."""
    lines = task.files[task.focus.path].split("\n")
    return lines[task.focus.first - 1 : task.focus.last]


def _shape(shown: list[str]) -> tuple[int, str, int]:
    """The index of the `def` line in the focus, the function's name, and its indent unit."""
    function = _find(ast.parse(textwrap.dedent("\n".join(shown))), None)
    if function is None:
        raise NoAnswer("the focus of the task holds no function")
    return function.lineno - 1, function.name, _unit(function)


def _function_source(piece: str, name: str, *, most: int) -> list[str] | None:
    """The dedented lines of the function called `name`, or None; prose after it is cut.

    At most so many lines are looked at: each that is cut costs a parse of all the others.
    """
    start = re.search(rf"^[ \t]*(?:async )?def {re.escape(name)}\b", piece, re.MULTILINE)
    if start is None:
        return None
    lines = textwrap.dedent(piece[start.start() :]).rstrip().split("\n")[:most]
    while lines:
        try:
            function = _find(ast.parse("\n".join(lines)), name)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            lines.pop()
            continue
        return lines[function.lineno - 1 : function.end_lineno] if function else None
    return None


def _find(tree: ast.Module, name: str | None) -> FunctionNode | None:
    for node in tree.body:
        if isinstance(node, FunctionNode) and name in (None, node.name):
            return node
    return None


def _unit(function: FunctionNode) -> int:
    first = function.body[0]
    return first.col_offset if first.lineno > function.lineno else 4


def _fit(body: list[str], unit: int) -> list[str]:
    """The lines with their indentation scaled to the unit of the file they go into."""
    own = _unit_of(body)
    if own == unit:
        return body
    fitted = []
    for line in body:
        depth = len(line) - len(line.lstrip(" "))
        fitted.append(" " * (depth * unit // own) + line.lstrip(" "))
    return fitted


def _unit_of(body: list[str]) -> int:
    function = _find(ast.parse("\n".join(body)), None)
    return (_unit(function) if function else 0) or 4
