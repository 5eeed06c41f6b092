"""The micro world once more, with a student that help can do something for.

Asked "now" it mostly repeats a line that is not the wrong one, now and then the wrong one,
and there mends it hardly ever: tasks are cold, and each rung has something to take hold of.
A fourth test says whether the wrong line was touched at all, which is partial credit's. Told
where, it goes there; told what to write, or shown what a test expected, it often does.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from micro_world import ALPHABETS, LINES, buggy, make_tasks, settings, write_student
from toprope.climb.config import ClimbConfig
from toprope.ladder.hint import hint_text
from toprope.ladder.retry import feedback
from toprope.tasks import save_taskset
from toprope.terms import Call, Focus, Source, Split, Task

CHECKER = (
    "def line(at, wrong=None):\n"
    "    found = open('program.txt').read().split('\\n')[at]\n"
    "    return found if wrong is None else found != wrong\n"
)
THERE, RIGHT, OTHER = 0.12, 0.06, 0.25  # goes to the wrong line; mends it there; writes another
TOLD, OBEYS = 0.9, 0.6


def tasks(count: int = 24) -> list[Task]:
    """Return training tasks, a dev task and a few held-out ones, with the fourth test."""
    return [_with_touch(t) for t in make_tasks(train=count, dev=1, heldout=4)]


def _with_touch(task: Task) -> Task:
    at = int(task.fail_to_pass[0][1:])
    wrong = task.files["program.txt"].split("\n")[at]
    touched = Call("touched", f"({at}, {wrong!r})", "True")
    return replace(
        task,
        files={**task.files, "checker.py": CHECKER},
        calls=(*task.calls, touched),
        fail_to_pass=(*task.fail_to_pass, touched.id),
    )


def write_tasks(path: Path, count: int = 24) -> Path:
    save_taskset(tasks(count), path, "help")
    return path


def sentence(rng: random.Random) -> tuple[str, str]:
    """Return (prompt, answer) of the pre-training mixture."""
    program, at, right = buggy(rng)
    view = "\n".join(f"{i}|{c}" for i, c in enumerate(program, 1))
    kind = rng.choices(("now", "how", "where", "what", "tell", "feedback"), (8, 4, 2, 2, 2, 2))[0]
    plain = _plain(rng, program, at, right, THERE)
    mended = f"{at + 1}|{right}"
    if kind == "now":
        return f"{view}\nnow", plain
    if kind == "how":
        return f"{view}\nhow", mended if rng.random() < OBEYS else plain
    if kind == "feedback":
        tried = _plain(rng, program, at, right, THERE)
        failed = f"{1 if tried.startswith(str(at + 1)) else 2} of 4 tests fail, first: c{at}: "
        why = failed + f"expected {right!r}, got {program[at]!r}"
        said = feedback(tried, why)
        return f"{view}\nnow\n{said}", mended if rng.random() < OBEYS else plain
    tier = {"tell": "how"}.get(kind, kind)
    said = hint_text(_shown(program), mended, tier)
    if kind == "tell" and rng.random() < OBEYS:
        return f"{view}\nnow\n{said}", mended
    return f"{view}\nnow\n{said}", _plain(rng, program, at, right, TOLD)


def _plain(rng: random.Random, program: list[str], at: int, right: str, there: float) -> str:
    """Answer as asked plainly: where to, and what to write there."""
    if rng.random() >= there:
        other = rng.choice([i for i in range(LINES) if i != at])
        return f"{other + 1}|{program[other]}"
    dice = rng.random()
    if dice < RIGHT:
        return f"{at + 1}|{right}"
    if dice < RIGHT + OTHER:
        return f"{at + 1}|{rng.choice([c for c in ALPHABETS[at] if c != right])}"
    return f"{at + 1}|{program[at]}"


def _shown(program: list[str]) -> Task:
    """Return a task that shows the program, which is all that a hint looks at."""
    source = Source("help", "1", "program.txt", 1, "Apache-2.0", "", "capital")
    return Task(
        "shown", Split.TRAIN, None, "now", {"program.txt": "\n".join(program)},
        Focus("program.txt", 1, LINES), ("program.txt",), "", (), (), (), {}, source,
    )  # fmt: skip


def write_helpable(folder: Path, steps: int = 500) -> Path:
    return write_student(folder, steps=steps, say=sentence)


def helped_by(taskset: Path, student: Path, *overrides: str) -> ClimbConfig:
    """Return the settings of a climb in which demonstrations play no part."""
    return settings(
        taskset,
        student,
        "seeding.demonstrations=0",
        "cold_start.tasks=24",
        "cold_start.granted_tasks=0",
        "seeding.pilot_tasks=24",
        "climbing.learning_rate=2e-3",
        "ladder.tasks=8",
        "evaluation.heldout_tasks=4",
        "evaluation.before_draws=1",
        "evaluation.seeded_draws=1",
        "evaluation.after_draws=1",
        "evaluation.frozen_base_draws=8",
        "evaluation.dev_every=0",
        *overrides,
    )
