"""environment.toml: written, read back, and refused with the entry that is wrong."""

import pytest

from toprope.tasks import EnvironmentFault, load_environments, save_environments
from toprope.terms import Environment

MINE = Environment(
    python="/home/me/a b/bin/python",
    hidden=("/x/lib/pack",),
    warm=("pytest", "numpy"),
    tools=True,
    variables=(("MODE", 'quoted "x"\n'), ("LANG", "ü")),
    image="registry.example/name:1",
    engine="podman",
)


def test_environments_come_back_as_they_were_written(tmp_path):
    file = tmp_path / "set" / "environment.toml"
    save_environments({"my.package": MINE}, file)
    save_environments({"other": Environment(python="/p")}, file)
    both = {"my.package": MINE, "other": Environment(python="/p")}
    assert load_environments(file) == both
    assert load_environments(file.parent) == both
    assert load_environments(file.with_name("tasks.jsonl")) == both
    assert load_environments(str(tmp_path / "tasks.jsonl")) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[a\n", "not valid TOML"),
        ("a = 1\n", r"\[a\]: expected a table"),
        ("[a]\npyton = '/p'\n", "unknown key 'pyton'; known are python, shown"),
        ("[a]\npython = 3\n", "python must be a str"),
        ("[a]\nwarm = 'pytest'\n", "warm must be a list"),
        ("[a]\ntools = 'yes'\n", "tools must be a bool"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, text, words):
    (tmp_path / "environment.toml").write_text(text)
    with pytest.raises(EnvironmentFault, match=words):
        load_environments(tmp_path)
