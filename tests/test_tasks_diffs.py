"""Diffs: what is made applies again, as git and patch apply it; what does not fit is refused."""

from __future__ import annotations

import random
import shutil
import subprocess

import pytest

from toprope.tasks import TaskFormatError
from toprope.tasks.diffs import apply_diff, make_diff
from toprope.tasks.folders import as_text, read_files, write_files

NAMES = ("a.py", "pack/b.py", "pack/deep/c d.txt", 'odd "name".py', "tab\there", "é.txt", "z\\z")
PIECES = ("x = 1", "", "    return x", "--- a/x", "+++ b/y", "@@ -1 +1 @@", "\\ No newline", "é\r",
          "a\x0cb", "\u2028", "-", "+", "diff --git a/a b/a", "\udcff")  # fmt: skip


def random_text(rng: random.Random) -> str:
    lines = [rng.choice(PIECES) for _ in range(rng.choice((0, 1, 3, 40)))]
    return "\n".join(lines) + rng.choice(("", "\n"))


def random_edit(rng: random.Random, text: str) -> str:
    lines = text.split("\n")
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(lines) + 1)
        lines[at : at + rng.randint(0, 3)] = rng.choices(PIECES, k=rng.randint(0, 3))
    return "\n".join(lines)


def random_states(rng: random.Random) -> tuple[dict[str, str], dict[str, str]]:
    """Two states of files: some edited, some new, some deleted, some as they were."""
    before = {name: random_text(rng) for name in NAMES if rng.random() < 0.7}
    after = {}
    for name, text in before.items():
        fate = rng.random()
        if fate > 0.2:
            after[name] = text if fate > 0.8 else random_edit(rng, text)
    for name in set(NAMES) - set(before):
        if rng.random() < 0.5:
            after[name] = random_text(rng)
    return before, after


@pytest.mark.parametrize("seed", range(300))
def test_a_random_edit_comes_back_through_its_diff(seed):
    before, after = random_states(random.Random(seed))
    assert apply_diff(before, make_diff(before, after)) == after
    assert apply_diff(after, make_diff(after, before)) == before


def applied_by(command: list[str], folder, before, diff) -> dict[str, str]:
    write_files(folder / "tree", before, "test")
    (folder / "tree").mkdir(exist_ok=True)
    (folder / "the.diff").write_bytes(diff.encode("utf-8", "surrogateescape"))
    done = subprocess.run(
        [*command, str(folder / "the.diff")], cwd=folder / "tree", capture_output=True
    )
    assert done.returncode == 0, as_text(done.stdout + done.stderr)
    return read_files(folder / "tree", "test")


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
@pytest.mark.parametrize("seed", range(20))
def test_git_applies_our_diffs_as_we_do(seed, tmp_path):
    before, after = random_states(random.Random(seed))
    diff = make_diff(before, after)
    if diff:
        command = ["git", "apply", "--whitespace=nowarn"]
        assert applied_by(command, tmp_path, before, diff) == after


@pytest.mark.skipif(not shutil.which("patch"), reason="patch is not installed")
@pytest.mark.parametrize("seed", range(20))
def test_patch_applies_our_diffs_as_we_do(seed, tmp_path):
    before, after = random_states(random.Random(seed))
    for files in (before, after):  # patch asks a person before it makes or deletes an empty file
        for name in [name for name, text in files.items() if not text]:
            del files[name]
    command = ["patch", "-p1", "--binary", "--fuzz=0", "--no-backup-if-mismatch", "-s", "-i"]
    diff = make_diff(before, after)
    if diff:
        assert applied_by(command, tmp_path, before, diff) == after


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
@pytest.mark.parametrize("seed", range(20))
def test_we_apply_the_diffs_of_git(seed, tmp_path):
    before, after = random_states(random.Random(seed))
    command = ["git", "-c", "core.autocrlf=false", "-c", "user.name=t", "-c", "user.email=t@t"]

    def git(*words):
        return subprocess.run([*command, *words], cwd=tmp_path, capture_output=True, check=True)

    git("init", "-q", "repo")
    for name, files in (("a", before), ("b", after)):
        (tmp_path / name).mkdir()
        write_files(tmp_path / name, files, "test")
        command += ["--git-dir=repo/.git", f"--work-tree={name}"]
        git("add", "-A")
        if name == "a":
            git("commit", "-q", "--allow-empty", "-m", "before")
    for more in ("-M", "--no-renames"):
        made = git("diff", "--cached", "--text", more, "HEAD").stdout
        assert apply_diff(before, as_text(made)) == after


