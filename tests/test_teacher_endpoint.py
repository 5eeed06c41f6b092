"""The endpoint client against a real local server that misbehaves."""

from __future__ import annotations

import pytest

from teacher_parts import chat_server
from toprope.teacher.openai import KEY_VARIABLE, Endpoint, EndpointError, Sampling

ASK = [{"role": "user", "content": "hello"}]


def client(url: str, waits: list[float], **settings: float) -> Endpoint:
    return Endpoint(url, sleep=waits.append, total_s=60, tries=4, **settings)


def test_settings_reach_the_server_and_counts_come_back() -> None:
    with chat_server(lambda body: "hi") as server:
        reply = client(server.url + "/v1", []).chat(
            ASK, Sampling(0.8, 0.9, 7, 50, ("\n",), {"min_p": 0.1})
        )
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ("hi", 30, 12)
    body = server.asked[0]
    assert (body["temperature"], body["top_p"], body["seed"], body["max_tokens"]) == (
        0.8, 0.9, 7, 50,
    )  # fmt: skip
    assert (body["stop"], body["min_p"]) == (["\n"], 0.1)
    assert "extra" not in body


@pytest.mark.parametrize("fault", ["429", "500", "503", "cut", "shape", "text"])
def test_a_passing_fault_is_asked_again(fault: str) -> None:
    waits: list[float] = []
    with chat_server(lambda body: "hi", [fault, fault]) as server:
        assert client(server.url, waits).chat(ASK, Sampling()).text == "hi"
    assert len(server.asked) == 3
    assert len(waits) == 2
    assert waits[1] > waits[0] / 2


def test_faults_without_end_give_up_with_the_last_reason() -> None:
    waits: list[float] = []
    with (
        chat_server(lambda body: "hi", ["500"] * 9) as server,
        pytest.raises(EndpointError, match=r"4 tries .*status 500"),
    ):
        client(server.url, waits).chat(ASK, Sampling())
    assert (len(server.asked), len(waits)) == (4, 3)


def test_a_refusal_is_not_asked_again() -> None:
    with (
        chat_server(lambda body: "hi", ["401"]) as server,
        pytest.raises(EndpointError, match="401"),
    ):
        client(server.url, []).chat(ASK, Sampling())
    assert len(server.asked) == 1


def test_the_key_is_sent_and_never_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "secret-4711")
    with (
        chat_server(lambda body: "hi", ["403"]) as server,
        pytest.raises(EndpointError) as refused,
    ):
        client(server.url, []).chat(ASK, Sampling())
    assert server.keys == ["Bearer secret-4711"]
    assert "4711" not in str(refused.value)


def test_nobody_there_and_no_url_are_said_plainly() -> None:
    with pytest.raises(EndpointError, match="ConnectError"):
        client("http://127.0.0.1:9", []).chat(ASK, Sampling())
    with pytest.raises(EndpointError, match="give http"):
        client("localhost:8080", []).chat(ASK, Sampling())
