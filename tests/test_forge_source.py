"""Which files of a repository or of an attempt count, and that the others are named."""

import subprocess

import pytest

from toprope.forge.repository.source import SourceError, open_repository, read_attempt, read_folder


def write(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(f"# {path}\n")


def test_a_package_called_build_is_no_product_of_a_build(tmp_path):
    write(tmp_path, "src/build/env/a.py", "build/lib/a.py", "env/bin/b.py", "x.egg-info/PKG-INFO")
    write(tmp_path, "src/build/__pycache__/a.pyc", ".venv/lib/c.py")
    assert list(read_folder(tmp_path)) == ["src/build/env/a.py"]


def test_what_git_ignores_is_read_if_it_may_be_changed_and_named_if_not(tmp_path):
    write(tmp_path, "a.py", "kept/b.py", "notes/c.txt", ".venv/lib/d.py")
    (tmp_path / ".gitignore").write_text("kept/\nnotes/\n.venv/\n")
    subprocess.run(["git", "-C", str(tmp_path), "init", "-q"], check=True)
    assert set(read_folder(tmp_path)) == {".gitignore", "a.py"}
    files, left_out = read_attempt(tmp_path, lambda path: path.endswith(".py"))
    assert set(files) == {".gitignore", "a.py", "kept/b.py"}
    assert left_out == ["notes/c.txt: ignored"]


def test_links_and_huge_files_of_an_attempt_are_named(tmp_path):
    write(tmp_path, "a.py")
    (tmp_path / "huge.py").write_text("#" * ((1 << 20) + 1))
    (tmp_path / "link.py").symlink_to("/etc/passwd")
    files, left_out = read_attempt(tmp_path, lambda path: True)
    assert list(files) == ["a.py"]
    assert left_out == ["huge.py: larger than 1 MB", "link.py: not a plain file"]


def test_an_attempt_that_is_no_folder_or_empty_is_refused(tmp_path):
    with pytest.raises(SourceError, match="is no folder"):
        read_attempt(tmp_path / "none", lambda path: True)
    with pytest.raises(SourceError, match="has no files"):
        read_attempt(tmp_path, lambda path: True)


def test_the_part_of_a_monorepo_is_all_there_is(tmp_path):
    write(tmp_path / "mono", "LICENSE", "one/a.py", "two/b.py")
    (tmp_path / "mono" / "LICENSE").write_text("MIT License")
    found = open_repository(str(tmp_path / "mono"), "two", tmp_path)
    assert (list(found.tree.files), found.licence) == (["b.py"], "MIT")
