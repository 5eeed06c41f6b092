"""Speaks to one vLLM server: questions out, answers in, patience in between.

A question is asked again, with back-off, until it is answered rightly, has been answered
wrongly too often, or the server has been silent for longer than the patience given. It
knows the server's paths and failures, neither episodes nor adapters. The key comes from an
environment variable and never reaches a message.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

import httpx

from toprope.policy.vllm_answers import SamplerError, WrongAnswer

T = TypeVar("T")
KEY_VARIABLE = "TOPROPE_SAMPLER_KEY"
_BUSY = frozenset({408, 409, 425, 429, 502, 503, 504})
_LONGEST_WAIT_S = 5.0
_TRIES = 3  # wrong answers to one question
_FAULTS = 6  # server errors on one question while others are answered


class SamplerGone(SamplerError):
    """The server gave no usable answer for as long as it was waited for."""


class SamplerUnfit(SamplerError):
    """The server answers, but cannot do what sampling for the student needs."""


class UnknownModel(SamplerError):
    """The server has no model of the name asked for, as after a restart."""


class _Failed(Exception):
    """A failure that the same question may not meet again."""

    def __init__(self, why: str, *, fault: bool = False) -> None:
        super().__init__(why)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server is, how many questions it gets at once, how long silence is borne."""

    url: str
    at_once: int = 64
    patience_s: float = 300.0
    back_off_s: float = 0.25

    @property
    def base(self) -> str:
        """The URL without a trailing `/v1`."""
        return self.url.rstrip("/").removesuffix("/v1")


class Vllm:
    """An open line to the server, for one event loop; an async context manager."""

    def __init__(self, address: Address) -> None:
        self.address = address
        key = os.environ.get(KEY_VARIABLE)
        self._client = httpx.AsyncClient(
            base_url=address.base,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(address.patience_s, connect=min(10.0, address.patience_s)),
            limits=httpx.Limits(max_connections=address.at_once + 4),
        )
        self._gate = asyncio.Semaphore(address.at_once)
        self._heard = time.monotonic()

    async def __aenter__(self) -> Vllm:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def complete(self, body: dict[str, Any], read: Callable[[Any], T]) -> T:
        """Return what `read` makes of the answer to a completion.

        Raises:
            UnknownModel: the model named in it is not loaded.
            WrongAnswer: `read` raised it, each time.
            SamplerGone, SamplerUnfit: no answer, or none of use to anyone.
        """
        async with self._gate:
            return await self._often("POST", "/v1/completions", body, read)

    async def get(self, path: str) -> dict[str, Any]:
        """Return a JSON object from the server."""
        return await self._often("GET", path, None, _object)

    async def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """Return the response to a command whose refusal is the caller's to judge.

        Raises:
            SamplerGone, SamplerUnfit: no answer, or not for us.
        """
        return await self._patient(lambda: self._once("POST", path, body))

    async def _often(
        self, method: str, path: str, body: dict[str, Any] | None, read: Callable[[Any], T]
    ) -> T:
        wrong = 0
        while True:
            response = await self._patient(lambda: self._once(method, path, body))
            _refuse(response, self.address.base)
            try:
                found = read(_json(response))
            except WrongAnswer:
                wrong += 1
                if wrong >= _TRIES:
                    raise
                await self._wait(wrong)
                continue
            self._heard = time.monotonic()
            return found

    async def _patient(self, ask: Callable[[], Any]) -> httpx.Response:
        """Ask until there is a response that is not a passing failure."""
        begun, failures, faults = time.monotonic(), 0, 0
        while True:
            try:
                response: httpx.Response = await ask()
                return response
            except _Failed as failure:
                failures, faults = failures + 1, faults + failure.fault
                if faults >= _FAULTS and self._heard > begun:
                    raise WrongAnswer(f"{failure}, {faults} times over") from None
                self._require_patience(failure)
            await self._wait(failures)

    async def _once(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        try:
            response = await self._client.request(method, path, json=body)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise SamplerUnfit(
                f"student.endpoint {self.address.url!r} is not an http(s) URL; give http://…"
            ) from None
        except httpx.HTTPError as error:
            raise _Failed(f"{type(error).__name__} {error}".strip()) from None
        if response.status_code in _BUSY:
            raise _Failed(f"status {response.status_code}")
        if response.status_code >= 500:
            raise _Failed(f"status {response.status_code} {response.text[:200]}", fault=True)
        if response.status_code in (401, 403):
            raise SamplerUnfit(
                f"{self.address.base} refused the key: put the right one into ${KEY_VARIABLE}"
            )
        return response

    def _require_patience(self, failure: _Failed) -> None:
        silent = time.monotonic() - self._heard
        if silent >= self.address.patience_s:
            raise SamplerGone(
                f"{self.address.base} gave no usable answer for {silent:.0f} s (last: {failure}); "
                "start the server again and run the same command to go on: what was sampled and "
                "graded is kept. student.patience_s says how long is waited"
            ) from None

    async def _wait(self, failures: int) -> None:
        # Spread, so that all the questions in flight do not come back at once.
        wait = min(self.address.back_off_s * 2 ** min(failures - 1, 10), _LONGEST_WAIT_S)
        await asyncio.sleep(wait * random.uniform(0.5, 1.0))


def _refuse(response: httpx.Response, base: str) -> None:
    """Raise what a refusal means."""
    if response.status_code == 404 and "does not exist" in response.text:
        raise UnknownModel(response.text[:200])
    if response.status_code >= 400:
        raise SamplerUnfit(
            f"{base} refused with status {response.status_code}: {response.text[:300]}"
        )


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        raise WrongAnswer(f"a body that is not JSON ({len(response.content)} bytes)") from None


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise WrongAnswer("a body that is not a JSON object")
    return body
