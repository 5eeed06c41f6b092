"""What a worker does once, before any job: loads pytest and builds all that knows no task.

Only code of pytest runs here, never a plug-in, a conftest or a file of a task. What is not
as expected is left undone: then a job takes pytest's own way, which is slower.
"""

from __future__ import annotations

import importlib
import pathlib
from collections.abc import Sequence
from importlib import metadata
from typing import Any

# Before the plug-ins, as it decides which of them exist.
FIRST = ["-p", "no:cacheprovider"]
_LATER = (
    "_pytest.raises", "_pytest.subtests", "_pytest.python_api", "doctest", "iniconfig", "pdb",
    "readline", "tomllib", "unittest.case", "xml.etree.ElementTree",
)  # fmt: skip
_prepared: list[Any] = []
_known: dict[str, list[str]] = {}


def warm() -> None:
    """Import what pytest will import, and build its configuration as far as no file is read."""
    import _pytest.config
    import pytest

    plugins()
    for name in (*(f"_pytest.{name}" for name in _pytest.config.default_plugins), *_LATER):
        try:
            importlib.import_module(name)
        except ImportError:  # another version of Python or pytest has it elsewhere
            continue
    pytest.approx(0.0)
    _prepared[:] = [_pytest.config.get_config(list(FIRST))]


def main(args: Sequence[str], plugins: Sequence[object]) -> int:
    """Do as `pytest.main([*FIRST, *args], plugins)` does, with what was built beforehand."""
    import pytest

    every = [*FIRST, *args]
    # Plug-ins named in the arguments have a say in how the configuration is built.
    if not _prepared or any(word.startswith("-p") for word in args):
        return int(pytest.main(every, plugins=list(plugins)))
    config = _prepared.pop()
    config.invocation_params = pytest.Config.InvocationParams(
        args=every, plugins=list(plugins), dir=pathlib.Path.cwd()
    )
    manager = config.pluginmanager
    try:
        for plugin in plugins:
            manager.register(plugin)
        config = manager.hook.pytest_cmdline_parse(pluginmanager=manager, args=every)
        return int(config.hook.pytest_cmdline_main(config=config))
    except pytest.UsageError:
        return int(pytest.ExitCode.USAGE_ERROR)


def plugins() -> list[str]:
    """The names of the plug-ins that are installed, whose code nobody has run for this."""
    if "plugins" in _known:
        return _known["plugins"]
    found = {
        point.name
        for package in metadata.distributions()
        for point in package.entry_points
        if point.group == "pytest11"
    }
    _known["plugins"] = sorted(found)
    return _known["plugins"]
