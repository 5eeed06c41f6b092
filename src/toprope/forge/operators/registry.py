"""The table of mutation operators, and every edit that they can make of one function.

Two operators are reserved: their bugs occur only in `far` tasks, so that something is
measured there that undoing the training bugs does not teach.
"""

from __future__ import annotations

import ast

from toprope.forge.operators import arithmetic, logic, names, values
from toprope.forge.operators.shown import Edit, Operator, Shown

OPERATORS: dict[str, Operator] = {
    "arithmetic": arithmetic.arithmetic,
    "augmented": arithmetic.augmented,
    "branches": logic.branches,
    "compare": logic.compare,
    "constant": arithmetic.constant,
    "default": values.default,
    "function": names.function,
    "index": arithmetic.index,
    "keyword": values.keyword,
    "leave": logic.leave,
    "logic": logic.logic,
    "method": names.method,
    "negate": logic.negate,
    "nothing": values.nothing,
    "order": names.order,
    "range": arithmetic.bounds,
    "returned": names.returned,
    "sign": arithmetic.sign,
    "slice": arithmetic.cut,
    "string": values.string,
    "term": arithmetic.term,
    "truth": logic.truth,
    "unfilter": values.unfilter,
    "unwrap": names.unwrap,
    "variable": names.variable,
}
RESERVED = frozenset({"logic", "order"})


def edits(text: str) -> list[tuple[Edit, str]]:
    """Return every edit of the function `text` with the text it makes, in order of place.

    Texts that do not parse, mean the same tree, or repeat an earlier one are left out.
    """
    shown = Shown(text)
    seen = {ast.dump(ast.parse(text))}
    found = []
    for operator in OPERATORS.values():
        for edit in operator(shown):
            new = shown.apply(edit)
            try:
                dump = ast.dump(ast.parse(new))
            except SyntaxError:
                continue
            if dump not in seen:
                seen.add(dump)
                found.append((edit, new))
    return sorted(found)
