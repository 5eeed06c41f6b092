"""What goes wrong, in one line such as a student was trained on: `f(1) returns 2, expected 3`.

Read off what pytest says about a failing comparison. What cannot be read so is told in
pytest's own last words, a form the student has not seen.
"""

from __future__ import annotations

import ast
import re

from toprope.forge.repository.telling import tell

LONGEST = 300  # characters
EXPECTED = ", expected "
_ERROR = re.compile(r"^E +(.*)$", re.MULTILINE)
_MARKED = re.compile(r"^>(\s+.*)$", re.MULTILINE)
_COMPARED = re.compile(r"^(?:AssertionError: )?assert (.*?) == (.*)$")
_TRUE = re.compile(r"^(?:AssertionError: )?assert (not )?(\S+)$")
_UNITTEST = re.compile(r"^AssertionError: (.*?) != (.*?)(?: : .*)?$")
_WHERE = re.compile(r"^\+\s+where (.*?) = (.*\))$")
_RAISED = re.compile(r"^([A-Z]\w*(?:\.\w+)*)(?::.*)?$")
_FUNCTION = re.compile(r"<(?:bound method|function|built-in function) ([\w.]+)[^>]*>+")


def told_briefly(test: str, text: str, name: str = "") -> str:
    """Return what goes wrong in a test, from the text of pytest's report.

    The function `name` is called by it alone, without its module.
    """
    errors = [line.strip() for line in _ERROR.findall(text)]
    line = _introspected(errors) or _from_source(errors, text)
    line = re.sub(rf"(?<![\w.])(?:[a-z_]\w*\.)+(?={re.escape(name)}\()", "", line) if name else line
    if line and len(line) <= LONGEST and "\n" not in line:
        return line
    return " ".join([test.rpartition("::")[2], "fails:", *errors])[:LONGEST].rstrip()


def in_trained_form(line: str) -> bool:
    """Tell whether a line of `told_briefly` has the form that students were trained on."""
    return EXPECTED in line


def told_in_full(test: str, text: str, failing: int) -> str:
    """Return the statement for a model that works over turns: pytest's report, cut at its head."""
    return tell(test, text, failing)


def _introspected(errors: list[str]) -> str:
    """From `assert 2 == 3` and `+ where 2 = f(1)`: pytest says which side was called."""
    where = next((found for line in errors[1:] if (found := _WHERE.match(line))), None)
    if not where:
        return ""
    compared, true = _COMPARED.match(errors[0]), _TRUE.match(errors[0])
    if compared and where[1] in compared.groups():
        left, right = compared.groups()
        expected = right if where[1] == left else left
    elif true and where[1] == true[2]:
        expected = str(not true[1])
    else:
        return ""
    call = _FUNCTION.sub(lambda found: found[1].rpartition(".")[2], where[2])
    return f"{call} returns {where[1]}, expected {expected}"


def _from_source(errors: list[str], text: str) -> str:
    """From the test's own failing line, with the values it had put into names just before."""
    compared = _sides(text)
    if not compared or not errors:
        return ""
    call, expected = compared
    values = _UNITTEST.match(errors[0]) or _COMPARED.match(errors[0])
    if values:
        return f"{call} returns {values[1]}, expected {values[2]}"
    raised = _RAISED.match(errors[0])
    return f"{call} raises {raised[1]}, expected {expected}" if raised else ""


def _sides(text: str) -> tuple[str, str] | None:
    """The call and what it should give, as the first marked line of the report compares them."""
    marked = _MARKED.search(text)
    if not marked:
        return None
    try:
        statement = ast.parse(marked[1].strip()).body[0]
    except (SyntaxError, IndexError):
        return None
    match statement:
        case ast.Assert(test=ast.Compare(left=left, ops=[ast.Eq()], comparators=[right])):
            pass
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="assertEqual"), args=[left, right])):
            pass
        case _:
            return None
    if not isinstance(left, ast.Call):
        left, right = right, left
    if not isinstance(left, ast.Call):
        return None
    known = _Known(text[: marked.start()])
    return ast.unparse(known.visit(left)), ast.unparse(known.visit(right))


class _Known(ast.NodeTransformer):
    """Puts literals in the place of names that the shown part of the test has set once."""

    def __init__(self, shown: str) -> None:
        self.values: dict[str, ast.expr] = {}
        for line in shown.split("\n"):
            try:
                body = ast.parse(line.strip()).body
            except (SyntaxError, ValueError):
                continue
            match body:
                case [ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant() as value)]:
                    self.values[name] = value

    def visit_Name(self, node: ast.Name) -> ast.expr:  # the name is ast's
        """The literal, or the name."""
        return self.values.get(node.id, node)
