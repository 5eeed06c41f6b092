"""An endpoint that is slow, down, wrong or hostile: every fault ends in its typed result."""

from __future__ import annotations

import json
from typing import Any

import pytest

from faulty_server import FAULTS, completion, faulty_server
from toprope.teacher.openai import KEY_VARIABLE, Endpoint, EndpointError, Sampling
from toprope.teacher.pace import Pace
from toprope.teacher.retry import Lost

ASK = [{"role": "user", "content": "hello"}]
KEY = "sk-live-0123456789abcdef"
TIMED = ("silence", "drip", "drip_headers")
UNBILLED = ("429", "500", "503")
SHORT_S = 1.0  # until a silent server is given up; a busy machine sends a question in less


def client(url: str, **settings: Any) -> Endpoint:
    given: dict[str, Any] = {"tries": 2, "total_s": 30, "sleep": lambda seconds: None}
    return Endpoint(url, **(given | settings))


@pytest.mark.parametrize("fault", [*FAULTS, *UNBILLED])
def test_a_fault_is_a_lost_question_and_the_next_one_is_answered(fault: str) -> None:
    with faulty_server(fault=lambda number: fault if number == 0 else "") as server:
        quick = client(server.url, total_s=SHORT_S if fault in TIMED else 30)
        with pytest.raises(Lost) as lost:
            quick.once(ASK, Sampling())
        assert lost.value.billed is (fault not in UNBILLED)
        assert client(server.url).chat(ASK, Sampling()).text == "hi"


@pytest.mark.parametrize("fault", ["silence", "reset", "half_json", "500"])
def test_a_fault_without_end_is_an_error_that_says_what_to_do(fault: str) -> None:
    with (
        faulty_server(fault=lambda number: fault) as server,
        pytest.raises(EndpointError, match=r"in 2 tries .*check that the server runs") as error,
    ):
        client(server.url, total_s=SHORT_S if fault in TIMED else 30).chat(ASK, Sampling())
    assert not error.value.refused
    assert len(server.asked) == 2


def test_what_the_server_asks_for_is_waited_for() -> None:
    waits: list[float] = []
    with faulty_server(fault=lambda number: "429" if number == 0 else "") as server:
        endpoint = client(server.url, sleep=waits.append, pace=Pace(sleep=lambda seconds: None))
        with pytest.raises(Lost) as lost:
            endpoint.once(ASK, Sampling())
        assert lost.value.wait_s == 7
        endpoint.patience.often(failing_once(lost.value))
    assert waits == [7]


def failing_once(lost: Lost) -> Any:
    left = [lost]

    def ask() -> str:
        if left:
            raise left.pop()
        return "done"

    return ask


@pytest.mark.parametrize("status", ["400", "401", "403", "404"])
def test_a_refusal_hides_the_key_that_the_server_echoes(
    status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    with (
        faulty_server(fault=lambda number: status) as server,
        pytest.raises(EndpointError, match=r"no: Bearer \[key\]") as error,
    ):
        client(server.url).chat(ASK, Sampling())
    assert error.value.status == int(status)
    assert no_part_of(KEY, str(error.value))
    assert len(server.asked) == 1


def no_part_of(key: str, text: str) -> bool:
    return not any(key[at : at + 8] in text for at in range(len(key) - 7))


def test_an_answer_that_holds_the_key_or_half_of_it_is_cleaned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTHER_KEY", KEY)
    with faulty_server(lambda body: f"whole {KEY}, half {KEY[:12]}****, {KEY}{KEY}.") as server:
        reply = client(server.url, key_variable="OTHER_KEY").chat(ASK, Sampling())
    assert reply.text == "whole [key], half [key]****, [key]."


@pytest.mark.parametrize("key", ["with\nnewline", "ключ"])
def test_a_key_that_no_header_takes_is_named_by_its_variable(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, key)
    with pytest.raises(Exception, match=KEY_VARIABLE) as error:
        Endpoint("http://127.0.0.1:9")
    assert key not in str(error.value)


def test_what_no_file_takes_is_replaced_in_an_answer() -> None:
    with faulty_server(lambda body: "a\ud800b\x00\x1b]0;title\x07") as server:
        text = client(server.url).chat(ASK, Sampling()).text
    assert text.encode() == b"a?b\x00\x1b]0;title\x07"


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {"prompt_tokens": -1, "completion_tokens": 2},
        {"prompt_tokens": 1, "completion_tokens": 10**40},
        {"prompt_tokens": True, "completion_tokens": "2"},
    ],
)
def test_odd_token_counts_are_no_counts(usage: dict[str, Any] | None) -> None:
    body = {"choices": [{"message": {"content": "hi"}}], "usage": usage}
    with faulty_server(lambda asked: (200, json.dumps(body).encode())) as server:
        reply = client(server.url).chat(ASK, Sampling())
    assert (reply.counted, reply.prompt_tokens, reply.completion_tokens) == (False, 0, 0)


