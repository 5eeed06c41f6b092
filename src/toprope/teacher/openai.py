"""Speaks to any OpenAI-compatible chat endpoint: one question in, one reply out.

Timeouts, bounded retries with back-off, and nothing else: it knows neither tasks nor
budgets. The API key comes from an environment variable and never reaches a message.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import httpx

from toprope.teacher.protocol import TeacherError

T = TypeVar("T")
KEY_VARIABLE = "TOPROPE_TEACHER_KEY"
_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_LONGEST_WAIT = 30.0


class EndpointError(TeacherError):
    """The endpoint refused, or gave nothing readable within the allowed tries."""


class _Transient(Exception):
    """A failure that the same question may not meet again."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a reply is drawn; 0 `temperature` is greedy, `extra` is what only some servers know."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    max_tokens: int = 400
    stop: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    def settings(self) -> dict[str, Any]:
        """The settings as they are sent and recorded, flat."""
        flat = asdict(self)
        extra = flat.pop("extra")
        return {**flat, "stop": list(self.stop), **extra}

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Sampling:
        """The sampling that `settings` describe; names we do not have become `extra`."""
        own = {name: settings[name] for name in cls.__slots__ if name in settings}
        own["stop"] = tuple(own.get("stop", ()))
        own["extra"] = {name: settings[name] for name in settings if name not in own}
        return cls(**own)


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply's raw text, the endpoint's own token counts, and why it ended."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish: str
    server: str


class Endpoint:
    """An OpenAI-compatible base URL; `chat` may be called from several threads."""

    def __init__(
        self,
        url: str,
        *,
        model: str = "default",
        timeout_s: float = 300.0,
        tries: int = 5,
        back_off_s: float = 1.0,
        key_variable: str = KEY_VARIABLE,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        self.model = model
        self.tries = tries
        self._back_off_s = back_off_s
        self._sleep = sleep
        key = os.environ.get(key_variable)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        limits = httpx.Timeout(timeout_s, connect=min(10.0, timeout_s))
        self._client = httpx.Client(headers=headers, timeout=limits)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def chat(self, messages: list[dict[str, str]], sampling: Sampling) -> Reply:
        """Ask once, and again after failures that may pass.

        Raises:
            EndpointError: a refusal (4xx), or no readable reply in `tries` tries.
        """
        body = {"model": self.model, "messages": messages, **sampling.settings()}
        return self._often(lambda: _reply(self._post(body)))

    def about(self) -> dict[str, Any]:
        """The first entry of the endpoint's model list: id, and what else it tells of itself."""

        def ask() -> dict[str, Any]:
            listed = _object(self._send("GET", "/v1/models"))
            if not listed.get("data"):
                raise _Transient("an empty list of models")
            return dict(listed["data"][0])

        return self._often(ask)

    def _often(self, ask: Callable[[], T]) -> T:
        why = ""
        for attempt in range(self.tries):
            try:
                return ask()
            except _Transient as failure:
                why = str(failure)
                # Spread, so that concurrent callers do not come back all at once.
                wait = self._back_off_s * 2**attempt * random.uniform(0.5, 1.0)
                if attempt + 1 < self.tries:
                    self._sleep(min(failure.wait or wait, _LONGEST_WAIT))
        raise EndpointError(
            f"{self.url} gave no readable reply in {self.tries} tries (last: {why}); "
            "check that the server runs and the URL ends before /v1"
        )

    def _post(self, body: dict[str, Any]) -> httpx.Response:
        return self._send("POST", "/v1/chat/completions", json=body)

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            response = self._client.request(method, self.url + path, **arguments)
        except httpx.InvalidURL as error:
            raise EndpointError(f"{self.url!r} is not a URL ({error}); give http://…") from None
        except httpx.UnsupportedProtocol:
            raise EndpointError(f"{self.url!r} is not an http(s) URL; give http://…") from None
        except httpx.HTTPError as error:
            raise _Transient(f"{type(error).__name__}: {error}") from None
        if response.status_code in _RETRIED:
            raise _Transient(f"status {response.status_code}", _retry_after(response))
        if response.status_code >= 400:
            raise EndpointError(
                f"{self.url} refused with status {response.status_code}: {response.text[:200]!r}; "
                f"check the model's name and the key in ${KEY_VARIABLE}"
            )
        return response


def _retry_after(response: httpx.Response) -> float | None:
    try:
        return max(0.0, float(response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        raise _Transient(f"a body that is not JSON ({len(response.content)} bytes)") from None
    if not isinstance(body, dict):
        raise _Transient("a body that is not a JSON object")
    return body


def _reply(response: httpx.Response) -> Reply:
    body = _object(response)
    try:
        choice, usage = body["choices"][0], body["usage"]
        text = choice["message"]["content"]
        if not isinstance(text, str):
            raise TypeError("content is not text")
        return Reply(
            text=text,
            prompt_tokens=int(usage["prompt_tokens"]),
            completion_tokens=int(usage["completion_tokens"]),
            finish=str(choice.get("finish_reason")),
            server=str(body.get("system_fingerprint") or ""),
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise _Transient(f"JSON of another shape ({type(error).__name__}: {error})") from None
