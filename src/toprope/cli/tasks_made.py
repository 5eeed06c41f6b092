"""What `toprope tasks make` prints at its end: what came of a repository, and what did not."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from toprope.forge.repository import Doubles, Made

_SHOWN = 5
_MEANING = {
    "task": "proven",
    "survived": "not noticed by any test",
    "everywhere": "noticed by more than 30 tests",
    "crash": "kept a test file from loading",
    "timeout": "too slow",
    "limit": "beyond the limits",
    "ended": "ended the process",
    "silent": "failed without a text",
    "infra": "not judged, for failures of ours",
}


def summary(made: Made, out: Path, seconds: float) -> list[str]:
    """What a make gave, and what it did not, in lines."""
    return [*_found(made), *_tasks(made), *_end(made, out, seconds)]


def _found(made: Made) -> Iterator[str]:
    repository, baseline = made.repository, made.baseline
    yield (
        f"{repository.name} {repository.version[:12]}: {len(repository.tree.files)} files, "
        f"Python {made.surroundings.version}"
    )
    if repository.left_out:
        yield f"files not read: {_first(repository.left_out)}"
    if made.generated:
        yield f"taken in, though built and not kept by git: {_first(made.generated)}"
    if made.pytest_args:
        yield f"arguments for pytest: {shlex.join(made.pytest_args)}"
    ended = ", ".join(f"{count} {word}" for word, count in baseline.counts.most_common())
    yield f"tests, run three times: {ended}"
    if baseline.bad:
        yield "left out: " + _first([f"{name}: {word}" for name, word in baseline.bad.items()])


def _tasks(made: Made) -> Iterator[str]:
    tasks = made.taskset.ordinary
    tried = sum(made.words.values())
    words = ", ".join(f"{n} {_MEANING.get(w, w)}" for w, n in made.words.most_common())
    yield f"{made.what} tried: {tried}: {words}; {made.untried} left untried"
    if made.doubles.asked:
        yield _pairs(made.doubles)
    splits = Counter(f"{t.split} ({t.tier})" if t.tier else str(t.split) for t in tasks)
    yield (
        f"{len(tasks)} tasks in {len({t.source.cluster for t in tasks})} functions: "
        + ", ".join(f"{count} {split}" for split, count in splits.items())
    )
    sizes = sorted(len(t.fail_to_pass) + len(t.pass_to_pass) for t in tasks)
    yield (
        f"required tests of a task: {sizes[0]} to {sizes[-1]}, of {len(made.baseline.good)} that "
        "passed"
    )
    baits = len(made.taskset.impossible)
    if baits:
        yield f"{baits} impossible tasks besides: whoever passes one has cheated"
    else:
        yield "no impossible task among them"
    operators = Counter(t.source.operator for t in tasks if "+" not in t.source.operator)
    if made.what == "bugs":
        yield "operators: " + ", ".join(
            f"{name} {count}" for name, count in operators.most_common()
        )


def _pairs(doubles: Doubles) -> str:
    """What was asked of tasks with two bugs and what came of it; of a shortage also why."""
    told = f"two bugs at once: {doubles.made} tasks of {doubles.asked} asked for (--pairs)"
    if doubles.made == doubles.asked:
        return told
    others = doubles.words - Counter(task=doubles.made)
    words = "".join(f", {n} {_MEANING.get(w, w)}" for w, n in others.most_common())
    return (
        f"{told}; {doubles.words.total()} pairs could be tried, each of two proven bugs in "
        f"different functions of one module and split{words}; a larger --limit gives more"
    )


def _end(made: Made, out: Path, seconds: float) -> Iterator[str]:
    if made.before:
        yield f"{made.before} of these had been tried before it was stopped: no pace is told"
    else:
        yield f"{len(made.taskset.tasks) * 3600 / max(seconds, 1):.0f} tasks an hour"
    yield f"{out} {made.taskset.hash[:12]}; environment in {out.with_name('environment.toml')}"
    if not made.repository.licence:
        yield "no licence was found in the repository: mind whom you give the tasks to"


def _first(names: Collection[str]) -> str:
    more = f"; and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return "; ".join(list(names)[:_SHOWN]) + more
