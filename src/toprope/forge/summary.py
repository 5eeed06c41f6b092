"""Says in words what a build gave: what is there, what was turned away, and why."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from statistics import median

from toprope.forge.build import Built
from toprope.terms import Task


def summary(built: Built) -> Iterator[str]:
    """Yield the lines of an honest summary of a build."""
    tasks = built.taskset.tasks
    groups: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        groups[task.tier.value if task.tier else task.split.value].append(task)
    for name, group in groups.items():
        yield f"{name}: {_describe(group)}"
    yield f"train by operator: {_counts(t.source.operator for t in groups['train'])}"
    yield f"far by operator: {_counts(t.source.operator for t in groups['far'])}"
    yield f"train by package: {_counts(t.source.package for t in groups['train'])}"
    yield f"far by package: {_counts(t.source.package for t in groups['far'])}"
    rejected: Counter[str] = Counter()
    for found in built.harvests:
        rejected.update(found.rejected)
    kept = sum(len(found.functions) for found in built.harvests)
    yield f"functions: {kept} kept of {kept + sum(rejected.values())} top-level ones"
    for reason, count in rejected.most_common():
        yield f"  {count} turned away: {reason}"
    for task_id, why in built.unproven.items():
        yield f"  unproven, left out: {task_id}: {why}"
    yield f"{len(tasks)} tasks, hash {built.taskset.hash}"


def _describe(tasks: list[Task]) -> str:
    functions = {task.source.cluster for task in tasks}
    packages = {task.source.package for task in tasks}
    calls = sum(len(task.calls) for task in tasks)
    recorded = sum(int(task.features["n_recorded"]) for task in tasks)
    kills = [float(task.features["kill_rate"]) for task in tasks]
    lines = median(int(task.features["n_lines"]) for task in tasks)
    characters = median(int(task.features["n_chars"]) for task in tasks)
    text = (
        f"{len(tasks)} tasks, {len(functions)} functions, {len(packages)} packages;"
        f" {lines:g} lines, {characters:g} characters (medians);"
        f" kill rate {sum(kills) / len(kills):.3f}, least {min(kills):.3f};"
        f" {recorded / calls:.0%} of calls are the packages' own"
    )
    rates = [float(task.features["mutator_p"]) for task in tasks if "mutator_p" in task.features]
    return f"{text}; mutator {sum(rates) / len(rates):.4f}" if rates else text


def _counts(names: Iterable[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in Counter(names).most_common())
