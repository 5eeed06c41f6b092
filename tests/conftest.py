"""What several test files share: the micro world, an image, who opens what is attacked."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import machine

if TYPE_CHECKING:
    from toprope.sandbox.engines import Image


def pytest_configure() -> None:
    """Hear Ctrl-C even where a runner in the background had it ignored: children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is tried against `owner` ends in a look at the whole machine."""
    for item in items:
        if "owner" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.alone)


@pytest.fixture(scope="module", params=["root", "user"])
def owner(request: pytest.FixtureRequest) -> Iterator[str]:
    """Who opens the sandbox: everything hostile is tried against root's and a user's.

    When a file has tried all it has, the machine must be as it was.
    """
    with machine.orphans_come_to_us():
        before = machine.look()
        yield str(request.param)
        assert before.harm() == []


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A temporary folder that every user can reach; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def micro_student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model of the micro world, trained from scratch (about 10 s of one core)."""
    from micro_world import write_student

    return write_student(tmp_path_factory.mktemp("micro") / "student")


@pytest.fixture(scope="session")
def micro_tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The taskset of the micro world."""
    from micro_world import write_taskset

    return write_taskset(tmp_path_factory.mktemp("micro") / "micro.jsonl")


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    """A container image with Python and pytest; skips, with the reason, where none can run."""
    from container_image import working_image

    yield from working_image()
