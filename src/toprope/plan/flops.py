"""FLOPs of a model per token and per sequence. It must not know chips.

A forward pass takes 2 per active parameter and token, and the attention term, which 6ND leaves
out: Qwen3-32B at 64k takes twice 6ND. Backward takes twice the forward; LoRA spares the
gradients of frozen weights, a third of all.
"""

from __future__ import annotations

from toprope.plan.shapes import Shape


def attention(shape: Shape, position: float) -> float:
    """FLOPs of attention for one token that sees `position` others, with keys not absorbed."""
    seen = position * shape.kv_kept
    seen = min(seen, shape.sparse_top) if shape.sparse_top else seen
    seen = shape.full_layers * seen + shape.windowed_layers * min(position, shape.window)
    linear = 6.0 * shape.linear_value_heads * shape.linear_dim * shape.linear_dim
    return 4.0 * shape.attention_width * seen + shape.linear_layers * linear


def forward(shape: Shape, tokens: float, start: float = 0.0) -> float:
    """FLOPs of a forward pass over `tokens` new tokens after `start` cached ones, causal."""
    middle = start + tokens / 2
    return tokens * (2.0 * shape.parameters_active + attention(shape, middle))


def training(shape: Shape, tokens: float, length: float, method: str = "full") -> float:
    """FLOPs of forward and backward over `tokens` in sequences of `length`."""
    parameters = 6.0 if method == "full" else 4.0
    per_token = parameters * shape.parameters_active + 3.0 * attention(shape, length / 2)
    return tokens * per_token


def over_6nd(shape: Shape, length: float) -> float:
    """How many times 6ND a token of training takes at this length."""
    return training(shape, 1.0, length) / (6.0 * shape.parameters_active)


def adapter_parameters(shape: Shape, rank: int) -> float:
    """Parameters of LoRA adapters of `rank` on all matrices that every token passes.

    A matrix of a x b parameters gets rank * (a + b); taken as square of the same area.
    """
    matrices = 7 * shape.layers
    area = shape.body_parameters / matrices
    return float(matrices * rank * 2 * area**0.5)
