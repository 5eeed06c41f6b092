"""From a model's published name to the name its shape is filed under. Knows no shape."""

from __future__ import annotations

import re

# What a publisher appends without changing the shape: training stage, quantisation, date.
_NO_SHAPE = (
    r"instruct|chat|base|it|hf|thinking|preview|fp8|fp4|nvfp4|mxfp4|mxfp8|bf16|fp16|w4a16|w4a8|w8a8"
    r"|int4|int8|awq|gptq|gguf|dynamic|block|modelopt|quantized|eagle3|nextn|mtp"
    r"|2[45]\d\d|0[1-9]\d\d|1[0-2]\d\d|20\d{6}|\d{4}-\d{2}-\d{2}"
)
_SUFFIX = re.compile(rf"[-_.](?:{_NO_SHAPE})$")


def plain_name(name: str) -> str:
    """A published name without organisation and suffixes: "Qwen/Qwen3-32B-FP8" is "qwen3-32b"."""
    plain = name.strip().rstrip("/").rsplit("/", 1)[-1].lower().replace("_", "-").replace(" ", "-")
    while (shorter := _SUFFIX.sub("", plain)) != plain:
        plain = shorter
    return plain.removeprefix("meta-")
