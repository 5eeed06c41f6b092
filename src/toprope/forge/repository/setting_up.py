"""Runs a user's own set-up command in a copy of the repository; installs nothing by itself.

Packages may ask git for their version (setuptools-scm, hatch-vcs): while the command runs, and
no longer, the copy knows the checkout's history. A part of a monorepo is copied to where it lies
below the checkout's top, for its `root = ".."`. Tasks are never made from this copy.
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
    top, part = _place(repository.folder)
    whole = cache / "environments" / f"{repository.name}-{repository.tree.hash[:12]}"
    copy = whole / part
    python = copy / ".venv" / "bin" / "python"
    done = copy / ".set-up"
    if done.exists() and done.read_text() == command:
        return python
    shutil.rmtree(whole, ignore_errors=True)
    for path, text in repository.tree.files.items():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        (copy / path).write_bytes(text.encode("utf-8", "surrogateescape"))
    history = top is not None and _lend_history(top, whole, part)
    try:
        ran = subprocess.run(
            command, shell=True, cwd=copy, capture_output=True, text=True, check=False
        )
    finally:
        shutil.rmtree(whole / ".git", ignore_errors=True)
    if ran.returncode != 0 or not python.exists():
        said = (ran.stderr or ran.stdout).strip()
        raise NoEnvironment(
            f"--setup ended with {ran.returncode} in {copy} and "
            f"{'made' if python.exists() else 'did not make'} .venv/bin/python there:\n"
            f"{said[-600:]}{_advice(said, history)}"
        )
    done.write_text(command)
    return python


def _place(folder: Path) -> tuple[Path | None, Path]:
    """The top of the checkout that the folder belongs to, None if to none, and where it lies there.

    A checkout around the folder that tracks nothing of it is not its own.
    """
    top = (git(folder, "rev-parse", "--show-toplevel") or "").rstrip("\n")
    if not top or not git(folder, "ls-files", "--cached", "."):
        return None, Path()
    return Path(top), folder.resolve().relative_to(Path(top).resolve())


def _lend_history(top: Path, copy: Path, part: Path) -> bool:
    """Give the copy a `.git` that borrows the checkout's objects; whether there was one to lend.

    The command can change only what is the copy's own. What a checkout changed but did not
    commit counts as changed there too; what lies outside the part is not copied, and does not.
    """
    commit = (git(top, "rev-parse", "HEAD") or "").strip()
    place = copy / ".git"
    lent = git(top, "clone", "--quiet", "--bare", "--shared", "--template=", ".", str(place))
    if lent is None:
        shutil.rmtree(place, ignore_errors=True)
        return False
    # Where the checkout stands, be it on no branch; and an index, or all would seem changed.
    git(copy, "config", "core.bare", "false")
    git(copy, "update-ref", "--no-deref", "HEAD", commit)
    git(copy, "reset", "--quiet")
    if part != Path():
        listed = (git(copy, "ls-files", "-z") or "").split("\0")
        outside = [path for path in listed if path and not Path(path).is_relative_to(part)]
        git(copy, "update-index", "--skip-worktree", "-z", "--stdin", given="\0".join(outside))
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
