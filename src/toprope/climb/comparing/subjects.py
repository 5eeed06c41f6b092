"""What `toprope eval` can measure: a model in this process, or one behind an endpoint.

Both are shown the same prompt in the student's dialect, and their text is read and graded
in the same way. Which tasks they are given, and what comes of it, is not known here.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from toprope.climb.config import ClimbConfig
from toprope.climb.episodes.actions import read_action
from toprope.climb.episodes.journal import Unkept
from toprope.climb.episodes.play import Plan, Plays
from toprope.climb.episodes.players import open_player
from toprope.climb.episodes.sampling import open_sampler
from toprope.climb.meters import Meters, Shape
from toprope.climb.pastrun import PastRun
from toprope.climb.rundir import CONFIG, RunDirError
from toprope.grading import Grader
from toprope.harness.dialect import DIALECTS, Dialect
from toprope.policy.load import Say, about_model, load_model, load_tokenizer, resolve
from toprope.teacher.openai import Endpoint, EndpointError, Sampling
from toprope.terms import Outcome, Task, TopropeError, Verdict

PHASE = "eval"
MOST_LOST = 8  # questions lost in a row before an endpoint counts as gone


class Subject(Protocol):
    """Something that answers tasks."""

    name: str
    sampled_tokens: int

    @property
    def source(self) -> str:
        """Where it comes from: a folder or a URL."""

    @property
    def at_once(self) -> int:
        """How many episodes it takes well at a time."""

    def play(
        self, plans: Sequence[Plan], grader: Grader, *, seed: int, temperature: float
    ) -> list[list[Verdict]]:
        """Return the verdicts of each plan's episodes, in order."""

    def close(self) -> None:
        """Let go of what it holds."""


@dataclass
class ModelSubject:
    """A model folder, loaded at its first question and sampled as a climb samples it."""

    name: str
    folder: Path
    config: ClimbConfig
    sampled_tokens: int = 0
    _player: Plays | None = None

    @property
    def source(self) -> str:
        """The folder."""
        return str(self.folder)

    @property
    def at_once(self) -> int:
        """As many episodes as decode in one batch."""
        return self.config.student.max_rows

    def play(
        self, plans: Sequence[Plan], grader: Grader, *, seed: int, temperature: float
    ) -> list[list[Verdict]]:
        """Return the verdicts of each plan's episodes, in order."""
        player = self._player = self._player or self._load(grader, seed)
        player.grader = grader
        groups = player.play(plans, iteration=0, version=0, phase=PHASE, temperature=temperature)
        self.sampled_tokens = int(player.meters.counts[PHASE]["sampled_tokens"])
        return [[episode.verdict for episode in group] for group in groups]

    def close(self) -> None:
        """Let go of the model's memory."""
        self._player = None

    def _load(self, grader: Grader, seed: int) -> Plays:
        model = load_model(
            self.folder, dtype=self.config.student.dtype, device=self.config.student.device
        )
        tokenizer = load_tokenizer(self.folder)
        config = self.config.model_copy(update={"seed": seed})
        sampler = open_sampler(model, tokenizer, config)
        return open_player(config, tokenizer, sampler, grader, Unkept(), Meters(), Shape.of(model))


@dataclass
class EndpointSubject:
    """A model behind an OpenAI-compatible endpoint, asked with the student's prompt."""

    name: str
    endpoint: Endpoint
    max_tokens: int
    dialect: Dialect = DIALECTS[ClimbConfig().student.dialect]
    concurrency: int = 4
    sampled_tokens: int = 0
    _lost: int = field(default=0, repr=False)

    @property
    def source(self) -> str:
        """The endpoint's URL."""
        return self.endpoint.url

    @property
    def at_once(self) -> int:
        """A few rounds of concurrent questions."""
        return 8 * self.concurrency

    def play(
        self, plans: Sequence[Plan], grader: Grader, *, seed: int, temperature: float
    ) -> list[list[Verdict]]:
        """Return the verdicts of each plan's episodes; a question that was lost is `infra`.

        Raises:
            EndpointError: so many questions were lost in a row that the endpoint is gone.
        """
        asked = [(plan.task, episode) for plan in plans for episode in plan.episode_ids(0)]
        with ThreadPoolExecutor(self.concurrency, "endpoint") as pool:
            answers = list(
                pool.map(lambda pair: self._ask(pair[0], pair[1], seed, temperature), asked)
            )
        reads = {episode: read for (_, episode), read in zip(asked, answers, strict=True)}
        actions = [
            (episode, task, read)
            for (task, episode), read in zip(asked, answers, strict=True)
            if not isinstance(read, Verdict)
        ]
        graded = grader.grade_many(actions)
        reads.update({action[0]: verdict for action, verdict in zip(actions, graded, strict=True)})
        verdicts = [[reads[episode] for episode in plan.episode_ids(0)] for plan in plans]
        return [[v for v in group if isinstance(v, Verdict)] for group in verdicts]

    def close(self) -> None:
        """Close the connections."""
        self.endpoint.close()

    def _ask(
        self, task: Task, episode: str, seed: int, temperature: float
    ) -> dict[str, str] | Verdict:
        digest = hashlib.sha256(f"{seed}:{episode}".encode()).digest()
        sampling = Sampling(
            temperature=temperature,
            seed=int.from_bytes(digest[:4], "big") >> 1,
            max_tokens=self.max_tokens + len(self.dialect.draft(task)),  # a character or more each
            stop=() if self.dialect.DRAFTED else (self.dialect.STOP,),
        )
        try:
            reply = self.endpoint.chat(self.dialect.messages(task), sampling)
        except EndpointError as error:
            self._lost += 1
            if self._lost >= MOST_LOST:
                raise
            return Verdict(Outcome.INFRA, 0.0, str(error))
        self._lost = 0
        self.sampled_tokens += reply.completion_tokens
        text = self.dialect.ended(reply.text, task)
        stop = "stop" if text != reply.text else reply.finish
        read = read_action(self.dialect, task, text, stop)
        return read if isinstance(read, Verdict) else dict(read)


