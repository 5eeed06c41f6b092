"""llama.cpp's server, out of xllamacpp, as a side of `peer_decode.py`.

`open` may ask for a GGUF file in which every matrix is bf16 instead of quantised: it is
written beside the benchmark's other temporary files, from the very weights that the other
sides' folder was made of.
"""

from __future__ import annotations

import json
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import xllamacpp
from lines import Lines, digest, versions

KEPT = ("GGUF.", "general.architecture", "general.file_type", "general.quantization_version")


def widened(source: Path, target: Path, kind: gguf.GGMLQuantizationType) -> Path:
    """Write a GGUF file with the matrices of another, dequantised, in a 16-bit type."""
    reader = gguf.GGUFReader(source)
    arch = str(reader.get_field("general.architecture").contents())
    writer = gguf.GGUFWriter(target, arch)
    for field in reader.fields.values():
        if not field.name.startswith(KEPT):
            inner = field.types[1] if len(field.types) > 1 else None
            writer.add_key_value(field.name, field.contents(), field.types[0], inner)
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type).reshape(tensor.shape[::-1])
        chosen = kind if values.ndim > 1 else gguf.GGMLQuantizationType.F32
        packed = gguf.quantize(values.astype(np.float32), chosen)
        writer.add_tensor(tensor.name, packed, raw_dtype=chosen)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


class Decoder:
    """Answers `open` and `draw`."""

    def __call__(self, told: dict[str, Any]) -> dict[str, Any]:
        return dict(getattr(self, told["do"])(told))

    def open(self, told: dict[str, Any]) -> dict[str, Any]:
        model = Path(told["gguf"])
        if told["kind"]:
            kind = gguf.GGMLQuantizationType[told["kind"]]
            model = widened(model, Path(told["scratch"], f"{kind.name}.gguf"), kind)
        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        params.n_parallel = told["rows"]
        params.n_ctx = told["rows"] * told["longest"]
        params.kv_unified = True
        params.n_batch, params.n_ubatch = 2048, 512
        params.n_gpu_layers = 0
        params.cpuparams.n_threads = told["threads"]
        params.cpuparams_batch.n_threads = told["threads"]
        params.cont_batching, params.ui = True, False
        params.verbosity, params.cache_ram_mib = 0, 0
        params.n_threads_http = 2 * told["rows"]
        self.server = xllamacpp.Server(params)
        self.pool = ThreadPoolExecutor(told["rows"])
        return {"versions": versions("xllamacpp")}

    def draw(self, told: dict[str, Any]) -> dict[str, Any]:
        begun = time.perf_counter()
        found = list(self.pool.map(lambda one: self._complete(one, told), told["prompts"]))
        seconds = time.perf_counter() - begun
        each = [one for group in found for one in group]
        return {
            "seconds": seconds,
            "read": digest(told["prompts"]),
            "prompt_tokens": sum(group[0]["tokens_evaluated"] for group in found),
            "lengths": sorted({one["tokens_predicted"] for one in each}),
            "drawn": sum(one["tokens_predicted"] for one in each),
            "answers": [one["tokens"] for one in each] if told["show"] else None,
        }

    def _complete(self, ids: list[int], told: dict[str, Any]) -> list[dict[str, Any]]:
        """Return a group's completions; the server computes their prompt once."""
        body = {
            "prompt": ids,
            "n_predict": told["tokens"],
            "n_cmpl": told["group"],
            "temperature": 1.0,
            "samplers": ["temperature"],
            "ignore_eos": True,
            "return_tokens": True,
        }
        request = urllib.request.Request(
            f"{self.server.listening_address}/completion",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=600) as answer:
            found = json.load(answer)
        return found if isinstance(found, list) else [found]


if __name__ == "__main__":
    Lines().serve(Decoder())
