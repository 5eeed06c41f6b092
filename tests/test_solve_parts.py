"""What solving is made of, without a model: localisation, wording, shearing, limits, patches."""

import subprocess
import sys

import pytest

from solve_parts import CODE, MENDED, PATH, checkout, git
from toprope.solve.asked import Asked, WrongQuestion
from toprope.solve.budget import Budget, Limits
from toprope.solve.failing import chosen
from toprope.solve.patch import NotApplied, apply, refuse_dirty, write_patch
from toprope.solve.shorn import shear
from toprope.solve.suspects import ochiai
from toprope.solve.wording import told_briefly
from toprope.terms import Focus

START, CHANGES = {PATH: CODE}, {PATH: MENDED}


@pytest.mark.parametrize(
    ("failing", "calling", "failed", "score"),
    [(2, 2, 2, 1.0), (1, 1, 4, 0.5), (2, 8, 2, 0.5), (3, 9, 4, 0.5)],
)
def test_suspiciousness_is_ochiais_coefficient(failing, calling, failed, score):
    assert ochiai(failing, calling, failed) == score


def test_a_comparison_is_told_as_students_were_trained():
    introspected = """\
    def test_total():
>       assert coins.total([1, -5]) == 3
E       assert -5 == 3
E        +  where -5 = <function total at 0x7f00aa>([1, -5])
"""
    assert told_briefly("t", introspected) == "total([1, -5]) returns -5, expected 3"
    attribute = introspected.replace("<function total at 0x7f00aa>", "coins.total")
    assert told_briefly("t", attribute, "total") == "total([1, -5]) returns -5, expected 3"
    assert told_briefly("t", attribute, "change").startswith("coins.total(")


@pytest.mark.parametrize(("sign", "was", "wanted"), [("", "False", "True"), ("not ", "1", "False")])
def test_a_bare_assertion_is_told_as_a_comparison(sign, was, wanted):
    text = f"E       assert {sign}{was}\nE        +  where {was} = is_odd(3)\n"
    assert told_briefly("t", text) == f"is_odd(3) returns {was}, expected {wanted}"


def test_names_that_the_test_has_set_and_exceptions_are_told_from_its_source():
    unequal = """\
    def test_slug(self):
        txt = 'a b'
>       self.assertEqual(slug(txt, 1), 'a-b')
E       AssertionError: 'ab' != 'a-b'
"""
    assert told_briefly("t", unequal) == "slug('a b', 1) returns 'ab', expected 'a-b'"
    raised = """\
>       assert total(None) == 0
tests/test_coins.py:5:
>       for coin in coins:
E       TypeError: 'NoneType' object is not iterable
"""
    assert told_briefly("t", raised) == "total(None) raises TypeError, expected 0"


def test_what_cannot_be_read_is_told_in_pytests_words_and_is_bounded():
    text = "E       Failed: DID NOT RAISE <class 'ValueError'>\nE   " + "x" * 999
    told = told_briefly("tests/a.py::test_b", text)
    assert told.startswith("test_b fails: Failed: DID NOT RAISE")
    assert len(told) <= 300


def test_a_shorn_function_has_no_noise_and_its_change_comes_back_in_place():
    shorn = shear("a.py", CODE, Focus("a.py", 1, 5))
    lines = shorn.text.split("\n")
    assert lines[: shorn.focus.last] == CODE.split("\n")[:1] + CODE.split("\n")[4:5]
    edited = shorn.text.replace("coin < 0", "coin > 0")
    assert shorn.whole({"a.py": edited}) == {"a.py": MENDED}
    with pytest.raises(ValueError, match="number of lines"):
        shorn.whole({"a.py": edited + "\n"})


@pytest.mark.parametrize(
    "text",
    [
        'def f():\n    """Only words."""\n',
        'def f():\n    return """\n# no remark\n\n"""\n',
        'def f(): "a"; return 1\n',
        "def f(:\n    # broken\n",
    ],
)
def test_what_is_no_noise_stays(text):
    last = text.count("\n")
    assert shear("a.py", text, Focus("a.py", 1, last)).gone == {}


