"""Serves a sandbox over a socket: the far end of `sandbox_as_user.py`, in a process of its own.

It runs as whoever started it, under any Python 3.11 with toprope's source on its path, and so
imports nothing beyond the standard library and `toprope.sandbox`.
"""

from __future__ import annotations

import pickle
import socket
import sys
from typing import Any, BinaryIO

from toprope.sandbox import open_sandbox


def serve(stream: BinaryIO) -> None:
    """Answer (number of an object, method, arguments) until the other end closes.

    Object 0 is the sandbox; each session that it opens gets the next number.
    """
    objects: list[Any] = []
    try:
        while True:
            number, method, arguments, named = pickle.load(stream)
            try:
                made = getattr(objects[number], method) if objects else open_sandbox
                answer = ("value", _plain(objects, made(*arguments, **named)))
            except Exception as error:
                # Not pickled whole: their __init__ do not take what they keep as arguments.
                answer = ("error", (type(error), error.args, vars(error)))
            pickle.dump(answer, stream)
            stream.flush()
    except EOFError:
        pass
    finally:
        for opened in reversed(objects):
            opened.close()


def _plain(objects: list[Any], value: Any) -> Any:
    """What can travel: of a new sandbox or session its number and what tests look at."""
    if hasattr(value, "walls"):
        objects.append(value)
        return {"walls": value.walls, "workers": value.workers}
    if hasattr(value, "changed"):
        objects.append(value)
        return {"number": len(objects) - 1, "guard": value._worker.process.pid}
    return value


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])).makefile("rwb"))
