"""Small real parts for the tests of models: a tiny quantised GGUF file, wheels, a hub."""

from __future__ import annotations

import hashlib
import json
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_DIM, INNER = 64, 2, 4, 2, 16, 96
THETA, EPSILON = 10_000.0, 1e-5
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def byte_alphabet() -> list[str]:
    """The 256 printable stand-ins of byte-level BPE, in byte order."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    extra = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(extra)) for byte in range(256)]


def write_tiny_gguf(path: Path, *, pre: str = "smollm", seed: int = 0) -> Path:
    """Write a two-layer llama with Q4_1 matrices and a Q8_0 embedding, as real files have."""
    import gguf

    merges = ["Ġ Ġ", "ĠĠ ĠĠ", "1 2", "i f"]
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens = [*special, *byte_alphabet(), *(merge.replace(" ", "") for merge in merges)]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_rope_freq_base(THETA)
    writer.add_layer_norm_rms_eps(EPSILON)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(special) + [1] * (len(tokens) - len(special)))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    _add_weights(writer, len(tokens), np.random.default_rng(seed))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_weights(writer: Any, vocabulary: int, rng: np.random.Generator) -> None:
    import gguf

    def add(name: str, shape: tuple[int, ...], kind: Any) -> None:
        if kind is None:
            writer.add_tensor(name, (1 + 0.1 * rng.standard_normal(shape)).astype(np.float32))
            return
        values = (rng.standard_normal(shape) / 8).astype(np.float32)
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)

    small, large = gguf.GGMLQuantizationType.Q4_1, gguf.GGMLQuantizationType.Q8_0
    add("token_embd.weight", (vocabulary, HIDDEN), large)
    add("output_norm.weight", (HIDDEN,), None)
    for layer in range(LAYERS):
        add(f"blk.{layer}.attn_norm.weight", (HIDDEN,), None)
        add(f"blk.{layer}.attn_q.weight", (HEADS * HEAD_DIM, HIDDEN), small)
        add(f"blk.{layer}.attn_k.weight", (KV_HEADS * HEAD_DIM, HIDDEN), small)
        add(f"blk.{layer}.attn_v.weight", (KV_HEADS * HEAD_DIM, HIDDEN), small)
        add(f"blk.{layer}.attn_output.weight", (HIDDEN, HEADS * HEAD_DIM), small)
        add(f"blk.{layer}.ffn_norm.weight", (HIDDEN,), None)
        add(f"blk.{layer}.ffn_gate.weight", (INNER, HIDDEN), small)
        add(f"blk.{layer}.ffn_up.weight", (INNER, HIDDEN), small)
        add(f"blk.{layer}.ffn_down.weight", (HIDDEN, INNER), small)


def gguf_logits(path: Path, ids: list[int]) -> np.ndarray:
    """Logits (time × vocabulary) computed from the file alone, as the GGUF format defines them.

    Written without transformers: dequantised tensors, rotary embedding on neighbouring
    pairs (the format's order), grouped keys, tied output. In float64.
    """
    import gguf

    weights = {
        tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float64)
        for tensor in gguf.GGUFReader(path).tensors
    }
    x_TH = weights["token_embd.weight"][ids]
    for layer in range(LAYERS):
        block = {
            name.removeprefix(f"blk.{layer}.").removesuffix(".weight"): value
            for name, value in weights.items()
            if name.startswith(f"blk.{layer}.")
        }
        x_TH = x_TH + _attend(_norm(x_TH, block["attn_norm"]), block)
        y_TH = _norm(x_TH, block["ffn_norm"])
        gate = y_TH @ block["ffn_gate"].T
        inner = gate / (1 + np.exp(-gate)) * (y_TH @ block["ffn_up"].T)
        x_TH = x_TH + inner @ block["ffn_down"].T
    return _norm(x_TH, weights["output_norm.weight"]) @ weights["token_embd.weight"].T


def _norm(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + EPSILON) * weight


def _attend(x_TH: np.ndarray, block: dict[str, np.ndarray]) -> np.ndarray:
    time = len(x_TH)
    q = _rotate((x_TH @ block["attn_q"].T).reshape(time, HEADS, HEAD_DIM))
    k = _rotate((x_TH @ block["attn_k"].T).reshape(time, KV_HEADS, HEAD_DIM))
    v = (x_TH @ block["attn_v"].T).reshape(time, KV_HEADS, HEAD_DIM)
    heads = []
    for head in range(HEADS):
        group = head // (HEADS // KV_HEADS)
        scores = q[:, head] @ k[:, group].T / np.sqrt(HEAD_DIM)
        scores[np.triu_indices(time, 1)] = -np.inf
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        heads.append(weights / weights.sum(-1, keepdims=True) @ v[:, group])
    return np.concatenate(heads, -1) @ block["attn_output"].T


def _rotate(x: np.ndarray) -> np.ndarray:
    angles = np.outer(np.arange(len(x)), THETA ** (-np.arange(0, HEAD_DIM, 2) / HEAD_DIM))
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = np.empty_like(x)
    turned[..., 0::2], turned[..., 1::2] = even * cos - odd * sin, even * sin + odd * cos
    return turned


def write_wheel(folder: Path, name: str, version: str, files: dict[str, bytes]) -> Path:
    """A wheel that pip accepts, holding `files`."""
    folder.mkdir(parents=True, exist_ok=True)
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    path = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for inside, content in files.items():
            wheel.writestr(inside, content)
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path


def digest(content: bytes) -> str:
    """The SHA-256 of some bytes, in hex."""
    return hashlib.sha256(content).hexdigest()


@contextmanager
def hub(files: dict[str, bytes], *, cut: str = "") -> Iterator[str]:
    """A hub on a loopback port that serves one repository at `COMMIT`; yields its address.

    The file named `cut` stops in the middle of its bytes.
    """

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            name = self.path.split("?")[0].rpartition("/")[2]
            if name not in files or f"/resolve/{COMMIT}/" not in self.path:
                content = json.dumps({"error": "not found"}).encode()
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound")
            else:
                content = files[name]
                self.send_response(200)
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("ETag", f'"{digest(content)}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content[: len(content) // 2] if name == cut else content)
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
