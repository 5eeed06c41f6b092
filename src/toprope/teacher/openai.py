"""Speaks to any OpenAI-compatible chat endpoint: one question in, one reply out.

It knows neither tasks nor budgets. The key comes from an environment variable and never
reaches a message or an answer.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from toprope.teacher.pace import Pace
from toprope.teacher.protocol import TeacherError
from toprope.teacher.refusals import Refusals
from toprope.teacher.reply import Reply, json_object, read_reply
from toprope.teacher.retry import Lost, Patience
from toprope.teacher.secret import KEY_VARIABLE, Secret
from toprope.teacher.wire import Received, Times, Wire, WireFault

__all__ = ["KEY_VARIABLE", "Endpoint", "EndpointError", "Reply", "Sampling", "most_tokens"]

_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_VERSION = re.compile(r"/v\d+[a-z0-9]*(/|$)")
Say = Callable[[str], None]


class EndpointError(TeacherError):
    """The endpoint refused, or gave nothing readable within the allowed tries.

    `refused` tells the first from the second: asking again will not help. `status` is that of
    the refusal, None where there was none.
    """

    def __init__(self, message: str, *, refused: bool = False, status: int | None = None) -> None:
        super().__init__(message)
        self.refused = refused or status is not None
        self.status = status


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a reply is drawn; 0 `temperature` is greedy, `extra` is what only some servers know.

    `max_tokens` bounds all that is generated, hidden reasoning included.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    max_tokens: int = 400
    stop: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    logprobs: bool = False

    def settings(self) -> dict[str, Any]:
        """The settings as they are sent and recorded, flat; only what is asked for."""
        flat = asdict(self)
        extra = flat.pop("extra")
        if not flat["logprobs"]:
            del flat["logprobs"]
        return {**flat, "stop": list(self.stop), **extra}

    def with_logprobs(self, max_tokens: int) -> Sampling:
        """The same with log-probabilities asked for, and another limit."""
        return replace(self, logprobs=True, max_tokens=max_tokens)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Sampling:
        """The sampling that `settings` describe; names we do not have become `extra`."""
        own = {name: settings[name] for name in cls.__slots__ if name in settings}
        own["stop"] = tuple(own.get("stop", ()))
        own["extra"] = {name: settings[name] for name in settings if name not in own}
        return cls(**own)


class Endpoint:
    """An OpenAI-compatible base URL; `chat` may be called from several threads.

    `total_s` bounds one try from its first byte to its last. What the endpoint turns out not
    to take is told to `say` once, and asked without from then on (`refusals`).
    """

    def __init__(
        self,
        url: str,
        *,
        model: str = "default",
        connect_s: float = 10.0,
        read_s: float = 120.0,
        total_s: float = 300.0,
        tries: int = 5,
        back_off_s: float = 1.0,
        key_variable: str = KEY_VARIABLE,
        pace: Pace | None = None,
        say: Say = lambda text: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = base_url(url)
        self.model = model
        self.key_variable = key_variable
        self.secret = Secret.of(key_variable)
        self.patience = Patience(tries, back_off_s, sleep)
        self.refusals = Refusals()
        self._pace = pace or Pace(sleep=sleep)
        self._say = say
        times = Times(min(connect_s, total_s), min(read_s, total_s), total_s)
        self._wire = Wire(self.url, times, self.secret.headers())

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    def chat(self, messages: list[dict[str, str]], sampling: Sampling) -> Reply:
        """Ask once, and again after failures that may pass.

        Raises:
            EndpointError: a refusal (4xx), or no readable reply in `tries` tries.
        """
        return self.often(lambda: self.once(messages, sampling))

    def once(self, messages: list[dict[str, str]], sampling: Sampling) -> Reply:
        """Ask a single time.

        Raises:
            Lost: there was no readable reply, and there may be one another time.
            EndpointError: a refusal.
        """
        settings = self.refusals.fit(sampling.settings())
        if not settings.get("stop", True):
            del settings["stop"]
        worst = most_tokens(messages) + sampling.max_tokens
        self._pace.wait(worst)
        reply = None
        try:
            body = {"model": self.model, "messages": messages, **settings}
            reply = read_reply(self._send("POST", "/chat/completions", body), self.secret.hide)
            return reply
        finally:
            told = reply is not None and reply.counted
            used = reply.prompt_tokens + reply.completion_tokens if reply and told else worst
            self._pace.give_back(worst - used)

    def about(self) -> dict[str, Any]:
        """What the endpoint's list says of the model that is asked: id, and what else it tells.

        Where no listed one has its name: the only one there is, or nothing but how many there are.

        Raises:
            EndpointError: no list can be had.
        """

        def ask() -> dict[str, Any]:
            data = json_object(self._send("GET", "/models").body).get("data")
            if not isinstance(data, list) or not data or not all(isinstance(e, dict) for e in data):
                raise Lost("an empty list of models")
            named = [entry for entry in data if entry.get("id") == self.model]
            if not named and len(data) > 1:
                return {"listed": len(data)}
            entry = (named or data)[0]
            return {**entry, "listed": len(data), "id": self.secret.hide(str(entry.get("id")))}

        return self.often(ask)

    def often(self, ask: Callable[[], Any]) -> Any:
        """What `ask` returns, tried as often as this endpoint's patience allows."""
        try:
            return self.patience.often(ask)
        except Lost as lost:
            raise EndpointError(
                f"{self.url} gave no readable reply in {self.patience.tries} tries (last: {lost}); "
                "check that the server runs and the URL is the one before /chat/completions"
            ) from None

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Received:
        data = b"" if body is None else json.dumps(body).encode()
        try:
            answer = self._wire.send(method, self.url + path, data)
        except WireFault as fault:
            raise Lost(self.secret.hide(str(fault)), billed=fault.sent) from None
        if answer.status == 200:
            return answer
        text = self.secret.hide(answer.body.decode("utf-8", "replace"))
        if answer.status in _RETRIED:
            wait = retry_after(answer.headers.get("retry-after"))
            if wait is not None:
                self._pace.pause(min(wait, self._wire.times.total_s))
            raise Lost(f"status {answer.status}: {text[:200]!r}", wait_s=wait)
        taught, new = self.refusals.learn(answer.status, text, body or {})
        if taught:
            if new:
                self._say(taught)
            raise Lost(taught, taught=True)
        key = f"${self.key_variable}" + ("" if self.secret else ", which is not set")
        raise EndpointError(
            f"{self.url} refused with status {answer.status}: {text[:200]!r}; "
            f"check the model's name ({self.model}) and the key in {key}",
            status=answer.status,
        )


def most_tokens(messages: list[dict[str, str]]) -> int:
    """The most tokens that a chat can be: no tokenizer makes more of them than there are bytes."""
    return sum(len(turn["content"].encode()) + 16 for turn in messages)


def base_url(url: str) -> str:
    """What stands before `/chat/completions`: the URL itself, or with `/v1` if it has no version.

    Raises:
        EndpointError: not a plain http(s) URL, or one that holds a secret.
    """
    try:
        read = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        raise EndpointError("the endpoint is not a URL; give http://…", refused=True) from None
    if read.scheme not in ("http", "https") or not read.host:
        raise EndpointError("the endpoint is not an http(s) URL; give http://…", refused=True)
    if read.userinfo or read.query or read.fragment:
        raise EndpointError(
            "the endpoint's URL holds more than a place: give it without user, password, ? and #, "
            f"and the key in ${KEY_VARIABLE}",
            refused=True,
        )
    bare = url.rstrip("/").removesuffix("/chat/completions")
    return bare if _VERSION.search(read.path) else f"{bare}/v1"


def retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, given as a number or as a date; None if not."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if seconds == seconds else None
