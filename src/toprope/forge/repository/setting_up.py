"""Runs a user's own set-up command in a copy of the repository; installs nothing by itself.

Packages may ask git for their version (setuptools-scm, hatch-vcs): while the command runs, and
no longer, the copy knows the checkout's history. Tasks are never made from this copy.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from toprope.forge.repository.asking import NoEnvironment
from toprope.forge.repository.source import Repository, git

_ASKS_GIT = ("setuptools-scm", "setuptools_scm", "hatch-vcs", "hatch_vcs", "vcs_versioning",
             "PRETEND_VERSION", "PBR", "not a git repository")  # fmt: skip


def set_up(repository: Repository, command: str, cache: Path) -> Path:
    """Return the interpreter of the `.venv` that `command` makes, run once for the same files.

    Raises `NoEnvironment` with what the command said where it makes none.
    """
    copy = cache / "environments" / f"{repository.name}-{repository.tree.hash[:12]}"
    python = copy / ".venv" / "bin" / "python"
    done = copy / ".set-up"
    if done.exists() and done.read_text() == command:
        return python
    shutil.rmtree(copy, ignore_errors=True)
    for path, text in repository.tree.files.items():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        (copy / path).write_bytes(text.encode("utf-8", "surrogateescape"))
    history = _lend_history(repository.folder, copy)
    try:
        ran = subprocess.run(
            command, shell=True, cwd=copy, capture_output=True, text=True, check=False
        )
    finally:
        shutil.rmtree(copy / ".git", ignore_errors=True)
    if ran.returncode != 0 or not python.exists():
        said = (ran.stderr or ran.stdout).strip()
        raise NoEnvironment(
            f"--setup ended with {ran.returncode} in {copy} and "
            f"{'made' if python.exists() else 'did not make'} .venv/bin/python there:\n"
            f"{said[-600:]}{_advice(said, history)}"
        )
    done.write_text(command)
    return python


def _lend_history(folder: Path, copy: Path) -> bool:
    """Give the copy a `.git` that borrows the checkout's objects; whether there was one to lend.

    The command can change only what is the copy's own. What a checkout changed but did not
    commit counts as changed there too.
    """
    top = (git(folder, "rev-parse", "--show-toplevel") or "").rstrip("\n")
    commit = (git(folder, "rev-parse", "HEAD") or "").strip()
    if not commit or not git(folder, "ls-files", "--cached", "."):
        return False  # a checkout around the folder is not the folder's own
    place = copy / ".git"
    lent = git(Path(top), "clone", "--quiet", "--bare", "--shared", "--template=", ".", str(place))
    if lent is None:
        shutil.rmtree(place, ignore_errors=True)
        return False
    # Where the checkout stands, be it on no branch; and an index, or all would seem changed.
    git(copy, "config", "core.bare", "false")
    git(copy, "update-ref", "--no-deref", "HEAD", commit)
    git(copy, "reset", "--quiet")
    return True


def _advice(said: str, history: bool) -> str:
    """What to do where a version was asked of git, and git could not tell it."""
    if not any(word in said for word in _ASKS_GIT):
        return ""
    why = (
        "the checkout's history was there, but gave none (a shallow clone without tags, or a "
        "part of a larger repository)"
        if history
        else "what was named is no git checkout, or git cannot read it"
    )
    return (
        f"\nThe package asks git for its version: {why}. Name the version: "
        "--setup 'export SETUPTOOLS_SCM_PRETEND_VERSION=1.0; python -m venv .venv && ...'"
    )