def test_hidden_reasoning_counts_wherever_it_is_told() -> None:
    apart = completion("hi", prompt_tokens=10, completion_tokens=5, total_tokens=115)
    details = {"reasoning_tokens": 64}
    within = completion(
        None, prompt_tokens=10, completion_tokens=69, completion_tokens_details=details
    )
    for body, expected in ((apart, ("hi", 105, None)), (within, ("", 69, 64))):
        with faulty_server(lambda asked, body=body: (200, body)) as server:
            reply = client(server.url).chat(ASK, Sampling())
        assert (reply.text, reply.completion_tokens, reply.reasoning_tokens) == expected


def test_log_probabilities_are_read_where_they_are_offered() -> None:
    rows = [{"token": "h", "logprob": -0.5}, {"token": "i", "logprob": -0.25}]
    choice = {"message": {"content": "hi"}, "logprobs": {"content": rows}}
    body = json.dumps({"choices": [choice]}).encode()
    with faulty_server(lambda asked: (200, body)) as server:
        reply = client(server.url).chat(ASK, Sampling(logprobs=True))
    assert reply.logprobs == (-0.5, -0.25)
    assert server.asked[0]["logprobs"] is True


def openai_refusal(name: str, message: str) -> tuple[int, bytes]:
    return 400, json.dumps({"error": {"message": message, "param": name}}).encode()


def picky(body: dict[str, Any]) -> Any:
    """Refuses as reasoning models of several makers do, one setting at a time."""
    if "max_tokens" in body:
        message = "'max_tokens' is not supported. Use 'max_completion_tokens' instead."
        return openai_refusal("max_tokens", f"Unsupported parameter: {message}")
    if "temperature" in body:
        return openai_refusal("temperature", "'temperature' does not support 0.")
    if "seed" in body:  # said without a param
        error = [{"msg": 'Invalid JSON payload: Unknown name "seed": Cannot find field.'}]
        return 400, json.dumps({"error": error}).encode()
    if "top_p" in body:
        return 422, json.dumps({"detail": [{"loc": ["body", "top_p"]}]}).encode()
    return "hi"


def test_refused_settings_are_learned_once_told_and_remembered() -> None:
    said: list[str] = []
    with faulty_server(picky) as server:
        endpoint = client(server.url, say=said.append)
        assert endpoint.chat(ASK, Sampling(max_tokens=50)).text == "hi"
        assert len(server.asked) == 5
        assert endpoint.chat(ASK, Sampling(max_tokens=50)).text == "hi"
    assert len(server.asked) == 6
    assert server.asked[-1] == {
        "model": "default",
        "messages": ASK,
        "max_completion_tokens": 50,
    }
    assert said == [
        "the endpoint takes max_completion_tokens in place of max_tokens",
        "the endpoint takes no temperature; it is asked without",
        "the endpoint takes no seed; it is asked without",
        "the endpoint takes no top_p; it is asked without",
    ]


def test_a_limit_that_is_refused_under_both_names_ends_the_asking() -> None:
    def never(body: dict[str, Any]) -> Any:
        name = "max_tokens" if "max_tokens" in body else "max_completion_tokens"
        return openai_refusal(name, f"{name} is too large")

    with faulty_server(never) as server, pytest.raises(EndpointError, match="too large"):
        client(server.url).chat(ASK, Sampling())
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://h:1", "http://h:1/v1"),
        ("http://h:1/v1/", "http://h:1/v1"),
        ("https://h/api/v1/chat/completions", "https://h/api/v1"),
        ("https://h/v1beta/openai/", "https://h/v1beta/openai"),
        ("https://h/prefix", "https://h/prefix/v1"),
    ],
)
def test_the_place_is_found_in_the_usual_forms_of_a_url(url: str, base: str) -> None:
    assert Endpoint(url).url == base


@pytest.mark.parametrize("url", ["http://me:secret@h/v1", "https://h/v1?key=secret"])
def test_a_url_with_a_secret_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(EndpointError, match="more than a place") as error:
        Endpoint(url)
    assert "secret" not in str(error.value)


def test_the_pace_keeps_requests_and_tokens_a_minute() -> None:
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    pace = Pace(2, 600, now=lambda: clock[0], sleep=sleep)
    pace.wait(100)
    pace.wait(100)
    assert clock[0] == 0
    pace.wait(100)  # the third request waits for half a minute
    assert clock[0] == pytest.approx(30)
    pace.give_back(100)
    pace.wait(600)  # and the fourth for a full bucket of tokens
    assert clock[0] == pytest.approx(60)
    pace.pause(100)
    pace.wait(0)
    assert clock[0] >= 160
