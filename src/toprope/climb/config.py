"""The settings of a climb: one TOML file, validated here, importable without torch.

Every contradiction is refused with a sentence that says what to change.
"""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError, model_validator

from toprope.climb.settings import (
    TURN_RUNGS,
    Climbing,
    ColdStart,
    Evaluation,
    Ladder,
    Limits,
    Pool,
    Section,
    Seeding,
    Student,
    Teacher,
    Turns,
)
from toprope.terms import TopropeError


class ConfigError(TopropeError):
    """A setting is unknown, malformed or contradicts another."""


class ClimbConfig(Section):
    """A climb, whole."""

    taskset: str = "default"
    seed: int = 0
    student: Student = Student()
    turns: Turns = Turns()
    teacher: Teacher = Teacher()
    cold_start: ColdStart = ColdStart()
    pool: Pool = Pool()
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
        sections = _answered_over_turns(sections)
        teacher, seeding = sections.get("teacher", {}), sections.get("seeding", {})
        ladder = sections.get("ladder", {})
        if not all(isinstance(one, dict) for one in (teacher, seeding, ladder)):
            return sections
        rungs = ladder.get("rungs", (6,))
        without = isinstance(rungs, list | tuple) and 6 not in rungs
        if teacher.get("kind") == "none" or without:
            return {**sections, "seeding": {"demonstrations": 0, **seeding}}
        return sections

    @model_validator(mode="after")
    def _no_contradictions(self) -> ClimbConfig:
        self._seeding_contradictions()
        self._pool_contradictions()
        self._ladder_contradictions()
        self._teacher_contradictions()
        self._sampler_contradictions()
        self._turn_contradictions()
        self._limit_contradictions()
        return self

    def _seeding_contradictions(self) -> None:
        seeding = self.seeding
        if self.teacher.kind == "none" and seeding.demonstrations:
            raise ValueError(
                "seeding.demonstrations is set but teacher.kind is 'none': take out one of them"
            )
        if seeding.forced_share and (self.teacher.kind == "none" or 6 not in self.ladder.rungs):
            raise ValueError(
                "seeding.forced_share makes a teacher demonstrate: name a teacher and keep 6 in "
                "ladder.rungs, or take it out"
            )
        if seeding.on == "set_aside" and not seeding.set_aside:
            raise ValueError("seeding.on is 'set_aside' but seeding.set_aside is 0: raise it")
        if seeding.later and seeding.later >= seeding.demonstrations:
            raise ValueError(
                "seeding.later is kept of seeding.demonstrations and leaves nothing of them for "
                "the first round: lower it"
            )
        if seeding.later and seeding.on != "cold":
            raise ValueError(
                "seeding.later is for tasks that are cold later, but seeding.on is "
                f"{seeding.on!r}: take out one of them"
            )
        if seeding.replay and not seeding.pilot_tasks:
            raise ValueError(
                "seeding.replay imitates what a look after seeding found but seeding.pilot_tasks "
                "is 0: raise it, or take out seeding.replay"
            )
        if seeding.demonstrations and 6 not in self.ladder.rungs:
            raise ValueError(
                "seeding.demonstrations is set but ladder.rungs has no 6: take out one of them"
            )

    def _pool_contradictions(self) -> None:
        pool = self.pool
        if pool.reserve and not pool.grow_below:
            raise ValueError(
                "pool.reserve holds tasks back but pool.grow_below is 0, so that they would never "
                "be drawn: raise it, or take out pool.reserve"
            )
        if pool.grow_below and not pool.reserve:
            raise ValueError(
                "pool.grow_below is set but pool.reserve is 0, so that nothing can join the pool: "
                "raise pool.reserve"
            )
        if pool.reserve and self.seeding.on != "cold":
            raise ValueError(
                f"seeding.on is {self.seeding.on!r}, a control on a pool that stays as it is: take "
                "out pool.reserve"
            )

    def _ladder_contradictions(self) -> None:
        rungs, looks_again = self.ladder.rungs, self._looks_again()
        asking = [rung for rung in rungs if rung in (3, 4, 5)]
        if asking and self.teacher.kind in ("none", "form"):
            raise ValueError(
                f"rung {asking[0]} needs someone who knows the fix but teacher.kind is "
                f"{self.teacher.kind!r}: "
                "name a teacher, or take it out of ladder.rungs"
            )
        if 5 in rungs and not self.turns.dialect:
            raise ValueError(
                "rung 5 takes over after some turns, and a student without turns.dialect answers "
                "once: set turns.dialect, or take 5 out of ladder.rungs"
            )
        self._whitebox_contradictions()
        if len(rungs) > 1 and rungs != (0, 6) and not looks_again:
            raise ValueError(
                "ladder.rungs help piloted tasks only: raise seeding.pilot_tasks or "
                "climbing.pilots_per_step above 0"
            )
        if self.seeding.demonstrations and not looks_again:
            raise ValueError(
                "seeding.demonstrations are given to piloted tasks only: raise "
                "seeding.pilot_tasks or climbing.pilots_per_step above 0"
            )

    def _teacher_contradictions(self) -> None:
        teacher = self.teacher
        if teacher.kind == "form" and self.seeding.on != "set_aside":
            raise ValueError(
                "teacher.kind 'form' gives wrong answers: set seeding.on to 'set_aside' and "
                "seeding.set_aside above 0, so that no task of the pool is seeded with one"
            )
        if teacher.kind == "openai" and not teacher.endpoint:
            raise ValueError("teacher.kind is 'openai' but teacher.endpoint is empty: name its URL")
        if teacher.endpoint and teacher.kind != "openai":
            raise ValueError("teacher.endpoint is set: teacher.kind must be 'openai' to use it")
        if teacher.kind == "llama" and not teacher.model:
            raise ValueError(
                "teacher.kind is 'llama' but teacher.model is empty: name a GGUF file, or a model "
                "of `toprope models list`"
            )

    def _limit_contradictions(self) -> None:
        limits = self.limits
        if limits.minutes and limits.reserve_minutes >= limits.minutes:
            raise ValueError(
                "limits.reserve_minutes leaves nothing of limits.minutes: raise minutes"
            )
        if not limits.minutes and not limits.flops and limits.steps >= 10_000:
            raise ValueError(
                "without limits.minutes or limits.flops a run needs limits.steps below 10000"
            )

    def _whitebox_contradictions(self) -> None:
        named, wanted = self.teacher.whitebox, 7 in self.ladder.rungs
        if wanted and not named:
            raise ValueError(
                "rung 7 compares distributions but teacher.whitebox is empty: name a model with "
                "the student's tokenizer, or take 7 out of ladder.rungs"
            )
        if named and not wanted:
            raise ValueError(
                "teacher.whitebox is set but ladder.rungs has no 7: take out one of them"
            )
        if named and named == self.student.model:
            raise ValueError(
                "teacher.whitebox is the student itself, from which nothing can be learned: name "
                "a stronger model of its family"
            )

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

    def _turn_contradictions(self) -> None:
        turns, student = self.turns, self.student
        if not turns.dialect:
            return
        beyond = [rung for rung in self.ladder.rungs if rung not in TURN_RUNGS]
        if beyond:
            raise ValueError(
                f"turns.dialect is set, and rung {beyond[0]} helps answers of one turn: take it "
                "out of ladder.rungs"
            )
        if student.sampler != "torch":
            raise ValueError(
                "turns.dialect is set, but a server draws answers of one turn: set student.sampler "
                "to 'torch'"
            )
        if self.cold_start.granted_tasks:
            raise ValueError(
                "turns.dialect is set, but the protocol is granted to answers of one turn: set "
                "cold_start.granted_tasks to 0"
            )
        if student.max_tokens >= turns.context:
            raise ValueError(
                "student.max_tokens, the longest turn, leaves nothing of turns.context: raise it"
            )

    def _looks_again(self) -> bool:
        return bool(self.seeding.pilot_tasks + self.climbing.pilots_per_step)


def _answered_over_turns(sections: dict[str, Any]) -> dict[str, Any]:
    """Grant no protocol to episodes over turns, unless someone asks for both."""
    turns, cold_start = sections.get("turns", {}), sections.get("cold_start", {})
    if not isinstance(turns, dict) or not isinstance(cold_start, dict) or not turns.get("dialect"):
        return sections
    return {**sections, "cold_start": {"granted_tasks": 0, **cold_start}}


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
        told = "; ".join(_told(e["loc"], e["type"], e["msg"]) for e in error.errors())
        raise ConfigError(f"{where}: {told}") from error


def _told(place: tuple[int | str, ...], kind: str, message: str) -> str:
    """Return a fault in words; an unknown setting comes with the one that was probably meant."""
    name = ".".join(map(str, place)) or "settings"
    if kind != "extra_forbidden":
        return f"{name}: {message.removeprefix('Value error, ')}"
    known = sorted(_names(ClimbConfig().model_dump()))
    last = name.rpartition(".")[2]
    close = [one for one in known if one.rpartition(".")[2] == last]
    close += get_close_matches(name, known, 1)
    return f"{name}: no such setting" + (f"; did you mean {close[0]}?" if close else "")


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
