"""The sections of a climb's settings, each setting with its default; `docs/settings.md` tells them.

What contradicts what is decided in `config.py`.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

# What may differ when a run is resumed: what a teacher may cost, and how patiently it is asked.
TEACHER_LIMITS = (
    "max_tokens", "max_calls", "max_usd", "key_variable", "concurrency", "requests_per_minute",
    "tokens_per_minute", "tries", "back_off_s", "connect_s", "read_s", "total_s", "threads",
)  # fmt: skip
RUNGS = (0, 1, 2, 3, 4, 5, 6, 7)
TURN_RUNGS = (0, 1, 5, 6)  # those that help episodes over turns
DEFAULT_STUDENT = "qwen2.5-coder-0.5b-instruct"


class Section(BaseModel):
    """Settings that belong together: none unknown, none changed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, le=1)]


class Student(Section):
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
    kept_mb: Count = 1024
    most_train_tokens: Positive = 1024
    sampler: Literal["torch", "vllm"] = "torch"
    endpoint: str = ""
    patience_s: Annotated[float, Field(gt=0)] = 300.0


class Turns(Section):
    """Episodes over several turns; `dialect` "" is none, and the student answers once.

    `tokens` are the student's own of an episode, `context` the most that a turn may see,
    `seconds` those that an episode's turns take to be done. `observation` is in characters.
    """

    dialect: Literal["", "lines", "blocks", "bash"] = ""
    most: Positive = 12
    tokens: Positive = 2048
    context: Positive = 4096
    seconds: Annotated[float, Field(gt=0)] = 300.0
    command_s: Annotated[float, Field(gt=0)] = 30.0
    observation: Positive = 2000
    unreadable: Positive = 3


class Teacher(Section):
    """Where help comes from, what it may cost, and how an endpoint is asked.

    `kind` is `none`, `recorded`, `reference`, `openai` (an endpoint), `llama` (a GGUF file that
    is served on this machine) or `form` (well-formed wrong edits, a control). A limit or price of
    0 is none. Money is limited where a price is set, calls and money where a teacher is asked live.
    `whitebox` names the model that rung 7 reads with, whoever else teaches.
    """

    kind: Literal["none", "recorded", "reference", "openai", "llama", "form"] = "recorded"
    recording: str = "default"
    endpoint: str = ""
    model: str = ""
    whitebox: str = ""
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


class ColdStart(Section):
    """The zero-success test before any help."""

    tasks: Positive = 240
    draws: Positive = 16
    granted_tasks: Count = 20
    granted_draws: Positive = 8
    never_seeded: Annotated[float, Field(ge=0, lt=1)] = 0.25


class Pool(Section):
    """Training tasks that are held back, and join the pool when little of it still teaches.

    That is when, of its tasks that are untried, live or mastered, fewer than the share
    `grow_below` are untried or live and not solved whole the last time. 0: it never grows.
    """

    reserve: Count = 0
    held: Literal["random", "hardest"] = "random"
    grow_below: Annotated[float, Field(ge=0, lt=1)] = 0.0
    grow_by: Positive = 16


class Seeding(Section):
    """Demonstrations: how many, and the supervised steps on them.

    `later` of them are kept for rounds that follow the first after at least `later_after`
    iterations each, on tasks that are cold then and were not asked about.
    `replay` is how many of the student's own successes of a task are imitated after them.
    `on` says to which tasks: the `cold` ones, `random` ones of the pool, or those that
    `set_aside` keeps out of it. The last two are controls. `forced_share` is what a fork makes
    of the tokens learned from after iteration `forced_after` the teacher's, cold tasks or not.
    """

    demonstrations: Count = 48
    later: Count = 0
    later_after: Positive = 10
    on: Literal["cold", "random", "set_aside"] = "cold"
    set_aside: Count = 0
    forced_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    forced_after: Count = 0
    per_task: Annotated[int, Field(ge=1, le=4)] = 1
    epochs: Annotated[int, Field(ge=1, le=2)] = 1
    batch: Positive = 4
    learning_rate: Rate = 1e-3
    departure_weight: Annotated[float, Field(ge=1)] = 3.0
    replay: Count = 0
    pilot_tasks: Count = 40
    pilot_draws: Positive = 8


class Ladder(Section):
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


class Climbing(Section):
    """Reinforcement learning. With a `coin`, rewards are 1 that often, whatever the grade."""

    group: Annotated[int, Field(ge=2)] = 8
    tasks: Positive = 10
    most_groups: Positive = 14
    explore: Annotated[float, Field(ge=0, le=1)] = 0.5
    learning_rate: Rate = 1e-4
    warmup: Count = 3
    pilots_per_step: Count = 2
    coin: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Evaluation(Section):
    """What is measured on frozen checkpoints. `dev_every` 0 leaves dev out.

    `forgetting` names the fixed texts of the forgetting suite, "" for none.
    """

    heldout_tasks: Count = 120
    before_draws: Positive = 4
    seeded_draws: Positive = 4
    after_draws: Positive = 8
    dev_tasks: Count = 40
    dev_draws: Positive = 2
    dev_every: Count = 0
    frozen_base_draws: Count = 16
    forgetting: str = "default"
    window: Positive = 5


class Limits(Section):
    """When a run ends, and what it may use; `minutes` 0 means steps alone decide.

    A deterministic run needs that.

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
    overlap: Literal["auto", "on", "off"] = "auto"
