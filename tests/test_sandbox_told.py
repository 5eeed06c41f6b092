"""What `sandbox probe` says to a person: every wall has words, and what lacks has its remedy."""

from __future__ import annotations

import re

from toprope.sandbox import Walls, selftest
from toprope.sandbox.advice import refusal
from toprope.sandbox.engines import Engine
from toprope.sandbox.landlock_selftest import LOOK
from toprope.sandbox.told import WORDS, story

PODMAN, DOCKER = Engine("podman", "4.3", ""), Engine("docker", "", "no daemon")


def test_every_wall_that_a_self_test_sees_has_words_and_no_other_has():
    for level, look in (("namespaces", selftest._LOOK), ("landlock", LOOK)):
        seen = re.findall(r'^    "([^"]+)": ', look, re.MULTILINE)
        assert len(seen) >= 9
        assert set(WORDS[level]) == {*seen, *selftest.WATCHED}


def test_standing_walls_are_told_with_what_they_keep_in():
    lines = list(story(Walls("namespaces", True, ("network", "user")), [PODMAN, DOCKER]))
    assert lines[0].startswith("level: namespaces")
    assert lines[1] == "  stands   network             no interface, not even loopback"
    assert not [line for line in lines if "raise" in line or "missing" in line]
    assert lines[-2:] == [
        "  podman   answers (4.3)",
        "  docker   does not answer (no daemon): start it by `sudo systemctl start docker`",
    ]


def test_where_no_walls_stand_the_cause_and_the_command_are_told(tmp_path):
    setting = tmp_path / "proc/sys/kernel/apparmor_restrict_unprivileged_userns"
    setting.parent.mkdir(parents=True)
    setting.write_text("1\n")
    said = refusal("user namespace", 1, "not permitted", tmp_path)
    lines = list(story(Walls("unsafe-local", False, (), said.missing, said.fix), []))
    assert lines[0] == "no walls stand here: untrusted code is refused"
    assert "  missing  user namespace: restricted by AppArmor" in lines
    command = "`sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`"
    assert any(line.startswith("to raise them: ") and command in line for line in lines)
    assert lines[-1] == "  neither podman nor docker is installed: `sudo apt install podman`"


def test_a_level_that_was_asked_for_is_judged_alone():
    lines = list(
        story(Walls("unsafe-local", False, (), ("Landlock: no",), "Do it."), [], "landlock")
    )
    assert lines[0] == "no walls stand at the level landlock"
    weaker = list(story(Walls("landlock", True, ("user",), ("a user of its own",)), [], "landlock"))
    assert "`toprope sandbox probe --level namespaces` says whether" in weaker[3]
