"""Sends one request over HTTP and takes the whole answer, within a time and a size.

The total time holds from the first connect to the last byte, however slowly headers or body
drip. It must not know what is asked, what an answer means, or when to ask again.
"""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx

MOST_BYTES = 8 << 20
_FAULTS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
)
_UNSENT = (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.ProxyError)


class WireFault(Exception):
    """No whole answer came. `sent` tells whether the other side may have worked on it."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds: to connect, to wait for the next bytes, and for all of it."""

    connect_s: float = 10.0
    read_s: float = 120.0
    total_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Received:
    """An answer: its status, its headers with names in lower case, its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire:
    """Connections to one place; `send` may be called from several threads."""

    def __init__(self, url: str, times: Times, headers: Mapping[str, str]) -> None:
        self.times = times
        self._headers = {
            **headers,
            "content-type": "application/json",
            "accept-encoding": "identity",  # what unpacks to a thousand times its size is not read
            "user-agent": "toprope",
        }
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            proxy=_proxy(url),
            max_connections=None,
            keepalive_expiry=5.0,
            network_backend=_TimedBackend(),
        )

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def send(self, method: str, url: str, body: bytes = b"") -> Received:
        """Return the answer to one request.

        Raises:
            WireFault: it was refused, cut, too slow, too large or not HTTP.
        """
        times = self.times
        timeout = {
            "connect": times.connect_s, "read": times.read_s,
            "write": times.read_s, "pool": times.total_s,
        }  # fmt: skip
        headers: list[tuple[bytes | str, bytes | str]] = [*self._headers.items()]
        headers += [("content-length", str(len(body)))] if body else []
        with _until(time.monotonic() + times.total_s):
            try:
                with self._pool.stream(
                    method, url, headers=headers, content=body or None,
                    extensions={"timeout": timeout},
                ) as answer:  # fmt: skip
                    named = {
                        name.decode("latin-1").lower(): value.decode("latin-1")
                        for name, value in answer.headers
                    }
                    return Received(answer.status, named, _bounded(answer.iter_stream()))
            except _FAULTS as fault:
                why = str(fault) or "no answer in time"
                sent = not isinstance(fault, _UNSENT)
                raise WireFault(f"{type(fault).__name__}: {why}", sent=sent) from None


def _bounded(parts: Iterable[bytes]) -> bytes:
    whole = bytearray()
    for part in parts:
        whole += part
        if len(whole) > MOST_BYTES:
            raise WireFault(f"a body of more than {MOST_BYTES >> 20} MiB", sent=True)
    return bytes(whole)


def _proxy(url: str) -> httpcore.Proxy | None:
    """The proxy that the environment names for this place."""
    asked = httpx.URL(url)
    named = urllib.request.getproxies()
    found = named.get(asked.scheme) or named.get("all")
    if not found or urllib.request.proxy_bypass(asked.netloc.decode("ascii")):
        return None
    proxy = httpx.URL(found if "://" in found else f"http://{found}")
    login = (proxy.username, proxy.password) if proxy.username else None
    return httpcore.Proxy(str(proxy.copy_with(username=None, password=None)), auth=login)


_deadline = threading.local()


@contextmanager
def _until(moment: float) -> Iterator[None]:
    """No read or write of this thread lasts beyond the moment."""
    _deadline.moment = moment
    try:
        yield
    finally:
        del _deadline.moment


def _left(timeout: float | None) -> float | None:
    moment = getattr(_deadline, "moment", None)
    if moment is None:
        return timeout
    left: float = moment - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the time for one answer is over")
    return left if timeout is None else min(timeout, left)


class _TimedStream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _TimedStream(self._inner.start_tls(ssl_context, server_hostname, _left(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _TimedBackend(httpcore.NetworkBackend):
    def __init__(self) -> None:
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        return _TimedStream(
            self._inner.connect_tcp(host, port, _left(timeout), local_address, socket_options)
        )
