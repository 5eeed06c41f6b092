"""What a task may say and show: no secrets, no failing tests, no paths of the machine."""

from pathlib import Path

import pytest

from toprope.forge.repository import Options, make
from toprope.forge.repository.cutting import without
from toprope.forge.repository.secrets import SecretFound, refuse_secrets
from toprope.forge.repository.telling import tell


def quiet(what, done, wanted):
    pass


@pytest.mark.parametrize(
    ("path", "text", "what"),
    [
        ("a.py", "x = 'AKIA" + "ABCDEFGHIJKLMNOP'\n", "a.py:1: an AWS access key"),
        ("k.txt", "\n-----BEGIN RSA PRIVATE KEY-----\n" + "A" * 70, "k.txt:2: a private key"),
        ("deep/.env", "X=1", "deep/.env: a file of this name"),
        ("b.py", "t = 'ghp_" + "a" * 36 + "'", "b.py:1: a GitHub token"),
        ("c.py", "u = 'https://me:longpassword@host/'", "c.py:1: a password in an address"),
    ],
)
def test_secrets_stop_a_make_before_anything_runs(tmp_path, path, text, what):
    with pytest.raises(SecretFound, match=what) as caught:
        refuse_secrets({path: text})
    assert text.strip() not in str(caught.value)
    refuse_secrets({path: text}, allowed=[path])
    (tmp_path / "leaky").mkdir()
    (tmp_path / "leaky" / path.rpartition("/")[2]).write_text(text)
    with pytest.raises(SecretFound):
        make(str(tmp_path / "leaky"), tmp_path / "t.jsonl", Options(), tmp_path, quiet)
    assert not Path(tmp_path / "t.jsonl").exists()


def test_a_password_for_a_host_that_is_reserved_for_examples_is_none():
    address = "x = 'https://me:longpassword@{}/path'\n"
    for host in ("example.com", "www.example.org", "localhost", "db.test"):
        refuse_secrets({"a.py": address.format(host)})
    for host in ("example.com.net", "localhost.de", "my-example.com", "db.testing"):
        with pytest.raises(SecretFound):
            refuse_secrets({"a.py": address.format(host)})


def test_ordinary_code_holds_no_secrets():
    import toprope

    folder = Path(toprope.__file__).parent
    refuse_secrets({str(p): p.read_text() for p in folder.rglob("*.py")})


def test_tests_are_cut_out_with_their_decorators_and_nothing_else():
    text = (
        "import pytest\n\n@pytest.mark.parametrize('a', [1])\ndef test_a(a):\n    assert a\n\n"
        "def test_b():\n    pass\n\nclass TestC:\n    def test_d(self):\n        pass\n"
    )
    changed, gone = without({"t.py": text}, ["t.py::test_a[1]", "t.py::TestC::test_d"])
    assert gone == []
    assert changed["t.py"] == (
        "import pytest\n\n\ndef test_b():\n    pass\n\nclass TestC:\n    pass\n"
    )
    assert without({"t.txt": "x = 1 +"}, ["t.txt::y"]) == ({}, ["t.txt"])


def test_a_statement_has_no_paths_of_the_machine_and_ends_with_the_assertion():
    text = "x\n" * 2000 + "E  assert <A at 0x7f00aa11bb22> == 2\n\n/box/work/t.py:3: AssertionError"
    told = tell("t.py::test_a", text, 3)
    assert "(t.py::test_a, and 2 more)" in told
    assert "E  assert <A at 0x...> == 2\n\nt.py:3: AssertionError" in told
    assert len(told) < 1700
    elsewhere = text.replace("/box/work/", "/dev/shm/toprope-a1_b/box/work/")
    assert tell("t.py::test_a", elsewhere, 3) == told
