"""How often each dialect over turns yields a valid action and a solved task, with a real model.

python bench/dialects.py TASKSET --endpoint http://127.0.0.1:8080/v1 --tasks 12 --dialect bash
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path

from toprope.grading import Grader
from toprope.harness.turns import TURN_DIALECTS, Answered, Played, TurnLimits, play
from toprope.sandbox import Limits, Start, open_sandbox
from toprope.tasks import load_any, load_environments
from toprope.teacher.openai import Endpoint, Sampling

LIMITS = Limits(wall_s=60, cpu_s=60, memory_mb=1024, processes=64, disk_mb=64, descriptors=256)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("taskset")
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--dialect", choices=list(TURN_DIALECTS), action="append")
    parser.add_argument("--tasks", type=int, default=12)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=300, help="of one answer")
    parser.add_argument("--out", type=Path, help="write every attempt here, a JSON line each")
    options = parser.parse_args()
    tasks = load_any(options.taskset).tasks[: options.tasks]
    sandbox = open_sandbox(workers=2, environments=load_environments(options.taskset))
    endpoint = Endpoint(options.endpoint)
    sampling = Sampling(max_tokens=options.tokens)

    def ask(messages):
        reply = endpoint.chat([dict(message) for message in messages], sampling)
        return Answered(reply.text, reply.completion_tokens)

    limits = TurnLimits(turns=options.turns)
    grader = Grader(sandbox)
    print(f"{'dialect':8} {'tasks':>5} {'solved':>6} {'valid turns':>14} {'seconds':>8}  ends")
    for name in options.dialect or TURN_DIALECTS:
        begun = time.monotonic()
        attempts: list[tuple[str, Played, str]] = []
        for task in tasks:
            environment = task.suite.environment if task.suite else ""
            session = sandbox.open(
                Start(task.id, task.files, task.tree, task.removed, environment, LIMITS)
            )
            try:
                attempt = play(task, TURN_DIALECTS[name], ask, session, limits)
            finally:
                session.close()
            (verdict,) = grader.grade_many([(task.id, task, attempt.changes)])
            attempts.append((task.id, attempt, str(verdict.outcome)))
            if options.out:
                keep(options.out, name, attempts[-1])
        report(name, attempts, time.monotonic() - begun)
    sandbox.close()


def keep(path: Path, dialect: str, found: tuple[str, Played, str]) -> None:
    task, attempt, outcome = found
    turns = [[turn.text, list(turn.actions), turn.observation] for turn in attempt.turns]
    row = {"dialect": dialect, "task": task, "outcome": outcome, "end": attempt.end, "turns": turns}
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def report(name: str, attempts: list[tuple[str, Played, str]], seconds: float) -> None:
    turns = [turn for _, attempt, _ in attempts for turn in attempt.turns]
    valid = sum(bool(turn.actions) for turn in turns)
    solved = sum(outcome == "passed" for _, _, outcome in attempts)
    ends = Counter(attempt.end for _, attempt, _ in attempts)
    told = ", ".join(f"{count} {end}" for end, count in ends.most_common())
    print(
        f"{name:8} {len(attempts):5} {solved:6} {valid:6} of {len(turns):4} {seconds:8.0f}  {told}"
    )


if __name__ == "__main__":
    main()
