"""The vocabulary of toprope as small frozen types: plain data, no torch, no I/O.

Every other room speaks in these words; `DESIGN` vocabulary is kept one word per thing.
What crosses a room's border is one of these types or a plain Python value, so the
same call works in process, in a worker process or over a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class TopropeError(Exception):
    """An expected failure whose message tells the user what to do next."""


class InfraError(TopropeError):
    """A failure of ours, not of the model: retried, then recorded as `infra`."""


class Outcome(StrEnum):
    """How an episode ended. `INFRA` is never a reward and never evidence."""

    PASSED = "passed"
    FAILED = "failed"
    MALFORMED = "malformed"
    TIMEOUT = "timeout"
    LIMIT = "limit"
    HACK = "hack"
    INFRA = "infra"


class State(StrEnum):
    """Where a task stands in the ledger."""

    UNSEEN = "unseen"
    BROKEN = "broken"
    COLD = "cold"
    LIVE = "live"
    MASTERED = "mastered"
    PARKED = "parked"


class Mode(StrEnum):
    """What help an episode had. Only `PLAIN` is evidence of ability."""

    PLAIN = "plain"
    GRANTED = "granted"  # protocol granted: two-shot prompt, and the form forced
    HINTED = "hinted"
    PREFIXED = "prefixed"
    RETRIED = "retried"  # shown its own failing attempt and what the tests said
    TAKEN = "taken"  # a teacher took over after its first turns


class Split(StrEnum):
    """The part of a taskset a task belongs to."""

    TRAIN = "train"
    DEV = "dev"
    HELDOUT = "heldout"


class Tier(StrEnum):
    """How far a held-out task is from what was trained on."""

    NEAR = "near"
    MID = "mid"
    FAR = "far"


@dataclass(frozen=True, slots=True)
class Call:
    """One test of a function task: a call whose canonical outcome must match.

    `args` is the Python literal of the positional arguments, a tuple. `expect` is the
    canonical outcome (see `grading/calls.py`), which never enters the sandbox.
    """

    id: str
    args: str
    expect: str


@dataclass(frozen=True, slots=True)
class Tree:
    """Files that many tasks share, usually a whole repository; `hash` names their content.

    Text is UTF-8; bytes that are none are kept as Python's surrogate escapes.
    """

    hash: str
    files: Mapping[str, str] = field(repr=False)


PYTEST, PLAIN = "pytest", "plain"  # the runners of a `Suite`


@dataclass(frozen=True, slots=True)
class Suite:
    """Tests that pytest runs, laid over the attempt only when it is graded.

    `files` holds the test files, whole; `paths` what pytest is asked to run. `imports` are
    folders put on the import path, "" for the top; `args` go to pytest. `environment` names
    the interpreter and packages to run in (see `Environment`); "" is what toprope itself runs in.
    `timeout_s` is processor time for all of them. `runner` is `PLAIN` where it is proven that
    the quick runner says of these tests what pytest says, else `PYTEST`.
    """

    files: Mapping[str, str] = field(repr=False)
    paths: tuple[str, ...]
    imports: tuple[str, ...] = ("",)
    environment: str = ""
    timeout_s: float = 60.0
    args: tuple[str, ...] = ()
    runner: str = PYTEST


@dataclass(frozen=True, slots=True)
class Environment:
    """What a job finds around its files: an interpreter, its packages, tools, variables.

    `python` is the path of an interpreter ("": toprope's own, without third-party packages);
    `shown` are further host paths to read, `hidden` paths below these to cover. `warm`
    modules are imported before any job. `tools` adds a shell and the system's commands. With
    `image`, a container image, all of these paths lie in it; `engine` is "podman" or "docker"
    ("": whichever is there).
    """

    python: str = ""
    shown: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    warm: tuple[str, ...] = ()
    tools: bool = False
    variables: tuple[tuple[str, str], ...] = ()
    image: str = ""
    engine: str = ""


@dataclass(frozen=True, slots=True)
class Focus:
    """The lines of a file that a harness shows: 1-based, both ends included."""

    path: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Source:
    """Where a task came from. `cluster` names the source function for bootstraps."""

    package: str
    version: str
    path: str
    line: int
    licence: str
    function: str
    operator: str

    @property
    def cluster(self) -> str:
        """The key shared by all bugs put into the same source function."""
        return f"{self.package}:{self.path}:{self.function}"


@dataclass(frozen=True, slots=True)
class Task:
    """A problem statement, a starting state of files, and a grader.

    `files` is the broken starting state, on top of `tree` without `removed`; `solution` are
    the files that the reference fix changes, whole. The grader is either `calls` of `entry`
    ("module.py:function") or a `suite`. `editable` holds globs, those that begin with "!"
    taking paths out again: an attempt that changes anything else is refused. An `impossible`
    task is a bait: its tests contradict each other, so whoever passes has cheated.
    """

    id: str
    split: Split
    tier: Tier | None
    statement: str
    files: Mapping[str, str]
    focus: Focus
    editable: tuple[str, ...]
    entry: str
    calls: tuple[Call, ...]
    fail_to_pass: tuple[str, ...]
    pass_to_pass: tuple[str, ...]
    solution: Mapping[str, str]
    source: Source
    features: Mapping[str, float | int | str] = field(default_factory=dict)
    suite: Suite | None = None
    tree: Tree | None = None
    removed: tuple[str, ...] = ()
    impossible: bool = False

    def start(self) -> dict[str, str]:
        """Return every file of the starting state."""
        shared = dict(self.tree.files) if self.tree else {}
        for path in self.removed:
            shared.pop(path, None)
        return {**shared, **self.files}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an attempt is worth, decided out of its reach.

    `level` is "exact" (ids and expected values kept outside the sandbox) or "reported".
    """

    outcome: Outcome
    reward: float
    why: str
    passed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    level: str = "exact"


@dataclass(frozen=True, slots=True)
class Completion:
    """What a sampler returns for one episode: ids, log-probabilities (natural), why it stopped.

    `stop` is "stop" (a stop token or string), "length", or "malformed" (ended at once
    because no continuation could become a valid action); "lost" is a failure of ours, without
    ids. The first `copied` ids agree with the draft that was handed in, and were read off it
    instead of decoded.
    """

    episode_id: str
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    stop: str
    copied: int = 0


@dataclass(frozen=True, slots=True)
class Observed:
    """What an episode was shown between two turns, after so many of its sampled ids."""

    after: int
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Episode:
    """One attempt, token-exact: ids shown, ids sampled with the sampler's log-probabilities.

    Over several turns `sampled_ids` are those of all turns, end to end, and `observed` says
    what stood between them; `changes` are the files that it handed in, packed as by
    `harness.turns.state`.
    """

    id: str
    task_id: str
    version: int
    mode: Mode
    rung: str
    prompt_ids: tuple[int, ...]
    sampled_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    text: str
    stop: str
    verdict: Verdict
    observed: tuple[Observed, ...] = ()
    changes: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A teacher's attempt at a task, in the teacher's own form, and what it became.

    `action` is the verified result re-expressed as `N|line`, or None when it failed or cannot
    be expressed; the harness turns that into the student's dialect. Token counts are the
    teacher's own.
    """

    id: str
    task_id: str
    teacher: str
    prompt: str
    text: str
    prompt_tokens: int
    completion_tokens: int
    outcome: Outcome
    why: str
    action: str | None
    cost_usd: float = 0.0
    cached: bool = False
