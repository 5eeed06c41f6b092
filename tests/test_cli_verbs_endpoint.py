"""`toprope eval --endpoint`: scripted answers through the real sandbox, numbers known by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

import micro_world
from teacher_parts import chat_server
from test_cli_verbs import toprope
from toprope.climb.comparing.evaluate import Evaluation, evaluate
from toprope.climb.comparing.subjects import EndpointSubject
from toprope.harness import lines, rewrite
from toprope.sandbox import open_sandbox
from toprope.tasks import load_taskset
from toprope.teacher.openai import Endpoint, EndpointError
from toprope.terms import Split

IN_LINES = ("--split", "dev", "--json", "--dialect", "lines")


@pytest.fixture(scope="module")
def taskset(tmp_path_factory):
    path = tmp_path_factory.mktemp("endpoint") / "micro.jsonl"
    return micro_world.write_taskset(path, train=1, dev=4, heldout=1)


def scripted(taskset):
    """Right for two tasks of dev, wrong for the third, and no action for the fourth."""
    tasks = load_taskset(taskset).split(Split.DEV)
    right = [lines.express(task, task.solution) for task in tasks]
    # once cut by the server's stop string, once with more after it
    answers = [right[0], f"{right[1]}\nand more", "1|?", "the line is wrong"]
    return {lines.render(task): answer for task, answer in zip(tasks, answers, strict=True)}


def test_an_endpoint_is_asked_and_judged_as_the_student_is(taskset, capsys):
    answers = scripted(taskset)
    with chat_server(lambda body: answers[body["messages"][-1]["content"]]) as server:
        words = ["--taskset", taskset, "--draws", 2, *IN_LINES]
        assert toprope("eval", "--endpoint", server.url, *words) == 0
        subject = json.loads(capsys.readouterr().out)["subjects"][0]
    assert subject["outcomes"] == {"failed": 2, "malformed": 2, "passed": 4}
    assert subject["tiers"]["all"]["pass@1"] == subject["tiers"]["all"]["pass@k"] == 0.5
    assert subject["sampled_tokens"] == 8 * 12
    assert len(server.asked) == 8
    task = load_taskset(taskset).split(Split.DEV)[0]
    asked = [body for body in server.asked if body["messages"] == lines.messages(task)]
    assert len({body["seed"] for body in asked}) == 2  # two draws are two draws
    assert {(body["temperature"], body["top_p"], *body["stop"]) for body in asked} == {
        (1.0, 1.0, "\n")
    }


def test_an_endpoint_may_answer_in_another_dialect(taskset, capsys):
    tasks = load_taskset(taskset).split(Split.DEV)
    answers = {
        rewrite.messages(task)[-1]["content"]: rewrite.express(task, task.solution)
        for task in tasks
    }
    with chat_server(lambda body: answers[body["messages"][-1]["content"]]) as server:
        words = ["--taskset", taskset, "--split", "dev", "--draws", 1, "--json"]
        assert toprope("eval", "--endpoint", server.url, *words) == 0
        assert json.loads(capsys.readouterr().out)["subjects"][0]["outcomes"] == {"passed": 4}
        assert all("stop" not in body or not body["stop"] for body in server.asked)
        assert toprope("eval", "--endpoint", server.url, "--dialect", "prose") != 0
    assert "take one of lines, rewrite" in capsys.readouterr().err


def test_two_endpoints_are_compared_task_by_task(taskset, capsys):
    answers = scripted(taskset)
    tasks = load_taskset(taskset).tasks
    perfect = {lines.render(task): lines.express(task, task.solution) for task in tasks}
    with (
        chat_server(lambda body: answers[body["messages"][-1]["content"]]) as some,
        chat_server(lambda body: perfect[body["messages"][-1]["content"]]) as all_,
    ):
        words = ["--taskset", taskset, "--draws", 1, *IN_LINES]
        both = ["--endpoint", f"{some.url}#one", "--endpoint", f"{all_.url}#two"]
        assert toprope("eval", *both, *words) == 0
    one, two = json.loads(capsys.readouterr().out)["subjects"]
    assert (one["name"], two["name"]) == ("one", "two")
    assert (some.asked[0]["model"], all_.asked[0]["model"]) == ("one", "two")
    assert two["gain"]["all"]["gain"] == 0.5


def play(taskset, server, *, draws):
    sandbox = open_sandbox()
    endpoint = Endpoint(server.url, tries=1, sleep=lambda seconds: None)
    subject = EndpointSubject("it", endpoint, max_tokens=6, dialect=lines, concurrency=1)
    asked = Evaluation(load_taskset(taskset), Split.DEV, draws=draws)
    try:
        return evaluate(asked, [subject], sandbox, lambda *progress: None)["subjects"][0]
    finally:
        sandbox.close()


def test_a_lost_question_is_ours_and_leaves_the_rate_alone(taskset):
    answers = scripted(taskset)
    with chat_server(lambda body: answers[body["messages"][-1]["content"]], ["500"] * 3) as server:
        found = play(taskset, server, draws=2)
    assert found["outcomes"] == {"failed": 2, "infra": 3, "malformed": 2, "passed": 1}
    # the first task has no draw left, the second one of two: (1 + 0 + 0) / 3
    assert found["tiers"]["all"]["pass@1"] == pytest.approx(1 / 3)
    assert found["tiers"]["all"]["pass@1_infra_failed"] == pytest.approx((0 + 0.5 + 0 + 0) / 4)


def test_an_endpoint_that_is_gone_ends_the_evaluation(taskset):
    with chat_server(lambda body: "", ["500"] * 100) as server:
        with pytest.raises(EndpointError, match="no readable reply"):
            play(taskset, server, draws=4)
        assert len(server.asked) == 8


def test_an_interrupted_evaluation_says_that_nothing_is_kept(taskset):
    started, sent = [], []

    def interrupting(body):
        if not sent:  # once: a second would meet the interpreter as it ends
            sent.append(signal.SIGINT)
            os.kill(started[0].pid, signal.SIGINT)
        return "1|?"

    with chat_server(interrupting) as server:
        words = ["--endpoint", server.url, "--taskset", taskset, "--split", "dev", "--json"]
        command = [sys.executable, "-m", "toprope.cli.main", "eval", *words]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True))
        out, err = started[0].communicate(timeout=300)
    assert started[0].returncode == 3, err
    assert out == ""
    assert "interrupted; nothing of it is kept, run the same command to begin again" in err
    assert "Traceback" not in err
