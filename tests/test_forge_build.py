"""From an invented package to proven tasks, through the real sandbox."""

import hashlib
import io
import tarfile
from dataclasses import replace

import pytest

from toprope.forge.bugs import _is_unfit
from toprope.forge.build import build, harvest_package
from toprope.forge.mutator import mutator_pass_probability
from toprope.forge.packages import (
    ManifestError,
    Package,
    fetch,
    open_archive,
    read_manifest,
)
from toprope.forge.splits import anonymous, deal
from toprope.forge.summary import summary
from toprope.forge.trial import is_steady, outcomes
from toprope.grading import prove
from toprope.sandbox import open_sandbox
from toprope.tasks import load_taskset
from toprope.terms import Call, Focus, InfraError, Source, Split, Task, Tier

MODULE = '''
import time

def clamp(value, low=0, high=10):
    """Keep a value between two bounds."""
    if low > high:
        raise ValueError("bounds are crossed")
    if value < low:
        return low
    return min(value, high)

def pairs(items):
    out = []
    for i in range(len(items) - 1):
        if items[i] != items[i + 1]:
            out.append((items[i], items[i + 1]))
    return out

def scale(numbers, factor, shift):
    total = 0
    for number in numbers:
        total += number * factor - shift
    return total

def cut_words(text, size):
    words = text.strip().lower().split()
    return [word[:size] for word in words if len(word) > 1]

def stamp(value):
    return time.time() + value + value + value
'''
TESTS = "def test_clamp():\n    assert clamp(11, 0, 10) == 10\n    assert clamp(-1) == 0\n"