def find_subjects(
    words: Sequence[str],
    endpoints: Sequence[str] = (),
    *,
    dialect: str = ClimbConfig().student.dialect,
    say: Say = print,
) -> list[Subject]:
    """Return what the words name, each once: runs, checkpoints, models, then endpoints.

    A run is two subjects, the base that it began with and its last checkpoint. An endpoint
    is a URL, or `URL#MODEL` where it serves several. `dialect` is that of endpoints and of
    models that bring none of their own. `say` hears of a model that is fetched.

    Raises:
        TopropeError: no such dialect, run or model.
    """
    if dialect not in DIALECTS:
        raise TopropeError(f"no dialect {dialect}: take one of {', '.join(DIALECTS)}")
    found: list[Subject] = []
    seen: set[Path] = set()
    for word in words:
        for model in _models(word, dialect, say):
            if model.folder.resolve() not in seen:
                seen.add(model.folder.resolve())
                found.append(model)
    found += [_endpoint(url, dialect) for url in endpoints]
    for name, count in Counter(subject.name for subject in found).items():
        for subject in found:
            if count > 1 and subject.name == name:
                subject.name = f"{name} ({subject.source})"
    return found


def _models(word: str, dialect: str, say: Say) -> list[ModelSubject]:
    path = Path(word).expanduser()
    if (path / CONFIG).is_file():
        return _of_run(PastRun.open(path), say)
    run = path.resolve().parent.parent
    if path.is_dir() and (run / CONFIG).is_file():
        config = PastRun.open(run).config
        return [ModelSubject(f"{run.name} {path.resolve().name}", path, config)]
    folder = resolve(word, say=say)
    return [ModelSubject(folder.name, folder, _settings_of(folder, dialect))]


def _of_run(run: PastRun, say: Say) -> list[ModelSubject]:
    base = run.base(say=say)
    name = str(about_model(base)["name"])
    subjects = [ModelSubject(f"base {name}", base, run.config)]
    try:
        newest = run.checkpoint()
    except RunDirError:  # a run that has only measured so far
        return subjects
    return [*subjects, ModelSubject(f"{run.folder.name} {newest.name}", newest, run.config)]


def _settings_of(folder: Path, dialect: str) -> ClimbConfig:
    """The default settings, with the dialect and limits that an exported model brings."""
    config, harness = ClimbConfig(), folder / "harness.json"
    told = json.loads(harness.read_text(encoding="utf-8")) if harness.is_file() else {}
    known = {k: v for k, v in told.get("limits", {}).items() if k in ("max_tokens", "dtype")}
    known["dialect"] = told["dialect"] if told.get("dialect") in DIALECTS else dialect
    turns = config.turns.model_copy(update=told.get("turns", {}))
    student = config.student.model_copy(update=known)
    return config.model_copy(update={"student": student, "turns": turns})


def _endpoint(address: str, dialect: str) -> EndpointSubject:
    url, _, model = address.partition("#")
    endpoint = Endpoint(url, model=model or "default")
    if not model:
        endpoint.model = str(endpoint.about().get("id") or "default")
    most = ClimbConfig().student.max_tokens
    return EndpointSubject(endpoint.model, endpoint, most, DIALECTS[dialect])
