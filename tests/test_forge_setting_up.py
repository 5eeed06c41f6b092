"""The user's set-up command: what it is lent of a checkout's history, and what is left of that."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from toprope.forge.repository.asking import NoEnvironment
from toprope.forge.repository.setting_up import set_up
from toprope.forge.repository.source import open_repository

PROJECT = """
[build-system]
requires = ["setuptools>=64", "setuptools-scm>=8"]
build-backend = "setuptools.build_meta"
[project]
name = "tagged"
dynamic = ["version"]
[tool.setuptools_scm]
"""
# A set-up that needs no network: what git says, and a file where the interpreter would be.
ASK = (
    "{ git describe --tags --dirty || exit 9; } > said; git tag mine; git config a.b c; "
    "mkdir -p .venv/bin; touch .venv/bin/python"
)


def git(folder: Path, *words: str) -> str:
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    for role in ("AUTHOR", "COMMITTER"):
        environ |= {f"GIT_{role}_NAME": "a", f"GIT_{role}_EMAIL": "a@example.org"}
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of an earlier, tagged commit, on no branch."""
    folder = tmp_path / "tagged"
    (folder / "part").mkdir(parents=True)
    for path, text in {
        "pyproject.toml": PROJECT,
        "tagged.py": "X = 1\n",
        "part/a.py": "1\n",
    }.items():
        (folder / path).write_text(text)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "begin")
    git(folder, "tag", "v1.4.2")
    git(folder, "commit", "-qm", "later", "--allow-empty")
    git(folder, "checkout", "-q", "v1.4.2")
    return folder


def test_a_set_up_may_ask_git_and_leaves_no_history(checkout: Path, tmp_path: Path) -> None:
    before = git(checkout, "for-each-ref"), git(checkout, "config", "--list", "--local")
    copy = set_up(open_repository(str(checkout), "", tmp_path), ASK, tmp_path).parents[2]
    assert (copy / "said").read_text() == "v1.4.2\n"
    assert not (copy / ".git").exists()
    assert (git(checkout, "for-each-ref"), git(checkout, "config", "--list", "--local")) == before


def test_what_is_changed_and_not_committed_counts_as_changed(
    checkout: Path, tmp_path: Path
) -> None:
    (checkout / "tagged.py").write_text("X = 2\n")
    copy = set_up(open_repository(str(checkout), "", tmp_path), ASK, tmp_path).parents[2]
    assert (copy / "said").read_text() == "v1.4.2-dirty\n"


def test_a_failed_set_up_leaves_no_history_either(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(NoEnvironment, match="--setup ended with 7") as caught:
        set_up(
            open_repository(str(checkout), "", tmp_path),
            "git describe --tags >&2; exit 7",
            tmp_path,
        )
    assert "v1.4.2" in str(caught.value)
    assert not list((tmp_path / "environments").glob("*/.git"))


@pytest.mark.parametrize("around", [False, True])
def test_without_a_history_of_its_own_the_way_out_is_told(
    checkout: Path, tmp_path: Path, around: bool
) -> None:
    """A checkout around the folder, as around a cache, is not the folder's own."""
    place = checkout / "cache" if around else tmp_path
    (place / "plain").mkdir(parents=True)
    (place / "plain" / "setup.py").write_text("")
    repository = open_repository(str(place / "plain"), "", tmp_path)
    fails = (
        "echo 'LookupError: setuptools-scm was unable to detect version' >&2; git describe --tags"
    )
    with pytest.raises(NoEnvironment, match="no git checkout") as caught:
        set_up(repository, fails, tmp_path)
    assert "SETUPTOOLS_SCM_PRETEND_VERSION" in str(caught.value)


@pytest.mark.slow
def test_a_package_with_its_version_in_a_tag_installs(checkout: Path, tmp_path: Path) -> None:
    command = "python3 -m venv .venv && .venv/bin/pip install -q ."
    try:
        python = set_up(open_repository(str(checkout), "", tmp_path), command, tmp_path)
    except NoEnvironment as error:
        if "No matching distribution" in str(error) or "ensurepip" in str(error):
            pytest.skip("no package index can be reached, or Python here has no pip")
        raise
    ask = "from importlib.metadata import version; print(version('tagged'))"
    told = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
    assert told.stdout == "1.4.2\n"


@pytest.mark.parametrize("changed", [False, True])
def test_a_part_of_a_monorepo_is_set_up_where_it_lies_below_the_checkouts_top(
    checkout: Path, tmp_path: Path, changed: bool
) -> None:
    """There a version of `root = ".."` is found; what is not copied does not count as changed."""
    if changed:
        (checkout / "part" / "a.py").write_text("2\n")
    command = f"git rev-parse --show-prefix > where; git diff --name-only > seen; {ASK}"
    repository = open_repository(str(checkout), "part", tmp_path)
    python = set_up(repository, command, tmp_path)
    part = python.parents[2]
    assert (part / "where").read_text() == "part/\n"
    assert (part / "said").read_text() == ("v1.4.2-dirty\n" if changed else "v1.4.2\n")
    assert (part / "seen").read_text() == ("part/a.py\n" if changed else "")
    assert not (part.parent / ".git").exists()
    assert not (part.parent / "tagged.py").exists()  # only what counts was copied
    assert set_up(repository, command, tmp_path) == python


def test_a_version_of_the_outer_checkout_that_is_missing_is_told(tmp_path, checkout: Path) -> None:
    repository = open_repository(str(checkout), "part", tmp_path)
    fails = "echo 'LookupError: setuptools-scm was unable to detect version' >&2; exit 1"
    with pytest.raises(NoEnvironment, match="history was there, but gave none"):
        set_up(repository, fails, tmp_path)
