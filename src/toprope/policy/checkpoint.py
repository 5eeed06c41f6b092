"""Checkpoints: weights, optimiser and a manifest, written aside and renamed into place.

A folder named `step-NNNNNN` is whole or not there. What was trained is fp32, all is named
as in the model, so a checkpoint's folder is loadable by transformers once its config lies in it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from toprope.policy.store import sha256_of, staged
from toprope.policy.tensorfile import Writable, write_tensors
from toprope.terms import TopropeError

MANIFEST = "manifest.json"
WEIGHTS = "model.safetensors"
OPTIMISER = "optimiser.safetensors"


class CheckpointError(TopropeError):
    """A checkpoint is missing, cut short or altered."""


def step_name(iteration: int) -> str:
    """Return the folder name of an iteration's checkpoint."""
    return f"step-{iteration:06d}"


def save_checkpoint(
    folder: Path,
    *,
    weights: Mapping[str, Writable],
    optimiser: Mapping[str, Writable],
    facts: dict[str, Any],
    beside: Path | None = None,
) -> None:
    """Write a checkpoint; `beside` is the student's folder, whose small files come along.

    An older folder of the same name (left by a kill before its commit) is replaced.
    """
    with staged(folder) as stage:
        sums = {
            WEIGHTS: write_tensors(stage / WEIGHTS, weights),
            OPTIMISER: write_tensors(stage / OPTIMISER, optimiser),
        }
        for source in sorted(beside.iterdir()) if beside else []:
            if source.suffix in (".json", ".jinja", ".txt"):
                shutil.copy2(source, stage / source.name)
        manifest = json.dumps({"sha256": sums, "facts": facts}, indent=1, sort_keys=True)
        (stage / MANIFEST).write_text(manifest, encoding="utf-8")


def load_checkpoint(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return (weights, optimiser) after checking the manifest's sums.

    Raises:
        CheckpointError: the folder is missing, incomplete or its files were altered.
    """
    check_checkpoint(folder)
    return load_file(folder / WEIGHTS), load_file(folder / OPTIMISER)


def check_checkpoint(folder: Path) -> dict[str, Any]:
    """Return the facts in a checkpoint's manifest after checking its sums.

    Raises:
        CheckpointError: the folder is missing, incomplete or its files were altered.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        for name, expected in manifest["sha256"].items():
            if sha256_of(folder / name) != expected:
                raise CheckpointError(f"{folder / name} was altered since it was written")
        return dict(manifest["facts"])
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{folder} is no whole checkpoint ({error}); resume from an older one or start anew"
        ) from error


def prune(folder: Path, keep: set[str]) -> None:
    """Remove every checkpoint under `folder` that is not named in `keep`, and stale stages."""
    for child in folder.glob("*"):
        if child.name.startswith(".step-") or (
            child.name.startswith("step-") and child.name not in keep
        ):
            shutil.rmtree(child, ignore_errors=True)
