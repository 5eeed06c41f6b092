"""What several test files share, made once per session: the micro world, an image."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from toprope.sandbox.engines import Image


def pytest_configure() -> None:
    """Hear Ctrl-C even where a runner in the background had it ignored: children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