def test_a_diff_is_what_git_would_write():
    before = {"m.py": "a\nb\n", "old.py": "x", "same.py": "1\n"}
    after = {"m.py": "a\nc\n", "new file.py": "y\n", "same.py": "1\n"}
    assert make_diff(before, after) == (
        "diff --git a/m.py b/m.py\n--- a/m.py\n+++ b/m.py\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n"
        "diff --git a/new file.py b/new file.py\nnew file mode 100644\n"
        "--- /dev/null\n+++ b/new file.py\t\n@@ -0,0 +1 @@\n+y\n"
        "diff --git a/old.py b/old.py\ndeleted file mode 100644\n"
        "--- a/old.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n\\ No newline at end of file\n"
    )


def test_words_before_the_diff_and_names_without_git_header_are_read():
    diff = "From: someone\n\nmend it\n---\n--- m.py\t2020-01-01\n+++ m.py\n@@ -1 +1 @@\n-b\n+c\n"
    assert apply_diff({"m.py": "b\n"}, diff) == {"m.py": "c\n"}
    assert apply_diff({"m.py": "b\n"}, "") == {"m.py": "b\n"}


HEAD = "diff --git a/m.py b/m.py\n--- a/m.py\n+++ b/m.py\n"


@pytest.mark.parametrize(
    ("diff", "words"),
    [
        (HEAD + "@@ -1,2 +1,2 @@\n a\n-x\n+c\n", "line 4: the hunk does not fit 'm.py': line 2"),
        (HEAD + "@@ -2,2 +2,2 @@\n a\n-b\n+c\n", "line 4: .*the file has 'b"),
        (HEAD + "@@ -3,2 +3,2 @@\n a\n-b\n+c\n", "line 4: .*the file ends before"),
        (HEAD + "@@ -9,0 +9 @@\n+c\n", "line 4: .*which has 2 lines"),
        (HEAD + "@@ -1,2 +1,1 @@\n a\n-b\n+c\n", "line 7: '.c' belongs to no hunk"),
        (HEAD + "@@ -1,2 +1,2 @@\n a\n-b\n", "line 7: the diff ends in the middle of a hunk"),
        (HEAD + "@@ -1,2 +1,0 @@\n-a\n b\n", "line 4: the hunk has other counts"),
        (HEAD + "@@ -1,2 +1,2 @@\n a\n?b\n+c\n", "line 6: a line of a hunk begins with"),
        (HEAD + "@@ nonsense\n", "line 4: '@@ nonsense' is no hunk"),
        (HEAD + "@@ -2 +2 @@\n-b\n+c\n@@ -1 +1 @@\n-a\n+d\n", "line 7: hunks overlap"),
        (HEAD.replace("m.py", "n.py") + "@@ -1 +1 @@\n-a\n+d\n", "line 1: 'n.py' is not among"),
        ("--- /dev/null\n+++ b/m.py\n@@ -0,0 +1 @@\n+c\n", "'m.py' should be new"),
        ("--- a/m.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n", "'m.py' should be deleted"),
        ("--- /dev/null\n+++ /dev/null\n", "line 1: it names no file"),
        ("diff --git a/m.py b/m.py\nGIT binary patch\n", "line 2: a change of a binary file"),
        ("diff --git a/m.py b/m.py\ncopy from m.py\n", "line 2: 'copy from m.py' is no line"),
        ("just words\n", "line 1: this is not a unified diff"),
    ],
)
def test_a_diff_that_does_not_fit_is_refused_with_its_file_and_line(diff, words):
    with pytest.raises(TaskFormatError, match=f"^rows.jsonl line 3: patch: diff .*{words}"):
        apply_diff({"m.py": "a\nb\n"}, diff, "rows.jsonl line 3: patch")
