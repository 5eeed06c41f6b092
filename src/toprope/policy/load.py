"""Name or path → a model and tokenizer in memory: the one way the rest gets a student.

Only local files are ever loaded here; what must be fetched or converted first is, or is
said. Torch is imported inside the functions, so that a command line starts fast.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

from toprope.policy.catalog import CatalogError, Model, find_model, load_catalog
from toprope.policy.convert import MANIFEST, convert, is_converted
from toprope.policy.fetch import Fetched, ModelMissing, cached, fetch
from toprope.policy.quiet import quiet_transformers
from toprope.policy.store import models_folder, sha256_of
from toprope.terms import TopropeError

Say = Callable[[str], None]


class PartialModel(TopropeError):
    """A folder that is not a whole model."""


def resolve(
    name_or_path: str | Path,
    *,
    kind: str | None = None,
    revision: str | None = None,
    offline: bool = False,
    may_fetch: bool = True,
    say: Say = print,
) -> Path:
    """The folder of a student, fetched and converted if that is needed and allowed.

    Takes a catalog name, a folder, or a GGUF file (converted once into the cache).
    `kind`, `revision`, `offline` and `say` are as in `fetch`. With `may_fetch=False` a
    model that is not here raises `ModelMissing`, which names the command to run.
    """
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        require_whole(path)
        return path
    if path.is_file():
        return _convert_file(path, say)
    try:
        model = find_model(str(name_or_path))
    except CatalogError as error:
        raise ModelMissing(
            f"{name_or_path} is neither a folder or GGUF file here nor a known model; "
            f"known are: {', '.join(load_catalog())}"
        ) from error
    if not may_fetch and cached(model) is None:
        raise ModelMissing(f"{model.name} is not here; run: toprope models fetch {model.name}")
    return prepare(model, fetch(model, kind=kind, revision=revision, offline=offline, say=say), say)


def prepare(model: Model, fetched: Fetched, say: Say = print) -> Path:
    """The transformers folder of a fetched model: itself, or its conversion."""
    if fetched.path.is_dir():
        require_whole(fetched.path)
        return fetched.path
    folder = converted_folder(fetched)
    if not is_converted(folder):
        say(f"converting {fetched.path.name} to {folder.name} (once)")
    source = fetched.source
    about = {
        "name": source.gives if model.role == "student" else folder.name,
        "base": model.name,
        "home": model.home,
        "licence": model.licence,
        "source": source.origin,
        "sha256": source.files[0].sha256 or sha256_of(fetched.path),
    }
    return convert(fetched.path, folder, about=about)


def converted_folder(fetched: Fetched) -> Path:
    """Where a fetched GGUF file's conversion lies; its name says that it was quantised."""
    name = fetched.source.gives
    return models_folder() / (name if name.endswith("-dequantised") else f"{name}-dequantised")


def about_model(folder: Path) -> dict[str, Any]:
    """What is known of a model folder: its manifest, or for a foreign folder its name."""
    manifest = folder / MANIFEST
    if manifest.is_file():
        return dict(json.loads(manifest.read_text(encoding="utf-8")))
    return {"name": folder.name, "source": f"folder {folder.resolve()}"}


def require_whole(folder: Path) -> None:
    """Raise `PartialModel` unless config, tokenizer and complete weights are in `folder`."""
    missing = [name for name in ("config.json", "tokenizer.json") if not (folder / name).is_file()]
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        missing.append("*.safetensors")
    if missing:
        raise PartialModel(
            f"{folder} is not a whole model: {', '.join(missing)} is missing; "
            "give a Hugging Face folder, or a name from `toprope models list`"
        )
    for path in weights:
        if path.stat().st_size != _promised_size(path):
            raise PartialModel(f"{path} is cut short or damaged; fetch or copy it again")


def load_model(
    folder: Path, dtype: str = "float32", attention: str | None = None, device: str = "cpu"
) -> Any:
    """The transformers causal model of a folder, in eval mode.

    `dtype` is "float32" or "bfloat16"; `attention` a transformers attention
    implementation; `device` a name that `find_device` knows. Raises `PartialModel` for a
    folder that is not whole, and `NoSuchDevice`.
    """
    require_whole(folder)
    import torch
    from transformers import AutoModelForCausalLM

    from toprope.policy.device import find_device

    place = find_device(device)
    options = {} if attention is None else {"attn_implementation": attention}
    with quiet_transformers():
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), local_files_only=True, **options
        )
    return model.eval().to(place)


def stored_parameters(folder: Path) -> int:
    """How many parameters the weights of a folder have, by their files' headers alone."""
    require_whole(folder)
    paths = [p for p in folder.glob("*.safetensors") if p.name != "optimiser.safetensors"]
    return sum(prod(entry["shape"]) for path in paths for entry in _header(path)[1])


def load_weights(folder: Path) -> dict[str, Any]:
    """The weights of a folder by name, in the precision that they are stored in."""
    require_whole(folder)
    from safetensors.torch import load_file

    weights: dict[str, Any] = {}
    for path in sorted(folder.glob("*.safetensors")):
        if path.name != "optimiser.safetensors":
            weights.update(load_file(path))
    return weights


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder, with its chat template."""
    from transformers import AutoTokenizer

    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if tokenizer.chat_template is None:
        raise PartialModel(
            f"{folder} has no chat template; use an instruct model, "
            "or put a chat_template.jinja into the folder"
        )
    return tokenizer


def _convert_file(path: Path, say: Say) -> Path:
    digest = sha256_of(path)
    folder = models_folder() / f"{path.stem.lower()}-{digest[:8]}-dequantised"
    if not is_converted(folder):
        say(f"converting {path} to {folder.name} (once)")
    about = {"name": folder.name, "source": f"file {path.name}", "sha256": digest}
    return convert(path, folder, about=about)


def _promised_size(path: Path) -> int:
    """The size a safetensors file's own header gives it; -1 if the header is damaged."""
    try:
        length, entries = _header(path)
    except ValueError:
        return -1
    return 8 + length + max((entry["data_offsets"][1] for entry in entries), default=0)


def _header(path: Path) -> tuple[int, list[dict[str, Any]]]:
    """The length of a safetensors file's header and what it says of each tensor."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(min(length, 1 << 26)))
    header.pop("__metadata__", None)
    return length, list(header.values())
