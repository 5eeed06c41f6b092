import errno
import shutil
import subprocess
import sys
import textwrap

import pytest

from toprope.policy import store


def names(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def write_half(place, error):
    with store.staged(place) as stage:
        (stage / "weights").write_text("half")
        raise error


def test_a_staged_folder_appears_whole_and_replaces_the_old_one(tmp_path):
    place = tmp_path / "model"
    for content in ("old", "new"):
        with store.staged(place) as stage:
            (stage / "weights").write_text(content)
            assert not place.exists() or (place / "weights").read_text() == "old"
    assert (place / "weights").read_text() == "new"
    assert names(tmp_path) == ["model"]


def test_an_interrupt_leaves_the_old_content_and_no_leftovers(tmp_path):
    place = tmp_path / "model"
    with store.staged(place) as stage:
        (stage / "weights").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write_half(place, KeyboardInterrupt())
    assert (place / "weights").read_text() == "old"
    assert names(tmp_path) == ["model"]


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path):
    program = textwrap.dedent(
        f"""
        import os, pathlib, signal
        from toprope.policy import store
        with store.staged_file(pathlib.Path({str(tmp_path)!r}) / "file") as stage:
            stage.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    assert len(names(tmp_path)) == 1
    assert not (tmp_path / "file").exists()
    with store.staged_file(tmp_path / "file") as stage:
        stage.write_text("whole")
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("Error while serializing: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_a_clear_error_and_leaves_nothing(tmp_path, error):
    with pytest.raises(store.DiskFull, match="nothing was left half-written"):
        write_half(tmp_path / "model", error)
    assert names(tmp_path) == []


def test_too_little_room_is_said_before_anything_is_downloaded(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(store.DiskFull, match="TOPROPE_CACHE"):
        store.require_space(tmp_path, 2 * free)
    store.require_space(tmp_path, 1)


def test_the_cache_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("TOPROPE_CACHE", str(tmp_path))
    assert store.models_folder() == tmp_path / "models"
    monkeypatch.delenv("TOPROPE_CACHE")
    assert store.models_folder().as_posix().endswith("/.cache/toprope/models")
