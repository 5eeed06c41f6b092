"""Cuts one function out of its package as a self-contained file.

The file holds what the function needs (imports of a few pure standard modules, constants,
helper functions and small classes, from any module of the package) and ends with the
function itself. Nothing is run. It must not know what tests or bugs are.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from toprope.forge.clean import clean_text
from toprope.forge.freenames import BUILTINS, free_names, is_forbidden
from toprope.forge.modules import Definition, Imported, Module
from toprope.forge.packages import Package

PURE_MODULES = frozenset([
    "abc", "array", "base64", "binascii", "bisect", "calendar", "cmath", "codecs", "collections",
    "collections.abc", "colorsys", "contextlib", "copy", "dataclasses", "datetime", "decimal",
    "difflib", "enum", "fnmatch", "fractions", "functools", "hashlib", "heapq", "html",
    "html.entities", "ipaddress", "itertools", "json", "keyword", "math", "numbers", "operator",
    "posixpath", "re", "shlex", "statistics", "string", "struct", "textwrap", "types", "typing",
    "unicodedata", "urllib.parse", "warnings", "zlib",
])  # fmt: skip
# Without these decorators a function still computes the same values.
DROPPED_DECORATORS = frozenset([
    "lru_cache", "cache", "memoize", "memoized", "curry", "public", "deprecated", "wraps",
    "doctest_depends_on", "_dispatchable", "keep_lazy", "keep_lazy_text", "not_implemented_for",
    "filter", "stringfilter", "deprecate", "export", "allow_lazy",
])  # fmt: skip
LONGEST_FILE = 6_000
LONGEST_CONSTANT = 1_500
SHOWN_LINES = range(2, 15)
SHOWN_CHARACTERS = range(30, 421)
_HEADER = "from __future__ import annotations\n"


class NotExtractable(Exception):
    """Why a function cannot be cut out; the message is counted in the build's summary."""


@dataclass(frozen=True)
class Extract:
    """A function in a file of its own: `prelude` + `text` is the file, `text` what is shown."""

    package: Package
    origin: str
    line: int
    name: str
    prelude: str
    text: str

    @property
    def filename(self) -> str:
        """The file's name: the original module's, unless a standard module has it."""
        path = PurePosixPath(self.origin)
        stem = path.parent.name if path.stem == "__init__" else path.stem
        taken = stem in sys.stdlib_module_names or not stem.isidentifier()
        return f"{stem}_.py" if taken else f"{stem}.py"

    @property
    def entry(self) -> str:
        """What the tests call, as `file.py:function`."""
        return f"{self.filename}:{self.name}"

    @property
    def first_line(self) -> int:
        """The 1-based line of the file on which the shown function starts."""
        return self.prelude.count("\n") + 1

    def file_with(self, text: str) -> str:
        """Return the whole file with `text` in place of the function."""
        return self.prelude + text

    @property
    def key(self) -> str:
        """A name that is unique over all packages and stable over versions of this code."""
        return f"{self.package.name}/{self.origin}:{self.name}"


