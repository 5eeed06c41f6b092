"""The student's adapters as a folder in PEFT's form, named after exactly these weights.

A name holds the policy's version and a hash of every byte, so that a server which has a name
has these weights and no others. Format: PEFT's `adapter_config.json` and
`adapter_model.safetensors` (https://huggingface.co/docs/peft/developer_guides/checkpoint).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from toprope.policy.adapters import ALPHA, LowRankLinear
from toprope.policy.store import staged
from toprope.policy.tensorfile import write_tensors
from toprope.terms import TopropeError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


class NoAdapters(TopropeError):
    """A model whose whole weights are trained cannot be swapped into a server."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter that a server can load: name and folder, and the hash of its weights."""

    name: str
    folder: Path
    weights: str


def publish(model: Any, folder: Path, *, run: str, version: int) -> Adapter | None:
    """Write the model's adapters below `folder`, once, and return what was written.

    None where they change nothing yet: the base itself will do.

    Raises:
        NoAdapters: the model has none.
    """
    layers = list(_layers(model))
    if not layers:
        raise NoAdapters(
            "a vLLM server takes adapters only: set student.lora_rank above 0, "
            'or student.sampler to "torch"'
        )
    if not any(bool(layer.high.any()) for _, layer in layers):
        return None
    weights = _digest(layers)[:16]
    name = f"{prefix(run)}v{version:06d}-{weights}"
    place = (folder / name).resolve()
    if not (place / WEIGHTS).is_file():
        with staged(place) as stage:
            config = json.dumps(_config(layers), indent=1, sort_keys=True)
            (stage / CONFIG).write_text(config + "\n", encoding="utf-8")
            write_tensors(stage / WEIGHTS, _tensors(layers))
    return Adapter(name, place, weights)


def prefix(run: str) -> str:
    """Return what the names of a run's adapters begin with; `run` is any text of its own."""
    return f"toprope-{hashlib.sha256(run.encode()).hexdigest()[:8]}-"


def forget(folder: Path, *, run: str, but: Adapter | None) -> None:
    """Remove a run's adapters from the disk, but for the one in use."""
    for place in folder.glob(f"{prefix(run)}*"):
        if but is None or place.name != but.name:
            shutil.rmtree(place, ignore_errors=True)


def _layers(model: Any) -> Iterator[tuple[str, LowRankLinear]]:
    for name, module in model.named_modules():
        if isinstance(module, LowRankLinear):
            yield name, module


def _tensors(layers: list[tuple[str, LowRankLinear]]) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for name, layer in layers:
        tensors[f"base_model.model.{name}.lora_A.weight"] = layer.low.detach()
        tensors[f"base_model.model.{name}.lora_B.weight"] = layer.high.detach()
    return tensors


def _config(layers: list[tuple[str, LowRankLinear]]) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": layers[0][1].low.shape[0],
        "lora_alpha": int(ALPHA),
        "lora_dropout": 0.0,
        "target_modules": sorted({name.rpartition(".")[2] for name, _ in layers}),
        "bias": "none",
        "use_rslora": False,
        "use_dora": False,
        "inference_mode": True,
        "base_model_name_or_path": "",
    }


def _digest(layers: list[tuple[str, LowRankLinear]]) -> str:
    digest = hashlib.sha256()
    for name, tensor in _tensors(layers).items():
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
