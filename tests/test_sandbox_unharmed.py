"""That a look at the machine notices harm: what every hostile test file ends with could fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import machine

pytestmark = pytest.mark.alone

# The child is waited for, so that when this ends its grandchild is there, and alone.
_LEAVES_A_GRANDCHILD = """
import os, time
if child := os.fork():
    os.waitpid(child, 0)
else:
    os.setsid()
    os.fork() or time.sleep(60)
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_PATIENCE_S", 0.0)


def test_nothing_is_found_where_nothing_happened() -> None:
    assert machine.look().harm() == []


def test_a_process_is_found_though_its_parents_are_gone() -> None:
    with machine.orphans_come_to_us():
        before = machine.look()
        subprocess.run([sys.executable, "-c", _LEAVES_A_GRANDCHILD], check=True)
        (sentence,) = before.harm()
        pid = int(sentence.removeprefix("process ").partition(" is left: ")[0])
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    assert before.harm() == []


def test_a_descriptor_and_a_changed_clock_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    before = machine.look()
    with open(os.devnull):
        assert "of descriptors there is more" in before.harm()[0]
    real = machine.time.time
    monkeypatch.setattr(machine.time, "time", lambda: real() - 3600)
    assert before.harm() == ["the clock was changed by -3600 s"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can leave a job's file or a mount")
def test_a_file_a_mount_and_the_memory_below_it_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "_MOST_MEMORY_MB", 32)
    before = machine.look()
    place, planted = Path("/dev/shm/toprope-mount"), Path("/tmp/planted-by-a-job")
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
    try:
        (place / "large").write_bytes(bytes(64 << 20))
        planted.touch()
        os.chown(planted, 200_000, 200_000)
        found = before.harm()
    finally:
        subprocess.run(["umount", place], check=True)
        place.rmdir()
        planted.unlink()
    told = " ".join(found)
    assert "of mounts there is more" in told
    assert "of files there is more: /tmp/planted-by-a-job" in told
    assert "MB more without a process" in told
