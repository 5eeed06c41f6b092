"""What is compared: one TOML file with the arms, the seeds and what is equal between them.

Everything that decides the outcome is written down here before anything runs: the FLOPs, the
margin, which arm is ours and which one is to be beaten.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from toprope.climb.config import ClimbConfig, ConfigError, load_config

Equal = Literal["total", "student"]


class Arm(BaseModel):
    """One way of training: the recipe's settings with these changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    says: str
    settings: dict[str, Any] = {}


class Entry(BaseModel):
    """A comparison, whole. In settings `{seed}` stands for the seed.

    `flops` is what each run may spend outside evaluation: with `equal` "total" the student's
    and the teacher's, with "student" the student's alone. `margin` is how far `ours` may lie
    below `against` and still be called not inferior, as a difference of pass rates.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    flops: Annotated[float, Field(gt=0)]
    equal: Equal = "total"
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.02
    ours: str = "ours"
    against: str = "sft_then_rl"
    p_values: bool = False
    settings: dict[str, Any] = {}
    arms: Annotated[dict[str, Arm], Field(min_length=2)]

    @model_validator(mode="after")
    def _named(self) -> Entry:
        for name in (self.ours, self.against):
            if name not in self.arms:
                raise ValueError(f"there is no arm {name!r}: take one of {', '.join(self.arms)}")
        for name in self.arms:
            if not name.replace("_", "").replace("-", "").isalnum():
                raise ValueError(f"arm {name!r}: a name has letters, digits, _ and - only")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds: one is named twice")
        return self

    def config(self, arm: str, seed: int) -> ClimbConfig:
        """Return the settings of one run.

        Raises:
            ConfigError: an unknown or contradictory setting; the arm is named.
        """
        fixed = {
            "seed": seed,
            "limits.minutes": 0,
            "limits.flops": self.flops,
            "limits.count_teacher": self.equal == "total",
        }
        chosen = {**self.settings, **self.arms[arm].settings, **fixed}
        overrides = [f"{key}={_literal(value, seed)}" for key, value in chosen.items()]
        try:
            return load_config(self.recipe, overrides)
        except ConfigError as error:
            raise ConfigError(f"arm {arm}: {error}") from error


def read_entry(path: Path) -> Entry:
    """Return the comparison that a file describes, every run's settings checked.

    Raises:
        ConfigError: the file cannot be read, or a line of it is wrong.
    """
    try:
        entry = Entry.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        )
        raise ConfigError(f"{path}: {told}") from error
    for arm in entry.arms:
        entry.config(arm, entry.seeds[0])
    return entry


def _literal(value: Any, seed: int) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        plain = value.replace("{seed}", str(seed)).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{plain}"'
    return repr(value)
