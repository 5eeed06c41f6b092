"""One program text of the modules in `inside`, for a job to carry to wherever it runs."""

from __future__ import annotations

from pathlib import Path

_NAME = "toprope_inside"
# In the order in which they import each other.
_MODULES = (
    "watch", "warm", "with_pytest", "parameters", "cases", "modules", "collecting", "scopes",
    "plain", "main",
)  # fmt: skip
_TEXT = """\
import sys, types

_NAME = {name!r}


def _load(modules):
    if _NAME in sys.modules:
        return
    package = types.ModuleType(_NAME)
    package.__path__ = []
    sys.modules[_NAME] = package
    for name, text in modules.items():
        module = types.ModuleType(_NAME + "." + name)
        module.__package__ = _NAME
        sys.modules[module.__name__] = module
        exec(compile(text, module.__name__, "exec"), module.__dict__)
        setattr(package, name, module)


_load({modules!r})
if __name__ == "__warm__":
    sys.modules[_NAME + ".warm"].warm()
elif __name__ == "__main__":
    sys.modules[_NAME + ".main"].main(RESULT_FD)
"""


def program() -> str:
    """Return the text; run as `__warm__` it only prepares, where a worker offers that."""
    folder = Path(__file__).with_name("inside")
    texts = {name: (folder / f"{name}.py").read_text(encoding="utf-8") for name in _MODULES}
    return _TEXT.format(name=_NAME, modules=texts)
