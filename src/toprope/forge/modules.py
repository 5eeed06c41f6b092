"""The modules of one package, read as text: what each top-level name is defined by.

Nothing is imported or run. It must not know what is done with the definitions.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True)
class Imported:
    """A name bound by an import: `import module` when `name` is None, else `from module`."""

    module: str
    name: str | None
    bound: str


@dataclass
class Module:
    """One module: its dotted name and what its top level binds. Rebound names are left out."""

    path: str
    dotted: str
    lines: list[str]
    names: dict[str, Definition | Imported] = field(default_factory=dict)

    def functions(self) -> Iterator[ast.FunctionDef]:
        """Yield the plain functions defined once at the top level, in order of their lines."""
        for node in self.names.values():
            if isinstance(node, ast.FunctionDef):
                yield node


def read_modules(files: Mapping[str, str]) -> dict[str, Module]:
    """Return the modules of a package by dotted name; files that do not parse are left out."""
    modules = {}
    for path, text in files.items():
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        dotted = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        module = Module(path, dotted, text.split("\n"))
        rebound: set[str] = set()
        for name, node in _bindings(tree.body, module):
            if name in module.names:
                rebound.add(name)
            else:
                module.names[name] = node
        for name in rebound:
            del module.names[name]
        modules[dotted] = module
    return modules


def _bindings(body: list[ast.stmt], module: Module) -> Iterator[tuple[str, Definition | Imported]]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, node
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            if isinstance(node.targets[0], ast.Name):
                yield node.targets[0].id, node
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            if isinstance(node.target, ast.Name):
                yield node.target.id, node
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            # Changing a name in place makes its first definition a wrong answer: say it twice.
            name = node.target.id
            yield from ((name, Imported("", None, name)) for _ in range(2))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname or "." not in alias.name:
                    bound = alias.asname or alias.name
                    yield bound, Imported(alias.name, None, bound)
        elif isinstance(node, ast.ImportFrom):
            origin = _absolute(node, module)
            for alias in node.names:
                bound = alias.asname or alias.name
                yield bound, Imported(origin, alias.name, bound)
        elif isinstance(node, ast.Try):
            # The first branch is what a current interpreter takes.
            yield from _bindings(node.body, module)


def _absolute(node: ast.ImportFrom, module: Module) -> str:
    if node.level == 0:
        return node.module or ""
    parts = module.dotted.split(".")
    is_package = module.path.endswith("__init__.py")
    keep = len(parts) - node.level + (1 if is_package else 0)
    return ".".join([*parts[: max(keep, 0)], *([node.module] if node.module else [])])
