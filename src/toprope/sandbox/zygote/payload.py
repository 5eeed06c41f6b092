"""The job's own process: runs the program as `__main__` and ends without ceremony."""

from __future__ import annotations

import os
import sys
import traceback
import types
from types import CodeType
from typing import NoReturn


def run(code: str | CodeType, result_fd: int) -> NoReturn:
    """Execute `code` with the working directory importable, then exit as Python would."""
    main = types.ModuleType("__main__")
    main.__dict__["RESULT_FD"] = result_fd
    for name in [name for name in sys.modules if name.partition(".")[0] == "zygote"]:
        del sys.modules[name]
    sys.modules["__main__"] = main
    sys.argv = ["program"]
    sys.path.insert(0, os.getcwd())
    status = 0
    try:
        compiled = code if isinstance(code, CodeType) else compile(code, "program", "exec")
        exec(compiled, main.__dict__)
    except SystemExit as stop:
        status = _exit_status(stop)
    except BaseException:
        status = 1
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)


def _exit_status(stop: SystemExit) -> int:
    if stop.code is None:
        return 0
    if isinstance(stop.code, int):
        return stop.code & 0xFF
    sys.stderr.write(f"{stop.code}\n")
    return 1
