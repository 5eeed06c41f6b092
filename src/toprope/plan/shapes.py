"""What a language model is made of, as sizes: `shapes.toml` as data, and what follows from it.

Counts are of values and of parameters; bytes enter only where a precision is given. Knows
no chip and no workload.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from toprope.plan.nearest import did_you_mean
from toprope.plan.shapenames import plain_name
from toprope.terms import TopropeError

SHAPES = Path(__file__).with_name("shapes.toml")


class UnknownShape(TopropeError):
    """A model name that no shape has; the message names the nearest."""


class ShapeError(TopropeError):
    """A shape that contradicts itself; the message says which field to mend."""


@dataclass(frozen=True)
class Shape:
    """A model's sizes. Fields that a model does not have are 0.

    `total` and `active` are the parameters its card states (0: not stated); the computed
    ones are `parameters` and `parameters_active`. `shared_ffn` is the width of all shared
    experts together. `window` is read by `windowed_layers`; `linear_layers` keep a state of
    fixed size instead of a cache; `kv_kept` is the share of positions a compressing cache
    keeps; `sparse_top` bounds the positions that one new token reads. `body_bytes` is what a
    parameter outside the experts takes where the release fixes it.
    """

    key: str
    source: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    vocab: int
    ffn: int = 0
    head_dim: int = 0
    attention: str = "gqa"
    tied: bool = False
    mlp_matrices: int = 3
    gated_attention: bool = False
    attention_weights: int = 0
    shared_kv: bool = False
    kv_kept: float = 1.0
    window: int = 0
    windowed_layers: int = 0
    sparse_top: int = 0
    index_heads: int = 0
    index_dim: int = 0
    q_rank: int = 0
    kv_rank: int = 0
    rope_dim: int = 0
    nope_dim: int = 0
    value_dim: int = 0
    linear_layers: int = 0
    linear_key_heads: int = 0
    linear_value_heads: int = 0
    linear_dim: int = 0
    experts: int = 0
    active_experts: int = 0
    expert_ffn: int = 0
    shared_ffn: int = 0
    dense_layers: int = 0
    body_bytes: float = 0
    total: float = 0
    active: float = 0
    aliases: tuple[str, ...] = ()

    @cached_property
    def is_moe(self) -> bool:
        """Whether some layers choose among experts."""
        return self.experts > 0

    @cached_property
    def moe_layers(self) -> int:
        """Layers that choose among experts."""
        return self.layers - self.dense_layers if self.is_moe else 0

    @property
    def attention_kind(self) -> str:
        """How keys and values are shared among heads: "mha", "gqa", "mqa" or "mla"."""
        if self.attention == "mla":
            return "mla"
        if self.kv_heads == self.heads:
            return "mha"
        return "mqa" if self.kv_heads == 1 else "gqa"

    @cached_property
    def attention_width(self) -> int:
        """Values per token that attention scores are taken over, all heads together."""
        width = self.nope_dim + self.rope_dim if self.attention == "mla" else self.head_dim
        return self.heads * width

    @cached_property
    def full_layers(self) -> int:
        """Layers that attend with softmax to every kept position."""
        return self.layers - self.windowed_layers - self.linear_layers

    @cached_property
    def attention_parameters(self) -> int:
        """Parameters of the softmax attention of one layer."""
        if self.attention_weights:
            return self.attention_weights
        h = self.hidden
        if self.attention == "mla":
            head = self.nope_dim + self.rope_dim
            query = h * self.q_rank + self.q_rank * self.heads * head
            keys = h * (self.kv_rank + self.rope_dim)
            up = self.kv_rank * self.heads * (self.nope_dim + self.value_dim)
            indexer = self.q_rank * self.index_heads * self.index_dim + h * self.index_dim
            return query + keys + up + self.heads * self.value_dim * h + indexer
        query = h * self.heads * self.head_dim
        return query * (3 if self.gated_attention else 2) + 2 * h * self.kv_heads * self.head_dim

    @cached_property
    def linear_parameters(self) -> int:
        """Parameters of the linear attention of one layer: keys, values, gate, output."""
        keys = 2 * self.linear_key_heads * self.linear_dim
        values = 3 * self.linear_value_heads * self.linear_dim
        return self.hidden * (keys + values)

    @property
    def expert_parameters(self) -> int:
        """Parameters of one routed expert."""
        return self.mlp_matrices * self.hidden * self.expert_ffn

    @cached_property
    def routed_parameters(self) -> int:
        """Parameters of all routed experts."""
        return self.moe_layers * self.experts * self.expert_parameters

    @cached_property
    def body_parameters(self) -> int:
        """Parameters every token passes through, without embedding, head and routed experts."""
        attention = (self.layers - self.linear_layers) * self.attention_parameters
        linear = self.linear_layers * self.linear_parameters
        dense = (self.layers - self.moe_layers) * self.mlp_matrices * self.hidden * self.ffn
        shared = self.mlp_matrices * self.hidden * self.shared_ffn
        return attention + linear + dense + self.moe_layers * (shared + self.hidden * self.experts)

    @cached_property
    def head_parameters(self) -> int:
        """Parameters of the output projection onto the vocabulary."""
        return self.vocab * self.hidden

    @cached_property
    def parameters(self) -> int:
        """All parameters, without norms and biases."""
        embedding = self.head_parameters * (1 if self.tied else 2)
        return self.body_parameters + self.routed_parameters + embedding

    @cached_property
    def parameters_active(self) -> int:
        """Parameters that multiply one token: body, head and the chosen experts."""
        routed = self.moe_layers * self.active_experts * self.expert_parameters
        return self.body_parameters + self.head_parameters + routed

    @cached_property
    def kv_values_per_layer(self) -> int:
        """Cached values per position in a layer that caches."""
        if self.attention == "mla":
            return self.kv_rank + self.rope_dim
        return (1 if self.shared_kv else 2) * self.kv_heads * self.head_dim

    @property
    def kv_values_per_token(self) -> float:
        """Cached values per position over all layers, where the window does not bind."""
        return (self.layers - self.linear_layers) * self.kv_values_per_layer * self.kv_kept

    def kv_values(self, context: float) -> float:
        """Cached values of one sequence of `context` tokens, linear states included."""
        full = self.full_layers * context * self.kv_kept
        windowed = self.windowed_layers * min(context, self.window)
        state = self.linear_value_heads * self.linear_dim * self.linear_dim
        return (full + windowed) * self.kv_values_per_layer + self.linear_layers * state

    def kv_values_read(self, context: float) -> float:
        """Cached values that one new token reads at this context."""
        seen = context * self.kv_kept
        seen = min(seen, self.sparse_top) if self.sparse_top else seen
        windowed = self.windowed_layers * min(context, self.window)
        state = 2 * self.linear_value_heads * self.linear_dim * self.linear_dim
        index = self.full_layers * context * self.index_dim
        softmax = (self.full_layers * seen + windowed) * self.kv_values_per_layer
        return softmax + self.linear_layers * state + index

    def attention_flops(self, context: float) -> float:
        """FLOPs that one new token spends on scores and values at this context, all layers."""
        seen = context * self.kv_kept
        seen = min(seen, self.sparse_top) if self.sparse_top else seen
        positions = self.full_layers * seen + self.windowed_layers * min(context, self.window)
        width = self.heads * (2 * self.kv_rank + self.rope_dim) / 2
        width = width if self.attention == "mla" else self.attention_width
        linear = 6.0 * self.linear_value_heads * self.linear_dim * self.linear_dim
        return 4.0 * width * positions + self.linear_layers * linear


@cache
def load_shapes(path: Path = SHAPES) -> Mapping[str, Shape]:
    """The shapes of a file by key; raises `ShapeError` for a field that is not one."""
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    return {key: _shape(key, entry) for key, entry in raw.items()}


def find_shape(name: str, shapes: Mapping[str, Shape] | None = None) -> Shape:
    """The shape of a model by key, alias or published name ("Qwen/Qwen3-32B-FP8").

    Raises `UnknownShape`, which names the nearest.
    """
    shapes = load_shapes() if shapes is None else shapes
    names = _names(shapes)
    wanted = plain_name(name)
    if wanted not in names:
        where = "`toprope plan models` lists the shapes"
        raise UnknownShape(f"no model is called {name!r}; {did_you_mean(wanted, names, where)}")
    return shapes[names[wanted]]


def _names(shapes: Mapping[str, Shape]) -> dict[str, str]:
    names = {plain_name(alias): key for key, shape in shapes.items() for alias in shape.aliases}
    return names | {plain_name(key): key for key in shapes}


def _shape(key: str, entry: Mapping[str, Any]) -> Shape:
    known = {field.name for field in fields(Shape)} - {"key"}
    for name in entry:
        if name not in known:
            hint = did_you_mean(name, known, "the fields are those of Shape in plan/shapes.py")
            raise ShapeError(f"shape {key}: {name!r} is no field; {hint}")
    if missing := {"source", "layers", "hidden", "heads", "kv_heads", "vocab"} - set(entry):
        raise ShapeError(f"shape {key} needs {', '.join(sorted(missing))}")
    shape = Shape(key=key, **{**entry, "aliases": tuple(entry.get("aliases", ()))})
    if shape.attention == "gqa" and not shape.head_dim:
        raise ShapeError(f"shape {key} needs head_dim")
    if shape.experts and not 0 < shape.active_experts <= shape.experts:
        raise ShapeError(f"shape {key}: active_experts must be between 1 and {shape.experts}")
    return shape
