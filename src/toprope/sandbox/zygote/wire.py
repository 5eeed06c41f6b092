"""Frames on the control socket: a JSON header and byte strings, each with its length.

Used at both ends. Everything read is bounded, and a cut stream is an `EOFError`.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any

MAX_FRAME = 64 << 20
_LENGTHS = struct.Struct(">II")


class BadFrame(Exception):
    """The other end sent something that is not a frame."""


def send(sock: socket.socket, header: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
    """Write one frame."""
    sock.sendall(pack(header, blobs))


def pack(header: dict[str, Any], blobs: Sequence[bytes] = ()) -> bytes:
    """One frame as bytes."""
    header = {**header, "blobs": [len(blob) for blob in blobs]}
    head = json.dumps(header).encode("ascii")
    body = b"".join(blobs)
    if len(head) > MAX_FRAME or len(body) > MAX_FRAME:
        raise BadFrame(f"a frame of {len(head) + len(body)} bytes is too large")
    return _LENGTHS.pack(len(head), len(body)) + head + body


def unpack(frame: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """What `pack` made a frame of."""
    start = _LENGTHS.size
    head_size, body_size = _LENGTHS.unpack(frame[:start])
    body = frame[start + head_size :]
    if len(body) != body_size:
        raise BadFrame("the frame is cut")
    return _divided(json.loads(frame[start : start + head_size]), body)


def receive(
    sock: socket.socket, deadline: float | None = None
) -> tuple[dict[str, Any], list[bytes]]:
    """Read one frame; `deadline` is in `time.monotonic` seconds (TimeoutError when past)."""
    head_size, body_size = _LENGTHS.unpack(_read(sock, _LENGTHS.size, deadline))
    if head_size > MAX_FRAME or body_size > MAX_FRAME:
        raise BadFrame("the announced frame is too large")
    header = json.loads(_read(sock, head_size, deadline))
    return _divided(header, _read(sock, body_size, deadline))


def _divided(header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], list[bytes]]:
    blobs = []
    at = 0
    for size in header.pop("blobs"):
        blobs.append(body[at : at + size])
        at += size
    if at != len(body):
        raise BadFrame("the blobs do not fill the frame")
    return header, blobs


def _read(sock: socket.socket, size: int, deadline: float | None) -> bytes:
    parts = []
    while size:
        if deadline is not None:
            sock.settimeout(max(0.001, deadline - time.monotonic()))
        part = sock.recv(min(size, 1 << 20))
        if not part:
            raise EOFError("the stream ended inside a frame")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
