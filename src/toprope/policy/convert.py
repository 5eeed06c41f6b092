"""Turn a quantised GGUF file into a folder that plain transformers loads and trains.

The weights are stored in fp32, exactly as dequantised: bf16 would round four in five of
them. Nothing is published unless the folder, read back, gives the source's logits.
Knows files and transformers, not where the file came from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

from toprope.policy.quiet import quiet_transformers
from toprope.policy.store import locked, require_space, staged
from toprope.terms import TopropeError

MANIFEST = "toprope-model.json"
LOGIT_TOLERANCE = 1e-4
"""Largest difference of any logit between source and conversion, both in fp32."""

_PROBE = (
    "def area(width, height):\n    if width <= 0:\n        return 0\n    return width * height\n",
    "  12|    for i in range(10):\n  13|\ttotal += values[i]  # é 日本\n",
)


class ConversionError(TopropeError):
    """A GGUF file that cannot be turned into a model faithfully."""


def convert(gguf: Path, folder: Path, *, about: Mapping[str, Any]) -> Path:
    """Write `gguf` as a transformers folder, once and whole, and return the folder.

    `about` (name, source, sha256, licence …) is kept beside the weights in
    `toprope-model.json`. Raises `ConversionError` when the file cannot be read, its
    tokenizer is of a kind not known to survive, or the logits disagree.
    """
    with locked(folder):
        if is_converted(folder):
            return folder
        _require_tools()
        pre = _pre_tokenizer_name(gguf)
        require_space(folder.parent, 10 * gguf.stat().st_size)
        with staged(folder) as stage, quiet_transformers():
            source = _read_model(gguf)
            _write_model(source, stage)
            _read_tokenizer(gguf, pre, source.config).save_pretrained(stage)
            difference = _largest_difference(source, stage)
            _require_close(difference, gguf)
            manifest = {**about, "dtype": "float32", "logit_difference": difference}
            (stage / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return folder


def is_converted(folder: Path) -> bool:
    """Whether a finished conversion lies here; the manifest is written last."""
    return (folder / MANIFEST).is_file()


def verify_conversion(folder: Path, gguf: Path) -> float:
    """Compare a converted folder with its GGUF file: the largest logit difference in fp32.

    The probe is two pieces of code through the folder's own tokenizer. Raises
    `ConversionError` above `LOGIT_TOLERANCE`.
    """
    _require_tools()
    with quiet_transformers():
        difference = _largest_difference(_read_model(gguf), folder)
    _require_close(difference, gguf)
    return difference


def largest_logit_difference(ours: Any, theirs: Any, tokenizer: Any) -> float:
    """The largest absolute logit difference of two models over the probe texts."""
    import torch

    worst = 0.0
    with torch.no_grad():
        for text in _PROBE:
            ids_BT = torch.tensor([tokenizer.encode(text, add_special_tokens=False)])
            ours_BTV, theirs_BTV = ours(ids_BT).logits, theirs(ids_BT).logits
            worst = max(worst, float((ours_BTV.float() - theirs_BTV.float()).abs().max()))
    return worst


def _require_tools() -> None:
    for module in ("gguf", "accelerate"):
        try:
            __import__(module)
        except ImportError as error:
            raise ConversionError(
                f"reading a GGUF file needs the package {module}; run: pip install 'toprope[gguf]'"
            ) from error


def _pre_tokenizer_name(gguf: Path) -> str:
    from gguf import GGUFReader

    try:
        field = GGUFReader(gguf).get_field("tokenizer.ggml.pre")
    except (ValueError, OSError, IndexError) as error:
        raise ConversionError(f"{gguf} is not a whole GGUF file: {error}") from error
    name = str(field.contents()) if field is not None else "none"
    if name not in ("smollm", "qwen2"):
        raise ConversionError(
            f"{gguf.name} has the pre-tokenizer {name!r}, whose conversion has not been checked; "
            "use the original folder from the hub instead"
        )
    return name


def _read_model(gguf: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with redirect_stderr(StringIO()):  # a progress bar that heeds no setting
            model = AutoModelForCausalLM.from_pretrained(
                gguf.parent, gguf_file=gguf.name, dtype=torch.float32, local_files_only=True
            )
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        raise ConversionError(f"transformers cannot read {gguf}: {error}") from error
    return model.eval()


def _write_model(source: Any, stage: Path) -> None:
    """Save through a fresh model: one loaded from GGUF counts as quantised and refuses."""
    import torch
    from transformers import AutoModelForCausalLM

    settings = source.config.to_dict()
    settings.pop("quantization_config", None)
    settings.pop("_model_name_or_path", None)
    config = type(source.config).from_dict(settings)
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(source.state_dict())
    plain.tie_weights()
    plain.generation_config = source.generation_config
    plain.save_pretrained(stage)


def _read_tokenizer(gguf: Path, pre: str, config: Any) -> Any:
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        gguf.parent, gguf_file=gguf.name, local_files_only=True
    )
    tokenizer.model_max_length = config.max_position_embeddings
    if pre == "smollm":
        # reading the GGUF loses the step that sets digits apart, and with it the way
        # spaces before a digit ("   12|") are encoded
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
    return tokenizer


def _largest_difference(source: Any, folder: Path) -> float:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    back = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return largest_logit_difference(source, back, tokenizer)


def _require_close(difference: float, gguf: Path) -> None:
    if not difference <= LOGIT_TOLERANCE:
        raise ConversionError(
            f"the converted model's logits differ from those of {gguf.name} by {difference:.2g} "
            f"(allowed {LOGIT_TOLERANCE:g}); nothing was kept"
        )
