"""Writes a safetensors file tensor by tensor, so that no second copy of a model is ever held.

The library's own writer wants all tensors at once; merged weights are made one after the
other instead. Format: https://huggingface.co/docs/safetensors (a length, a JSON header, bytes).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch

_NAMES = {
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int64: "I64",
}
_ALIGNED = 8


class Later(NamedTuple):
    """A tensor that is made when it is written, and let go of afterwards."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    make: Callable[[], torch.Tensor]

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


Writable = torch.Tensor | Later


def write_tensors(path: Path, tensors: Mapping[str, Writable]) -> str:
    """Write the file and return the SHA-256 of its bytes, in hex."""
    # Wide types first: every tensor then starts at a multiple of its own item size.
    order = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    digest = hashlib.sha256()
    with path.open("wb") as file:

        def put(part: bytes | memoryview) -> None:
            digest.update(part)
            file.write(part)

        header = _header([(name, tensors[name]) for name in order])
        put(len(header).to_bytes(8, "little"))
        put(header)
        for name in order:
            put(_bytes(name, tensors[name]))
    return digest.hexdigest()


def _header(tensors: list[tuple[str, Writable]]) -> bytes:
    told: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, tensor in tensors:
        end = at + tensor.nbytes
        kind = _NAMES[tensor.dtype]
        told[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(told, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % _ALIGNED)


def _bytes(name: str, tensor: Writable) -> memoryview:
    made = tensor.make() if isinstance(tensor, Later) else tensor
    if made.shape != torch.Size(tensor.shape) or made.dtype != tensor.dtype:
        raise ValueError(f"{name} was announced as {tuple(tensor.shape)} {tensor.dtype}")
    plain = made.detach().cpu().contiguous()
    found: memoryview = plain.flatten().view(torch.uint8).numpy().data
    return found