@dataclass
class _Closure:
    """The definitions a function needs, in an order in which they can be executed."""

    modules: Mapping[str, Module]
    imports: dict[str, str] = field(default_factory=dict)
    pieces: dict[str, str] = field(default_factory=dict)
    origins: dict[str, tuple[str, str]] = field(default_factory=dict)

    def need(self, name: str, module: Module, depth: int = 0) -> None:
        if depth > 8:
            raise NotExtractable("helpers nest too deeply")
        found = module.names.get(name)
        if found is None:
            if name in BUILTINS:
                return
            raise NotExtractable("a name is not defined plainly")
        if isinstance(found, Imported):
            self._import(name, found, depth)
            return
        if self._claim(name, (module.dotted, name)):
            self._define(name, found, module, depth)

    def _claim(self, name: str, origin: tuple[str, str]) -> bool:
        """Tell whether `name` is new here; two different things of one name cannot share a file."""
        known = self.origins.setdefault(name, origin)
        if known != origin:
            raise NotExtractable("two helpers share a name")
        return name not in self.pieces and name not in self.imports

    def _import(self, name: str, found: Imported, depth: int) -> None:
        if found.module in PURE_MODULES and found.module.split(".")[0] not in self.modules:
            self._claim(name, (found.module, found.name or ""))
            what = found.name or found.module
            renamed = "" if found.bound == what else f" as {found.bound}"
            source = f"from {found.module} " if found.name else ""
            self.imports[name] = f"{source}import {what}{renamed}\n"
            return
        home = self.modules.get(found.module)
        if found.name is None or home is None:
            raise NotExtractable("needs a module that is not pure")
        self.need(found.name, home, depth + 1)
        if name != found.name:
            self._claim(name, (found.module, f"{found.name} as {name}"))
            self.pieces.setdefault(name, f"{name} = {found.name}\n")

    def _define(self, name: str, node: Definition, module: Module, depth: int) -> None:
        if is_forbidden(node):
            raise NotExtractable("reaches files, clocks, chance or the interpreter")
        for read in free_names(node):
            if read != name:
                self.need(read, module, depth + 1)
        if isinstance(node, ast.FunctionDef):
            check_decorators(node)
            text = clean_text(node, module.lines)
        elif isinstance(node, ast.ClassDef):
            text = self._class_text(node, module)
        else:
            text = _constant_text(node, module.lines)
        if text is None:
            raise NotExtractable("a definition cannot be cut out cleanly")
        self.pieces[name] = text

    def _class_text(self, node: ast.ClassDef, module: Module) -> str | None:
        if node.keywords:
            raise NotExtractable("needs a class with a metaclass")
        for decorator in node.decorator_list:
            for read in free_names(decorator):
                self.need(read, module, 1)
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        above = "".join(line + "\n" for line in module.lines[first - 1 : node.lineno - 1])
        body = clean_text(node, module.lines)
        return None if body is None else above + body

    def text(self) -> str:
        blocks = [_HEADER, *sorted(set(self.imports.values())), *self.pieces.values()]
        return "".join(blocks)


def check_decorators(node: ast.FunctionDef) -> None:
    """Refuse a function whose decorators change what it computes."""
    for decorator in node.decorator_list:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
        if name not in DROPPED_DECORATORS:
            raise NotExtractable("a decorator changes what it computes")


def extract(node: ast.FunctionDef, module: Module, modules: Mapping[str, Module],
            package: Package) -> Extract:  # fmt: skip
    """Return `node` in a file of its own, or raise `NotExtractable` with the reason."""
    check_signature(node)
    check_decorators(node)
    if is_forbidden(node):
        raise NotExtractable("reaches files, clocks, chance or the interpreter")
    text = clean_text(node, module.lines)
    if text is None:
        raise NotExtractable("a definition cannot be cut out cleanly")
    if text.count("\n") not in SHOWN_LINES or len(text) not in SHOWN_CHARACTERS:
        raise NotExtractable("too long or too short to show")
    if not text.isascii():
        raise NotExtractable("not plain ASCII")
    closure = _Closure(modules)
    closure.origins[node.name] = (module.dotted, node.name)
    closure.pieces[node.name] = ""
    for name in free_names(node):
        if name != node.name:
            closure.need(name, module)
    prelude = closure.text()
    if len(prelude) + len(text) > LONGEST_FILE:
        raise NotExtractable("needs too much other code")
    return Extract(package, module.path, node.lineno, node.name, prelude, text)


def check_signature(node: ast.FunctionDef) -> None:
    """Refuse what cannot be called with one to five positional literals."""
    arguments = node.args
    names = [a.arg for a in [*arguments.posonlyargs, *arguments.args]]
    if not names and arguments.vararg is None:
        raise NotExtractable("takes no arguments")
    if names and names[0] in {"self", "cls"}:
        raise NotExtractable("is a method")
    if len(names) - len(arguments.defaults) > 5:
        raise NotExtractable("takes too many arguments")
    if any(default is None for default in arguments.kw_defaults):
        raise NotExtractable("needs a keyword argument")


def candidates(modules: Mapping[str, Module]) -> Iterator[tuple[ast.FunctionDef, Module]]:
    """Yield every plain top-level function of a package, in order of module and line."""
    for dotted in sorted(modules):
        for node in modules[dotted].functions():
            yield node, modules[dotted]


def _constant_text(node: ast.Assign | ast.AnnAssign, lines: list[str]) -> str | None:
    last = node.end_lineno or node.lineno
    text = "".join(line + "\n" for line in lines[node.lineno - 1 : last])
    if len(text) > LONGEST_CONSTANT:
        raise NotExtractable("needs a large constant")
    try:
        return text if len(ast.parse(text).body) == 1 else None
    except SyntaxError:
        return None