@pytest.fixture(scope="module")
def sandbox():
    opened = open_sandbox()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache in which the invented package lies as if pip had fetched it."""
    folder = tmp_path_factory.mktemp("cache")
    path = folder / "archives" / "pack-1.0" / "pack-1.0.tar.gz"
    path.parent.mkdir(parents=True)
    files = {"src/pack/mod.py": MODULE, "tests/test_mod.py": TESTS, "setup.py": "x = 1\n"}
    files["src/pack/gpl.py"] = "# GNU General Public License\ndef g(a):\n    return a\n"
    files["src/pack/_vendor/other.py"] = "def g(a):\n    return a\n"
    with tarfile.open(path, "w:gz") as bundle:
        for name, text in files.items():
            member = tarfile.TarInfo(f"pack-1.0/{name}")
            member.size = len(text.encode())
            bundle.addfile(member, io.BytesIO(text.encode()))
    return folder


@pytest.fixture(scope="module")
def package(cache):
    path = cache / "archives" / "pack-1.0" / "pack-1.0.tar.gz"
    return Package("pack", "1.0", hashlib.sha256(path.read_bytes()).hexdigest(), "MIT")


@pytest.fixture(scope="module")
def harvested(package, cache):
    return harvest_package(package, cache)


def test_an_archive_is_sorted_into_modules_and_tests(package, cache):
    archive = open_archive(package, fetch(package, cache / "archives"))
    assert list(archive.modules) == ["pack/mod.py"]
    assert list(archive.tests) == ["tests/test_mod.py"]


def test_an_archive_with_another_checksum_is_never_used(package, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    wrong = replace(package, name="no-such-package-of-ours", sha256="0" * 64)
    folder = tmp_path / "no-such-package-of-ours-1.0"
    folder.mkdir()
    (folder / "some.tar.gz").write_bytes(b"not what was pinned")
    with pytest.raises(InfraError, match="pip could not fetch no-such-package-of-ours"):
        fetch(wrong, tmp_path)


def test_a_manifest_with_an_unknown_key_is_refused(tmp_path):
    path = tmp_path / "sources.toml"
    path.write_text('[[package]]\nname = "a"\nversion = "1"\nsha = "0"\n')
    with pytest.raises(ManifestError, match=r"sources\.toml"):
        read_manifest(path)


def test_a_package_gives_tested_functions_and_says_why_not_others(harvested):
    names = {function.extract.name for function in harvested.functions}
    assert names >= {"clamp", "pairs", "scale"}
    assert harvested.rejected["needs a module that is not pure"] == 1
    for function in harvested.functions:
        hidden = {call.args for call in function.tests.hidden}
        assert not hidden & {call.args for call in function.tests.visible}
        assert all(bug.kill_rate >= 0.8 and bug.mutants >= 10 for bug in function.bugs)


def test_the_same_pin_gives_the_same_harvest(harvested, package, cache):
    again = harvest_package(package, cache, fresh=True)
    assert again.functions == harvested.functions


def test_another_package_does_not_reshuffle_the_others(harvested):
    def ids(dealt):
        return [(t.function.extract.key, t.bug.digest, t.split, t.tier) for t in dealt]

    alone = ids(deal(harvested.functions))
    twin = [
        replace(f, extract=replace(f.extract, package=replace(f.extract.package, name="other"),
                                   text=f.extract.text.replace("return", "return 0 or")))
        for f in harvested.functions
    ]  # fmt: skip
    both = ids(deal([*harvested.functions, *twin]))
    assert [one for one in both if one[0].startswith("pack/")] == alone


def test_far_packages_give_far_tasks_only_and_only_they_use_reserved_operators(harvested):
    far = [
        replace(f, extract=replace(f.extract, package=replace(f.extract.package, far=True)))
        for f in harvested.functions
    ]
    dealt = deal(far)
    assert {t.tier for t in dealt} == {Tier.FAR}
    assert {"order"} <= {t.bug.edit.operator for t in dealt}
    operators = {t.bug.edit.operator for t in deal(harvested.functions)}
    assert not operators & {"order", "logic"}


def test_a_renamed_copy_of_a_function_is_the_same_function():
    one = "def f(a, b: int):\n    c = a + b\n    return c\n"
    assert anonymous(one) == anonymous("def g(x, y):\n    z = x + y\n    return z\n")
    assert anonymous(one) != anonymous("def g(x, y):\n    z = x - y\n    return z\n")


def test_a_build_is_repeatable_and_every_task_is_proven(package, cache, tmp_path, sandbox):
    said = []
    built = build([package], cache, tmp_path / "one.jsonl.xz", say=said.append)
    again = build([package], cache, tmp_path / "two.jsonl.xz", jobs=2, say=said.append)
    assert built.taskset.hash == again.taskset.hash == load_taskset(tmp_path / "one.jsonl.xz").hash
    assert built.taskset.tasks
    assert not built.unproven
    task = built.taskset.tasks[0]
    assert prove(task, sandbox, times=1).ok
    assert (
        task.source.line
        == MODULE.split("\n").index(
            next(li for li in MODULE.split("\n") if li.startswith(f"def {task.source.function}("))
        )
        + 1
    )
    assert any("turned away" in line for line in summary(built))


def test_a_variant_that_never_ends_costs_only_itself(sandbox):
    texts = [
        "def f(n):\n    return n\n",
        "def f(n):\n    while True:\n        pass\n",
        "def f(n):\n    return 10 ** (10 ** n)\n",
        "def f(n):\n    return -n\n",
    ]
    rows = outcomes(sandbox, "m.py:f", texts, ["(9,)"])
    assert rows[0] == ["9"]
    assert rows[1] == ["timeout"]
    assert rows[2] == ["timeout"]
    assert rows[3] == ["-9"]


def test_what_is_too_slow_is_a_count_of_lines(sandbox):
    loop = "def f(n):\n    k = 0\n    while k < n:\n        k += 1\n    return k\n"
    greedy = "def f(n):\n    s = 'a'\n    while True:\n        s += s\n"
    stubborn = (
        "def f(n):\n    while n:\n        try:\n            n += 1\n"
        "        except BaseException:\n            pass\n"
    )
    deep = "def f(n):\n    return f(n)\n"
    wide = "def f(n):\n    return len([n] * 10**7 * 2)\n"
    calls = ["(9,)", "(99_000,)", "(101_000,)", "(9,)"]
    # Two lines a round: the last round of the second call is line 198,003.
    rows = outcomes(sandbox, "m.py:f", [loop, greedy, stubborn, deep, wide], calls)
    assert rows[0] == ["9", "99000", "timeout", "timeout"]
    assert rows[1:] == [["timeout"] * 4] * 4


def test_no_call_sees_what_an_earlier_one_left(sandbox):
    text = (
        "seen = []\ndef f(n):\n    for k in range(n):\n        seen.append(k)\n"
        "    return len(seen)\n"
    )
    rows = outcomes(sandbox, "m.py:f", [text], ["(60_000,)", "(2,)", "(2,)"])
    assert rows == [["60000", "2", "2"]]


def test_a_bug_whose_outcome_is_an_address_is_unfit():
    assert _is_unfit(["1", "'<list_iterator object at 0x7fb4cb3e6a40>*9'"])
    assert not _is_unfit(["1", "'0x10'"])


def test_outcomes_that_hang_on_the_order_of_hashing_are_noticed(sandbox):
    text = "def f(s):\n    return list(set(s))\n"
    call = ["('abcdefgh',)"]
    seen = outcomes(sandbox, "m.py:f", [text], call)[0]
    assert not is_steady(sandbox, "m.py:f", text, call, seen)
    assert is_steady(
        sandbox, "m.py:f", "def f(s):\n    return sorted(s)\n", ["('ba',)"], ["['a', 'b']"]
    )


def test_the_mutator_rate_is_exact(sandbox):
    """Line 2 has four edits (`<=`, `>`, `1` to `2` and `0`), one of them right; line 3 has two.

    Blindly: a half for line 2 times a quarter, and nothing right on the others.
    """
    fixed = "def f(a):\n    if a <= 1:\n        return True\n    return False\n"
    task = Task(
        id="p/m.f#compare-1", split=Split.HELDOUT, tier=Tier.FAR, statement="s",
        files={"m.py": fixed.replace("<=", "<")}, focus=Focus("m.py", 1, 4),
        editable=("m.py",), entry="m.py:f",
        calls=(Call("c0", "(0,)", "True"), Call("c1", "(1,)", "True"), Call("c2", "(2,)", "False"),
               Call("c3", "(1.5,)", "False")),
        fail_to_pass=("c1",), pass_to_pass=("c0", "c2", "c3"), solution={"m.py": fixed},
        source=Source("p", "1", "m.py", 1, "MIT", "f", "compare"),
    )  # fmt: skip
    # Lines with edits: 2 (<=, >, 2, 0), 3 (False) and 4 (True); only `<=` passes all calls.
    assert mutator_pass_probability(task, sandbox) == pytest.approx(1 / 3 * 1 / 4)
