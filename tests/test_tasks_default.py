"""What the shipped taskset promises, checked on the shipped file."""

import random
from collections import Counter

import pytest

from toprope.forge.mutator import mutator_pass_probability
from toprope.forge.operators import RESERVED
from toprope.forge.packages import read_manifest
from toprope.grading import prove
from toprope.sandbox import open_sandbox
from toprope.tasks import load_taskset
from toprope.tasks.taskset import DATA
from toprope.terms import Split, Tier

PERMISSIVE = {"MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "ISC", "PSF-2.0"}


@pytest.fixture(scope="module")
def taskset():
    return load_taskset("default")


def tier(taskset, name):
    return [task for task in taskset.tasks if task.tier is name]


def clusters(tasks):
    return {task.source.cluster for task in tasks}


def test_the_splits_are_as_large_as_promised(taskset):
    assert len(taskset.split(Split.TRAIN)) >= 600
    assert len(taskset.split(Split.DEV)) >= 60
    assert len(tier(taskset, Tier.NEAR)) >= 60
    assert len(tier(taskset, Tier.MID)) >= 60
    assert len(tier(taskset, Tier.FAR)) >= 120


def test_tiers_are_as_far_from_training_as_they_say(taskset):
    train, dev = taskset.split(Split.TRAIN), taskset.split(Split.DEV)
    packages = {task.source.package for task in train}
    assert len(packages) >= 8
    assert clusters(tier(taskset, Tier.NEAR)) <= clusters(train)
    for apart in (dev, tier(taskset, Tier.MID)):
        assert not clusters(apart) & clusters(train)
        assert {task.source.package for task in apart} <= packages
    assert not clusters(dev) & clusters(taskset.split(Split.HELDOUT))
    assert not {task.source.package for task in tier(taskset, Tier.FAR)} & packages


def test_the_reserved_operators_occur_in_far_tasks_only(taskset):
    used = Counter(t.tier for t in taskset.tasks if t.source.operator in RESERVED)
    assert set(used) == {Tier.FAR}
    assert used[Tier.FAR] >= 40
    assert {t.source.operator for t in tier(taskset, Tier.FAR)} >= RESERVED


def test_no_function_text_is_in_two_places(taskset):
    """Near tasks share their function with training, and no other text crosses a split."""
    places = {}
    for task in taskset.tasks:
        path = task.focus.path
        shown = task.solution[path].split("\n")[task.focus.first - 1 : task.focus.last]
        place = Split.TRAIN if task.tier is Tier.NEAR else task.tier or task.split
        assert places.setdefault("\n".join(shown), place) == place


def test_each_bug_is_one_line_of_a_short_shown_function(taskset):
    for task in taskset.tasks:
        path, first, last = task.focus.path, task.focus.first, task.focus.last
        broken, fixed = task.files[path].split("\n"), task.solution[path].split("\n")
        assert len(broken) == len(fixed)
        differing = [
            n for n, pair in enumerate(zip(broken, fixed, strict=True)) if len({*pair}) > 1
        ]
        assert differing == [first - 1 + task.features["wrong_line"] - 1]
        assert 2 <= last - first + 1 <= 14
        assert broken[first - 1].startswith("def ")


def test_statements_are_short_and_quote_no_hidden_call(taskset):
    for task in taskset.tasks:
        assert len(task.statement) <= 160
        for call in task.calls:
            spelled = f"{task.source.function}({call.args[1:-1].removesuffix(',')})"
            assert not task.statement.removeprefix("list(").startswith(
                (spelled + " ", spelled + ")")
            )


def test_tests_are_strong_and_sources_recorded(taskset):
    pinned = {p.name: p for p in read_manifest(DATA / "sources.toml")}
    for task in taskset.tasks:
        assert task.features["kill_rate"] >= 0.8
        assert task.features["mutants"] >= 10
        assert len(task.calls) >= 8
        package = pinned[task.source.package]
        assert (task.source.version, task.source.licence) == (package.version, package.licence)
        assert task.source.line > 0


def test_every_pinned_package_is_permissively_licensed():
    for package in read_manifest(DATA / "sources.toml"):
        assert set(package.licence.split(" OR ")) <= PERMISSIVE
        assert len(package.sha256) == 64


def test_training_is_not_dominated_by_one_operator_or_function(taskset):
    train = taskset.split(Split.TRAIN)
    operators = Counter(task.source.operator for task in train)
    assert len(operators) >= 15
    assert max(operators.values()) < 0.3 * len(train)
    assert max(Counter(task.source.cluster for task in train).values()) <= 6
    assert max(Counter(t.source.cluster for t in taskset.split(Split.HELDOUT)).values()) <= 2


def test_a_random_part_is_proven_in_the_real_sandbox(taskset):
    sandbox = open_sandbox()
    try:
        for task in random.Random(7).sample(taskset.tasks, 25):
            proof = prove(task, sandbox, times=1)
            assert proof.ok, f"{task.id}: {proof.why}"
    finally:
        sandbox.close()


def test_the_recorded_mutator_rate_is_what_recomputing_gives(taskset):
    sandbox = open_sandbox()
    try:
        for task in random.Random(8).sample(taskset.split(Split.HELDOUT), 6):
            again = mutator_pass_probability(task, sandbox)
            assert again == pytest.approx(task.features["mutator_p"], abs=1e-6)
    finally:
        sandbox.close()
