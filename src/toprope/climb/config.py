"""The settings of a climb: one TOML file, validated here, importable without torch.

Every contradiction is refused with a sentence that says what to change.
"""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from toprope.terms import TopropeError

# What may differ when a run is resumed: what a teacher may cost, and how patiently it is asked.
TEACHER_LIMITS = (
    "max_tokens", "max_calls", "max_usd", "key_variable", "concurrency", "requests_per_minute",
    "tokens_per_minute", "tries", "back_off_s", "connect_s", "read_s", "total_s", "threads",
)  # fmt: skip
RUNGS = (0, 1, 2, 3, 4, 6)
DEFAULT_STUDENT = "qwen2.5-coder-0.5b-instruct"


class ConfigError(TopropeError):
    """A setting is unknown, malformed or contradicts another."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, le=1)]


class Student(_Section):
    """The model that climbs. `lora_rank` 0 trains all weights, at lower rates.

    `device` is "cpu", "auto" (the accelerator that torch finds) or a name of torch's.
    `sampler` is who draws episodes: "torch", in this process, or "vllm", a server at `endpoint`.
    """

    model: str = DEFAULT_STUDENT
    device: str = "cpu"
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    dialect: Literal["lines", "rewrite"] = "rewrite"
    lora_rank: Count = 32
    max_tokens: Positive = 48
    max_rows: Positive = 256
    most_train_tokens: Positive = 1024
    sampler: Literal["torch", "vllm"] = "torch"
    endpoint: str = ""
    patience_s: Annotated[float, Field(gt=0)] = 300.0


class Teacher(_Section):
    """Where help comes from, what it may cost, and how an endpoint is asked.

    `kind` is `none`, `recorded`, `reference`, `openai` (an endpoint), `llama` (a GGUF file that
    is served on this machine) or `form` (well-formed wrong edits, a control). A limit or price of
    0 is none. Money is limited where a price is set, calls and money where a teacher is asked live.
    """

    kind: Literal["none", "recorded", "reference", "openai", "llama", "form"] = "recorded"
    recording: str = "default"
    endpoint: str = ""
    model: str = ""
    key_variable: str = "TOPROPE_TEACHER_KEY"
    max_tokens: Count = 2_000_000
    max_calls: Count = 500
    max_usd: Annotated[float, Field(ge=0)] = 2.0
    price_per_million_input: Annotated[float, Field(ge=0)] = 0.0
    price_per_million_output: Annotated[float, Field(ge=0)] = 0.0
    answer_tokens: Positive = 400
    cache: bool = True
    concurrency: Positive = 4
    requests_per_minute: Annotated[float, Field(ge=0)] = 0.0
    tokens_per_minute: Annotated[float, Field(ge=0)] = 0.0
    tries: Positive = 5
    back_off_s: Annotated[float, Field(gt=0)] = 1.0
    connect_s: Annotated[float, Field(gt=0)] = 10.0
    read_s: Annotated[float, Field(gt=0)] = 120.0
    total_s: Annotated[float, Field(gt=0)] = 300.0
    threads: Positive = 2

    @model_validator(mode="after")
    def _no_secrets(self) -> Teacher:
        if not re.fullmatch("[A-Z_][A-Z0-9_]*", self.key_variable):
            raise ValueError(
                "key_variable must be the name of an environment variable, in capitals: "
                "keys themselves belong into the environment"
            )
        if re.search(r"@|\?|#", self.endpoint):
            raise ValueError(
                "endpoint must be a plain URL, without user, password, ? and #: "
                f"put the key into ${self.key_variable}"
            )
        return self


class ColdStart(_Section):
    """The zero-success test before any help."""

    tasks: Positive = 240
    draws: Positive = 16
    granted_tasks: Count = 20
    granted_draws: Positive = 8
    never_seeded: Annotated[float, Field(ge=0, lt=1)] = 0.25


class Seeding(_Section):
    """Demonstrations: how many, and the supervised steps on them.

    `on` says to which tasks: the `cold` ones, `random` ones of the pool, or those that
    `set_aside` keeps out of it. The last two are controls.
    """

    demonstrations: Count = 48
    on: Literal["cold", "random", "set_aside"] = "cold"
    set_aside: Count = 0
    per_task: Annotated[int, Field(ge=1, le=4)] = 1
    epochs: Annotated[int, Field(ge=1, le=2)] = 1
    batch: Positive = 4
    learning_rate: Rate = 1e-3
    departure_weight: Annotated[float, Field(ge=1)] = 3.0
    pilot_tasks: Count = 40
    pilot_draws: Positive = 8


class Ladder(_Section):
    """Which rungs help cold tasks, and how much of it a task and an iteration get."""

    rungs: tuple[int, ...] = (0, 6)
    tasks: Positive = 4
    patience: Positive = 12

    @field_validator("rungs")
    @classmethod
    def _known(cls, rungs: tuple[int, ...]) -> tuple[int, ...]:
        if set(rungs) - set(RUNGS) or len(set(rungs)) < len(rungs):
            raise ValueError(f"each of {', '.join(map(str, RUNGS))} at most once")
        if 0 not in rungs:
            raise ValueError("help is judged by more samples: rung 0 must be among them")
        return tuple(sorted(rungs))


class Climbing(_Section):
    """Reinforcement learning."""

    group: Annotated[int, Field(ge=2)] = 8
    tasks: Positive = 10
    most_groups: Positive = 14
    explore: Annotated[float, Field(ge=0, le=1)] = 0.5
    learning_rate: Rate = 1e-4
    warmup: Count = 3
    pilots_per_step: Count = 2


class Evaluation(_Section):
    """What is measured on frozen checkpoints. `dev_every` 0 leaves dev out."""

    heldout_tasks: Count = 120
    before_draws: Positive = 4
    seeded_draws: Positive = 4
    after_draws: Positive = 8
    dev_tasks: Count = 40
    dev_draws: Positive = 2
    dev_every: Count = 0
    frozen_base_draws: Count = 16
    window: Positive = 5


class Limits(_Section):
    """When a run ends. `minutes` 0 means steps alone decide, which a deterministic run needs.

    `flops` are those of the student outside evaluation, with `count_teacher` the teacher's
    too; 0 sets no limit.
    """

    minutes: Annotated[float, Field(ge=0)] = 13.6
    reserve_minutes: Annotated[float, Field(ge=0)] = 2.8
    steps: Count = 1000
    flops: Annotated[float, Field(ge=0)] = 0
    count_teacher: bool = False
    checkpoint_every: Positive = 10
    threads: Count = 0
    sandbox_workers: Positive = 2


class ClimbConfig(_Section):
    """A climb, whole."""

    taskset: str = "default"
    seed: int = 0
    student: Student = Student()
    teacher: Teacher = Teacher()
    cold_start: ColdStart = ColdStart()
    seeding: Seeding = Seeding()
    ladder: Ladder = Ladder()
    climbing: Climbing = Climbing()
    evaluation: Evaluation = Evaluation()
    limits: Limits = Limits()

    @model_validator(mode="before")
    @classmethod
    def _nobody_demonstrates(cls, values: Any) -> Any:
        """Without a teacher or rung 6 there are no demonstrations, unless someone asks for both."""
        sections = values if isinstance(values, dict) else {}
        teacher, seeding = sections.get("teacher", {}), sections.get("seeding", {})
        ladder = sections.get("ladder", {})
        if not all(isinstance(one, dict) for one in (teacher, seeding, ladder)):
            return values
        rungs = ladder.get("rungs", (6,))
        without = isinstance(rungs, list | tuple) and 6 not in rungs
        if teacher.get("kind") == "none" or without:
            return {**sections, "seeding": {"demonstrations": 0, **seeding}}
        return values

    @model_validator(mode="after")
    def _no_contradictions(self) -> ClimbConfig:
        if self.teacher.kind == "none" and self.seeding.demonstrations:
            raise ValueError(
                "seeding.demonstrations is set but teacher.kind is 'none': take out one of them"
            )
        if self.seeding.on == "set_aside" and not self.seeding.set_aside:
            raise ValueError("seeding.on is 'set_aside' but seeding.set_aside is 0: raise it")
        if self.teacher.kind == "form" and self.seeding.on != "set_aside":
            raise ValueError(
                "teacher.kind 'form' gives wrong answers: set seeding.on to 'set_aside', so that "
                "no task of the pool is seeded with one"
            )
        rungs = self.ladder.rungs
        if self.seeding.demonstrations and 6 not in rungs:
            raise ValueError(
                "seeding.demonstrations is set but ladder.rungs has no 6: take out one of them"
            )
        asking = [rung for rung in rungs if rung in (3, 4)]
        if asking and self.teacher.kind in ("none", "form"):
            raise ValueError(
                f"rung {asking[0]} needs someone who knows the fix but teacher.kind is "
                f"{self.teacher.kind!r}: "
                "name a teacher, or take it out of ladder.rungs"
            )
        if len(rungs) > 1 and rungs != (0, 6) and not self._looks_again():
            raise ValueError(
                "ladder.rungs help piloted tasks only: raise seeding.pilot_tasks or "
                "climbing.pilots_per_step above 0"
            )
        pilots = self.seeding.pilot_tasks + self.climbing.pilots_per_step
        if self.seeding.demonstrations and not pilots:
            raise ValueError(
                "seeding.demonstrations are given to piloted tasks only: raise "
                "seeding.pilot_tasks or climbing.pilots_per_step above 0"
            )
        if self.teacher.kind == "openai" and not self.teacher.endpoint:
            raise ValueError("teacher.kind is 'openai' but teacher.endpoint is empty: name its URL")
        if self.teacher.endpoint and self.teacher.kind != "openai":
            raise ValueError("teacher.endpoint is set: teacher.kind must be 'openai' to use it")
        if self.teacher.kind == "llama" and not self.teacher.model:
            raise ValueError(
                "teacher.kind is 'llama' but teacher.model is empty: name a GGUF file, or a model "
                "of `toprope models list`"
            )
        self._sampler_contradictions()
        if self.limits.minutes and self.limits.reserve_minutes >= self.limits.minutes:
            raise ValueError(
                "limits.reserve_minutes leaves nothing of limits.minutes: raise minutes"
            )
        limits = self.limits
        if not limits.minutes and not limits.flops and limits.steps >= 10_000:
            raise ValueError(
                "without limits.minutes or limits.flops a run needs limits.steps below 10000"
            )
        return self

    def _sampler_contradictions(self) -> None:
        student = self.student
        if student.sampler == "vllm" and not student.endpoint:
            raise ValueError(
                "student.sampler is 'vllm' but student.endpoint is empty: name the server's URL"
            )
        if student.sampler == "vllm" and not student.lora_rank:
            raise ValueError(
                "student.sampler is 'vllm' but student.lora_rank is 0: a server is given adapters "
                "after each step, not whole weights; raise lora_rank, or sample with 'torch'"
            )
        if student.endpoint and student.sampler != "vllm":
            raise ValueError("student.endpoint is set: student.sampler must be 'vllm' to use it")

    def _looks_again(self) -> bool:
        return bool(self.seeding.pilot_tasks + self.climbing.pilots_per_step)


def recipe_names() -> list[str]:
    """Return the names of the recipes that ship with toprope."""
    here = resources.files("toprope.climb")
    return sorted(f.name.removesuffix(".toml") for f in here.iterdir() if f.name.endswith(".toml"))


def load_config(path_or_name: str | Path, overrides: list[str] | None = None) -> ClimbConfig:
    """Return the settings of a recipe (a shipped name or a file), with `a.b=1` overrides.

    Raises:
        ConfigError: no such recipe, malformed TOML, an unknown or contradictory setting.
    """
    text, where = _read(path_or_name)
    try:
        values = tomllib.loads(text)
        for override in overrides or []:
            _override(values, override)
        return ClimbConfig.model_validate(values)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not valid TOML: {error}") from error
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'settings'}: "
            + e["msg"].removeprefix("Value error, ")
            for e in error.errors()
        )
        raise ConfigError(f"{where}: {told}") from error


def load_whole(path: Path) -> ClimbConfig:
    """Return the settings that `to_toml` wrote, every one of them.

    Raises:
        ConfigError: as `load_config`, and where a setting is missing: another version wrote it.
    """
    config = load_config(path)
    written, known = tomllib.loads(path.read_text(encoding="utf-8")), config.model_dump()
    missing = _names(known) - _names(written)
    if missing:
        raise ConfigError(f"{path}: no value for {', '.join(sorted(missing))}")
    return config


def _names(values: dict[str, Any]) -> set[str]:
    nested = {k: v for k, v in values.items() if isinstance(v, dict)}
    return {*values, *(f"{name}.{key}" for name, value in nested.items() for key in value)}


def _read(path_or_name: str | Path) -> tuple[str, str]:
    path = Path(path_or_name)
    if path.suffix == ".toml":
        try:
            return path.read_text(encoding="utf-8"), str(path)
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    if str(path_or_name) not in recipe_names():
        known = ", ".join(recipe_names())
        raise ConfigError(f"no recipe named {path_or_name}: take one of {known}, or a .toml file")
    shipped = resources.files("toprope.climb") / f"{path_or_name}.toml"
    return shipped.read_text(encoding="utf-8"), f"recipe {path_or_name}"


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, raw = override.partition("=")
    if not equals:
        raise ConfigError(f"--set {override}: write it as section.name=value")
    *sections, name = key.strip().split(".")
    try:
        value = tomllib.loads(f"x = {raw}")["x"]
    except tomllib.TOMLDecodeError:
        value = raw
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--set {override}: {section} is not a section")
    values[name] = value


def to_toml(config: ClimbConfig) -> str:
    """Return the settings, resolved, as TOML that `load_config` reads back."""
    top, sections = [], []
    for name, value in config.model_dump().items():
        if isinstance(value, dict):
            body = "\n".join(f"{key} = {_literal(item)}" for key, item in value.items())
            sections.append(f"\n[{name}]\n{body}\n")
        else:
            top.append(f"{name} = {_literal(value)}\n")
    return "".join(top) + "".join(sections)


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(_literal, value))}]"
    return repr(value)
