"""A workload: what is to be done, in tokens, episodes and turns, without any chip.

It comes from a preset (`workloads.toml`), a TOML file, flags over either, or a finished climb
(`climbrun.py`). It must not know how fast anything runs.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from toprope.plan.nearest import did_you_mean
from toprope.plan.shapes import Shape, find_shape
from toprope.terms import TopropeError

KINDS = ("pretrain", "sft", "rl", "distill", "serve")
METHODS = ("full", "lora")
WEIGHT_BYTES = {"fp32": 4.0, "bf16": 2.0, "fp8": 1.0, "int8": 1.0, "fp4": 0.5625}

PRESETS = Path(__file__).with_name("workloads.toml")


class WorkloadError(TopropeError):
    """A workload that contradicts itself or has an unknown field: what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What is to be done. Lengths are tokens, times seconds.

    `tokens` are what pre-training and SFT go over. RL and distillation are `iterations` of
    `episodes` with `turns` each: a prompt, then per turn what is observed and what is sampled.
    Serving is `requests`, each one turn, at no fewer than `speed` tokens/s for a user.
    `spread` is the coefficient of variation of episode lengths, `cached` the share of prompt
    tokens found in a prefix cache, `precision` what is sampled and served in,
    `train_precision` what is trained in. `environment_workers` run environments at once
    (0: one per episode); `overlapped` is asynchronous RL. In RL that `looks_again` the trainer
    computes the log-probabilities of every episode before it learns.
    """

    name: str
    kind: str
    shape: Shape
    about: str = ""
    source: str = ""
    teacher: Shape | None = None
    method: str = "full"
    rank: int = 32
    precision: str = "bf16"
    train_precision: str = "bf16"
    context: int = 8192
    tokens: float = 0.0
    step_sequences: int = 0
    iterations: int = 1
    episodes: int = 0
    turns: int = 1
    prompt_tokens: float = 0.0
    observed_tokens: float = 0.0
    sampled_tokens: float = 0.0
    environment_s: float = 0.0
    environment_workers: int = 0
    spread: float = 0.0
    cached: float = 0.0
    overlapped: bool = False
    looks_again: bool = True
    requests: float = 0.0
    speed: float = 0.0

    def __post_init__(self) -> None:
        _known("kind", self.kind, KINDS)
        _known("method", self.method, METHODS)
        _known("precision", self.precision, WEIGHT_BYTES)
        _known("train_precision", self.train_precision, ("fp32", "bf16", "fp8"))
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and value < 0:
                raise WorkloadError(f"{field.name} is {value}; it cannot be below 0")
        for name in _NEEDED[self.kind]:
            if not getattr(self, name):
                raise WorkloadError(f"{self.kind} needs {name}; give it a value above 0")
        if not 0 <= self.cached <= 1:
            raise WorkloadError(f"cached is {self.cached}; it is a share between 0 and 1")
        if self.kind in ("rl", "distill", "serve") and self.length > self.context:
            raise WorkloadError(
                f"an episode of {self.length:,.0f} tokens does not fit a context of "
                f"{self.context:,}; raise context or shorten prompt_tokens, turns, "
                "observed_tokens or sampled_tokens"
            )

    @property
    def length(self) -> float:
        """Tokens of a mean episode or request, prompt included."""
        return self.prompt_tokens + self.turns * (self.observed_tokens + self.sampled_tokens)

    @property
    def sampled(self) -> float:
        """Tokens sampled in a mean episode."""
        return self.turns * self.sampled_tokens

    @property
    def prefilled(self) -> float:
        """Tokens of a mean episode that are computed without being sampled."""
        return self.prompt_tokens * (1 - self.cached) + self.turns * self.observed_tokens

    @property
    def trained(self) -> float:
        """Tokens that training goes over, all iterations together."""
        return self.tokens or self.iterations * self.episodes * self.length

    @property
    def sequences(self) -> float:
        """Sequences of one optimiser step: what data parallelism divides."""
        return self.step_sequences or self.episodes or 1024


_NEEDED = {
    "pretrain": ("tokens", "context"),
    "sft": ("tokens", "context"),
    "rl": ("iterations", "episodes", "turns", "sampled_tokens"),
    "distill": ("iterations", "episodes", "turns", "sampled_tokens", "teacher"),
    "serve": ("requests", "prompt_tokens", "sampled_tokens"),
}
_FIELDS = {field.name: field for field in fields(Workload)}


def presets() -> dict[str, Workload]:
    """Return the named workloads."""
    rows = tomllib.loads(PRESETS.read_text("utf-8"))
    return {name: from_fields(name, row) for name, row in rows.items()}


def load_workload(name: str) -> Workload:
    """Return a preset by name, or the workload of a TOML file.

    Raises `WorkloadError` with the nearest preset if it is neither, or naming the field that
    is wrong.
    """
    known = presets()
    if name in known:
        return known[name]
    path = Path(name)
    if not path.is_file():
        hint = did_you_mean(name, known, f"presets are {', '.join(known)}")
        raise WorkloadError(f"{name!r} is no preset, TOML file or run folder; {hint}")
    try:
        row = tomllib.loads(path.read_text("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WorkloadError(f"{path}: not a readable TOML file: {error}") from error
    return from_fields(path.stem, row.get("workload", row))


def from_fields(name: str, row: Mapping[str, Any]) -> Workload:
    """Return the workload of a table: `like` names a preset that the other fields change."""
    row = dict(row)
    like = row.pop("like", None)
    if like is not None:
        _known("like", like, presets())
        own = {"name": name, "about": f"as {like}, changed", "source": "your own"}
        return changed(presets()[like], {**own, **row})
    if missing := {"kind", "model"} - set(row):
        raise WorkloadError(f"workload {name}: {', '.join(sorted(missing))} is missing")
    values = _values(row)
    values.setdefault("name", name)
    return Workload(**values)


def changed(workload: Workload, row: Mapping[str, Any]) -> Workload:
    """Return the workload with other values for some fields; `model` and `teacher` are names."""
    return replace(workload, **_values(row))


def _values(row: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(row)
    if "model" in values:
        values["shape"] = _shape(values.pop("model"))
    if values.get("teacher"):
        values["teacher"] = _shape(values["teacher"])
    for field, value in values.items():
        if field not in _FIELDS:
            names = [*_FIELDS, "model", "like"]
            where = f"fields are {', '.join(names)}"
            raise WorkloadError(f"no field {field!r}; {did_you_mean(field, names, where)}")
        values[field] = _typed(field, value)
    return values


def _shape(value: Any) -> Shape:
    return value if isinstance(value, Shape) else find_shape(str(value))


def _typed(field: str, value: Any) -> Any:
    """A value as its field wants it; 1e9 is as good as 1000000000."""
    wanted = str(_FIELDS[field].type)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if wanted == "int" and is_number and float(value).is_integer():
        return int(value)
    if wanted == "float" and is_number:
        return float(value)
    kinds = {"str": str, "bool": bool}
    if wanted in ("int", "float") or (wanted in kinds and not isinstance(value, kinds[wanted])):
        raise WorkloadError(f"{field} = {value!r}: write a value of type {wanted}")
    return value


def _known(field: str, value: str, names: Any) -> None:
    if value not in names:
        where = f"write one of {', '.join(names)}"
        raise WorkloadError(f"{field} = {value!r}; {did_you_mean(str(value), names, where)}")
