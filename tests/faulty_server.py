"""A real local chat server that acts faults out, for the tests of teachers that go wrong.

A fault is a name of `FAULTS`, or a status such as "429". It lasts as long as the server or
the connection, whichever ends first: nothing here sleeps for a client.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answerer = Callable[[dict[str, Any]], Any]
MODEL = {"id": "tutor", "meta": {"n_params": 1000}}


@dataclass
class Faulty:
    """What the server was asked, and how it behaves: `fault(number)` of each question."""

    url: str = ""
    answer: Answerer = lambda body: "hi"
    fault: Callable[[int], str] = lambda number: ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    models: list[dict[str, Any]] = field(default_factory=lambda: [MODEL])
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)


def completion(text: Any, **usage: Any) -> bytes:
    counts = usage or {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42}
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], "usage": counts}).encode()


@contextmanager
def faulty_server(
    answer: Answerer = lambda body: "hi", fault: Callable[[int], str] = lambda number: ""
) -> Iterator[Faulty]:
    """Serve chat completions on a free loopback port, with faults."""
    state = Faulty(answer=answer, fault=fault)

    class Handler(_Handler):
        server_state = state

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.over.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server_state: Faulty

    def do_GET(self) -> None:
        self.whole(200, json.dumps({"data": self.server_state.models}).encode())

    def do_POST(self) -> None:
        state = self.server_state
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with state.lock:
            number = len(state.asked)
            state.asked.append(body)
        fault = state.fault(number)
        try:
            if fault.isdigit():
                key = self.headers.get("authorization", "")
                self.whole(int(fault), json.dumps({"error": {"message": f"no: {key}"}}).encode())
            elif fault:
                FAULTS[fault](self)
            else:
                told = state.answer(body)
                if isinstance(told, tuple):
                    self.whole(*told)
                else:
                    self.whole(200, completion(told))
        except OSError:
            self.close_connection = True

    def whole(self, status: int, data: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        if status == 429:
            self.send_header("retry-after", "7")
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


def silence(handler: _Handler) -> None:
    handler.server_state.over.wait(60)
    handler.close_connection = True


def cut(handler: _Handler) -> None:
    handler.send_response(200)
    handler.send_header("content-length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


def reset(handler: _Handler) -> None:
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()
    handler.close_connection = True


def endless(handler: _Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not handler.server_state.over.is_set():
        handler.wfile.write(b" " * 65536)


def drip(handler: _Handler) -> None:
    """Send a byte now and then, so that no single wait is long."""
    handler.send_response(200)
    handler.end_headers()
    drop_by_drop(handler)


def drip_headers(handler: _Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
    drop_by_drop(handler)


def drop_by_drop(handler: _Handler) -> None:
    while not handler.server_state.over.wait(0.01):
        handler.wfile.write(b"a")
        handler.wfile.flush()
    handler.close_connection = True


def raw(data: bytes, kind: str = "application/json") -> Callable[[_Handler], None]:
    return lambda handler: handler.whole(200, data, kind)


FAULTS: dict[str, Callable[[_Handler], None]] = {
    "silence": silence,
    "cut": cut,
    "reset": reset,
    "endless": endless,
    "drip": drip,
    "drip_headers": drip_headers,
    "html": raw(b"<html>busy</html>", "text/html"),
    "half_json": raw(b'{"choices": ['),
    "deep_json": raw(b"[" * 200_000),
    "list": raw(b"[]"),
    "no_fields": raw(b"{}"),
    "odd_fields": raw(b'{"choices": "x", "usage": 3}'),
    "odd_message": raw(b'{"choices": [{"message": "x"}]}'),
    "number": raw(completion(7)),
    "not_utf8": raw(b'{"choices": "\xff\xfe"}'),
}
