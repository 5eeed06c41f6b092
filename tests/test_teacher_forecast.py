"""The estimate before a climb spends, and the one call of `toprope teacher test`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from faulty_server import completion, faulty_server
from teacher_parts import fenced
from test_teacher_faults import picky
from toprope.cli.main import FAILED, OK, main
from toprope.teacher.forecast import Range, forecast
from toprope.teacher.prompt import messages
from toprope.teacher.protocol import Budget, Price
from toprope.teacher.question import most_cost, sampling_of
from toprope.teacher.trial import invented_task

FIXED = fenced("def last(items):\n    return items[-1]")


def test_an_estimate_is_a_range_that_a_limit_closes() -> None:
    tasks = [invented_task()] * 10
    price = Price(1.0, 2.0)
    worst = most_cost(messages(tasks[0]), sampling_of("trial", 0, 100), price)
    common: dict[str, Any] = {"wanted": 4, "most_attempts": 8, "answer_tokens": 100}
    free = forecast(tasks, budget=Budget(), price=price, concurrency=2, **common)
    assert free.calls == Range(4, 80)
    assert free.tokens.high == 80 * worst.tokens
    assert free.usd is not None
    assert free.usd.high == pytest.approx(80 * worst.usd)
    assert 0 < free.usd.low < free.usd.high
    assert free.hours == Range(4 * 0.5 / 3600, 80 * 30 / 3600)
    capped = forecast(tasks, budget=Budget(calls=3, tokens=200, usd=1e-6), price=price, **common)
    assert (capped.calls, capped.tokens.high) == (Range(3, 3), 200)
    assert capped.usd is not None
    assert capped.usd.high == 1e-6
    unpriced = forecast(tasks, budget=Budget(), price=Price(), requests_per_minute=1, **common)
    assert unpriced.usd is None
    assert unpriced.hours.low == 4 * 60 / 3600
    assert forecast([], budget=Budget(), price=price, **common).calls == Range(0, 0)


def trial(url: str, *words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["teacher", "test", "--endpoint", url, *words])
    return int(ended.value.code or 0)


def test_a_trial_says_what_the_endpoint_can(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"token": "x", "logprob": -1.0}
    choice = {"message": {"content": FIXED}, "logprobs": {"content": [row]}}
    usage = {"prompt_tokens": 1000, "completion_tokens": 500,
             "completion_tokens_details": {"reasoning_tokens": 64}}  # fmt: skip
    body = json.dumps({"choices": [choice], "usage": usage}).encode()
    with faulty_server(lambda asked: (200, body)) as server:
        assert trial(server.url, "--price-input", "1", "--price-output", "2") == OK
    assert len(server.asked) == 1
    told = capsys.readouterr().out
    for line in (
        "model: tutor",
        "authentication: works (no key was sent)",
        "temperature: taken",
        "log-probabilities: given",
        "token counts: 1000 prompt, 500 completion",
        "hidden reasoning: 64 tokens, counted",
        "price: $0.002000 for this call",
        "dialect: the function as code, readable",
    ):
        assert line in told
    assert "wrong" not in told


def test_a_trial_of_a_picky_endpoint_names_what_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with faulty_server(picky) as server:
        server.models = [{"id": "one"}, {"id": "two"}]
        assert trial(server.url) == FAILED
        assert "offers several models" in capsys.readouterr().err
        assert trial(server.url, "--model", "two") == OK
    told = capsys.readouterr().out
    assert "temperature: refused; asked without" in told
    assert "limit of an answer: taken as max_completion_tokens" in told
    assert "also refused, asked without: seed, top_p" in told
    assert "log-probabilities: not offered" in told
    assert "price: none is known" in told
    assert "dialect: not readable (no function called last in the answer)" in told


def test_a_trial_of_an_endpoint_that_refuses_the_key_is_an_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-0123456789")
    with faulty_server(fault=lambda number: "401") as server:
        assert trial(server.url, "--key-variable", "MY_KEY") == FAILED
    told = capsys.readouterr().err
    assert "no answer (a key was sent)" in told
    assert "the key in $MY_KEY" in told
    assert "0123456789" not in told


def test_an_answer_that_is_cut_by_hidden_reasoning_is_told_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    body = completion(None).replace(b'"stop"', b'"length"')
    with faulty_server(lambda asked: (200, body)) as server:
        assert trial(server.url) == OK
    assert "raise teacher.answer_tokens" in capsys.readouterr().out