def test_a_test_is_chosen_by_its_file_class_or_function():
    name = "tests/test_a.py::TestB::test_c[1-x]"
    for one in ("tests", "tests/test_a.py", "tests/test_a.py::TestB", name.partition("[")[0], name):
        assert chosen(name, [one])
    for one in ("test", "tests/test_a", "tests/test_a.py::TestB::test", "test_c"):
        assert not chosen(name, [one])


def test_limits_are_named_when_they_are_reached():
    assert Budget(Limits(attempts=1)).used_up == ""
    assert Budget(Limits(attempts=1), attempts=1).used_up == "attempts"
    spent = Budget(Limits(attempts=9, tokens=10))
    spent.spend(1000, 10)
    assert (spent.used_up, spent.tokens_left) == ("tokens", 0)
    assert Budget(Limits(attempts=9, seconds=0)).used_up == "seconds"


def test_a_question_without_a_model_or_with_two_is_refused(tmp_path):
    for words in ({}, {"model": "m", "endpoint": "http://x"}, {"model": "m", "dialect": "prose"}):
        with pytest.raises(WrongQuestion):
            Asked(tmp_path, **words)
    assert Asked(tmp_path, endpoint="http://x").limits.attempts == 4
    assert Asked(tmp_path, model="m", dialect="lines").limits.attempts == 64


def test_a_patch_is_taken_by_git_also_below_the_top(tmp_path):
    top = checkout(tmp_path / "mono", **{f"part/{PATH}": CODE})
    for folder in (top, top / "part"):
        write_patch(folder, START, CHANGES, tmp_path / "p.patch")
        git(folder, "apply", str(tmp_path / "p.patch"))
        assert (folder / PATH).read_text() == MENDED


def test_a_patch_keeps_ends_without_newline_and_makes_new_files(tmp_path):
    folder = checkout(tmp_path / "a", code="x = 1\r\ny = 2")
    changes = {PATH: "x = 1\r\ny = 3", "src/coins/new.py": "z = 1\n"}
    write_patch(folder, {PATH: "x = 1\r\ny = 2"}, changes, tmp_path / "p.patch")
    git(folder, "apply", str(tmp_path / "p.patch"))
    assert (folder / PATH).read_bytes() == b"x = 1\r\ny = 3"
    assert (folder / "src/coins/new.py").read_text() == "z = 1\n"


def test_a_dirty_tree_and_no_tree_are_refused(tmp_path):
    folder = checkout(tmp_path / "a")
    refuse_dirty(folder)
    (folder / "untracked.txt").write_text("x")
    refuse_dirty(folder)
    (folder / PATH).write_text(MENDED)
    with pytest.raises(NotApplied, match="not committed"):
        refuse_dirty(folder)
    bare = tmp_path / "bare"
    bare.mkdir()
    with pytest.raises(NotApplied, match="no git checkout"):
        refuse_dirty(bare)


def test_applying_keeps_permissions_and_touches_nothing_that_has_changed(tmp_path):
    folder = checkout(tmp_path / "a")
    (folder / PATH).chmod(0o755)
    apply(folder, START, CHANGES)
    assert (folder / PATH).read_text() == MENDED
    assert (folder / PATH).stat().st_mode & 0o777 == 0o755
    assert not list((folder / "src/coins").glob(".*"))
    with pytest.raises(NotApplied, match="has changed"):
        apply(folder, {**START, "b.py": "1\n"}, {"new.py": "x\n", PATH: CODE})
    assert not (folder / "new.py").exists()


def test_applying_follows_no_link_out_of_the_folder(tmp_path):
    folder = checkout(tmp_path / "a")
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / "linked").symlink_to(outside)
    with pytest.raises(NotApplied):
        apply(folder, {}, {"linked/x.py": "x\n"})
    assert not list(outside.iterdir())


def test_help_needs_no_torch():
    program = "import sys, toprope.cli.solve, toprope.cli.main; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
