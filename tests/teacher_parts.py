"""A real local chat server with scripted answers and faults, for the teacher tests."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answerer = Callable[[dict[str, Any]], str]


@dataclass
class FakeServer:
    """What the server was asked, and the faults it still has to act out, first to last."""

    url: str = ""
    answer: Answerer = lambda body: ""
    faults: list[str] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    told: dict[str, Any] = field(
        default_factory=lambda: {
            "id": "/models/tutor-1b.gguf",
            "tags": ["server=build-7", "sha256=abc123"],
            "meta": {"n_params": 1_000_000},
        }
    )


@contextmanager
def chat_server(answer: Answerer, faults: list[str] | None = None) -> Iterator[FakeServer]:
    """Serve `answer(body)` as chat completions on a free loopback port."""
    state = FakeServer(answer=answer, faults=faults or [])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(200, {"object": "list", "data": [state.told]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            state.asked.append(body)
            state.keys.append(self.headers.get("authorization"))
            fault = state.faults.pop(0) if state.faults else ""
            if fault.isdigit():
                self._send(int(fault), {"error": "as scripted"})
            elif fault == "cut":
                self.send_response(200)
                self.send_header("content-length", "1000")
                self.end_headers()
                self.wfile.write(b'{"choices": [')
                self.close_connection = True
            elif fault == "shape":
                self._send(200, {"choices": []})
            elif fault == "text":
                self._raw(200, b"<html>busy</html>")
            else:
                text = state.answer(body)
                usage = {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42}
                choice = {"message": {"content": text}, "finish_reason": "stop"}
                self._send(200, {"choices": [choice], "usage": usage})

        def _send(self, status: int, body: dict[str, Any]) -> None:
            self._raw(status, json.dumps(body).encode())

        def _raw(self, status: int, data: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


def fenced(code: str) -> str:
    """An answer as a chat model writes it, up to the stop string."""
    return f"```python\n{code.rstrip()}"
