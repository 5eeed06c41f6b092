"""The nearest known shape for a model that none is known of, by what its name says.

"Foo-34B" is dense with 34 billion parameters, "Foo-200B-A20B" a MoE with 20 active. A sibling of
a known family ("GLM-5.3") is read as that one. It must not know chips.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import log

from toprope.plan.shapenames import plain_name
from toprope.plan.shapes import Shape, load_shapes

_SIZE = re.compile(r"(?<![a-z0-9.])(a?)(\d+(?:\.\d+)?)(b|t)(?![a-z0-9])")
# A shape of another size than this factor is not called near.
_NEAR = 2.0


def stand_in(name: str, shapes: Mapping[str, Shape] | None = None) -> Shape | None:
    """Return the nearest shape by the sizes in a name, else by its family; None if neither."""
    known = load_shapes() if shapes is None else shapes
    plain = plain_name(name)
    total, active = _sizes(plain)
    if total:
        return _by_size(total, active, known)
    return _by_family(plain, known)


def _sizes(plain: str) -> tuple[float, float]:
    total = active = 0.0
    for marks, number, unit in _SIZE.findall(plain):
        size = float(number) * (1e12 if unit == "t" else 1e9)
        if marks:
            active = size
        else:
            total = size
    return total, active


def _by_size(total: float, active: float, shapes: Mapping[str, Shape]) -> Shape | None:
    def far(shape: Shape) -> float:
        apart = abs(log(shape.parameters / total))
        return apart + (abs(log(shape.parameters_active / active)) if active else 0.0)

    kind = [shape for shape in shapes.values() if shape.is_moe == bool(active)]
    found = min(kind, key=far)
    return found if far(found) <= log(_NEAR) * (2 if active else 1) else None


def _by_family(plain: str, shapes: Mapping[str, Shape]) -> Shape | None:
    """The shape whose name begins alike up to and with the family's major version."""
    family = re.match(r"[a-z-]+-?[a-z]?\d+", plain)
    if not family:
        return None
    like = [
        s for key, s in shapes.items() if any(n.startswith(family[0]) for n in (key, *s.aliases))
    ]
    return like[-1] if like else None
