"""Who may be put to work: a model here, as a climb samples it, or one behind an endpoint.

Both answer a conversation (`Talker`) or draw answers in a student's dialect (`Drawer`). It
must not know what an answer is worth.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from toprope.climb.actions import read_action
from toprope.climb.config import ClimbConfig
from toprope.climb.memory import keep_freed_memory
from toprope.climb.pastrun import PastRun
from toprope.climb.rundir import CONFIG
from toprope.climb.start import open_sampler
from toprope.climb.subjects import ModelSubject, find_subjects
from toprope.harness.dialect import DIALECTS, Dialect
from toprope.harness.encode import draft_ids, prompt_ids
from toprope.policy.asks import Ask
from toprope.policy.branch import Brancher, Draft
from toprope.policy.chat import ChatSampler
from toprope.policy.load import Say, load_model, load_tokenizer
from toprope.teacher.openai import Endpoint, Sampling
from toprope.terms import Task, Verdict

_PATIENCE_S = 300.0  # for one answer
Messages = Sequence[Mapping[str, str]]


class Said(NamedTuple):
    """What a model said in a turn, and the tokens it read and wrote for it."""

    text: str
    prompt_tokens: int
    sampled_tokens: int


class Drawn(NamedTuple):
    """An answer as it was read: its text, the changes it asks for (or why there are none), tokens.

    Of what the sampler copied from the shown function nothing was decoded; it is counted in
    `prompt_tokens`.
    """

    text: str
    read: Mapping[str, str] | Verdict
    prompt_tokens: int
    sampled_tokens: int


class Talker(Protocol):
    """A model in a conversation."""

    def say(self, messages: Messages, name: str, most: int) -> Said:
        """Return the next message, of at most `most` tokens; `name` fixes its draws."""


class Drawer(Protocol):
    """A model that answers a task at once, in a student's dialect."""

    @property
    def dialect(self) -> Dialect:
        """The form of its answers."""

    def draw(self, task: Task, turn: int, count: int, most: int) -> list[Drawn]:
        """Return up to `count` answers, all of them together of at most `most` tokens.

        `turn` is how often this task was asked before: other turns, other answers.
        """


def find_student(word: str, dialect: str, say: Say) -> ModelSubject:
    """Return the model that a word names: of a run its last checkpoint.

    `dialect` "" is the one that the run or the exported folder brings.

    Raises:
        TopropeError: no such run, model or dialect.
    """
    folder = Path(word).expanduser()
    if (folder / CONFIG).is_file():  # only what it has learnt is needed, not what it began with
        word = str(PastRun.open(folder).checkpoint())
    subject = find_subjects([word], dialect=dialect or ClimbConfig().student.dialect, say=say)[-1]
    assert isinstance(subject, ModelSubject)
    if dialect:
        student = subject.config.student.model_copy(update={"dialect": dialect})
        subject.config = subject.config.model_copy(update={"student": student})
    return subject


class Student:
    """A model in this process that draws answers in its dialect, as in a climb."""

    def __init__(self, subject: ModelSubject, temperature: float, seed: int) -> None:
        keep_freed_memory()
        student = subject.config.student
        self.temperature = temperature
        self.dialect: Dialect = DIALECTS[student.dialect]
        self.most = student.max_tokens
        self.tokenizer = load_tokenizer(subject.folder)
        model = load_model(subject.folder, dtype=student.dtype, device=student.device)
        config = subject.config.model_copy(update={"seed": seed})
        self.sampler = open_sampler(model, self.tokenizer, config)
        self.brancher = Brancher(model, self.sampler.guide.texts)

    def draw(self, task: Task, turn: int, count: int, most: int) -> list[Drawn]:
        """Return answers: in a dialect with a draft first the likeliest departures, then draws."""
        prompt = prompt_ids(self.tokenizer, self.dialect, task)
        draft = draft_ids(self.tokenizer, self.dialect, task)
        fitting = max(1, min(count, most // self.most))
        if turn == 0 and draft.ids:
            return self._departures(task, prompt, draft.ids, fitting)
        names = tuple(f"solve/{task.id}/{turn}/{at}" for at in range(fitting))
        self.sampler.max_tokens = min(self.most, most)
        asks = [Ask(prompt, names, *draft)]
        found = []
        for at, done in enumerate(self.sampler.sample(asks, temperature=self.temperature)):
            text = self.tokenizer.decode(done.ids, skip_special_tokens=True)
            text = self.dialect.ended(text, task)
            read = read_action(self.dialect, task, text, done.stop)
            # The prompt is computed once for all of them.
            shown = len(prompt) if at == 0 else 0
            found.append(Drawn(text, read, shown + done.copied, len(done.ids) - done.copied))
        return found

    def _departures(
        self, task: Task, prompt: tuple[int, ...], draft: tuple[int, ...], count: int
    ) -> list[Drawn]:
        """Where the student doubts the shown text most: one pass over it, then whole lines."""
        head = self.dialect.held(task)

        def allows(before: str, piece: str) -> bool:
            idle = not piece.strip() and not before.rpartition("\n")[2].strip()
            return before.startswith(head) and not idle and "#" not in piece

        branches = self.brancher.branches([Draft(prompt, draft)], count, allows)[0]
        found = []
        for at, branch in enumerate(branches):
            before = self.tokenizer.decode(draft[: branch.cut])
            new = "".join(self.sampler.guide.texts[token] or "" for token in branch.ids)
            text = f"{before}{new.partition(chr(10))[0]}\n"
            read = read_action(self.dialect, task, text, "stop")
            shown = len(prompt) + len(draft) if at == 0 else 0
            found.append(Drawn(text, read, shown, len(branch.ids)))
        return found


class ChatModel:
    """A model in this process that talks over turns."""

    LONGEST = 512
    STOP = "<|im_end|>"

    def __init__(self, folder: Path, temperature: float, seed: int) -> None:
        keep_freed_memory()
        self.temperature = temperature
        self.sampler = ChatSampler(
            folder, stop=self.STOP, max_tokens=self.LONGEST, max_rows=1, seed=seed
        )

    def say(self, messages: Messages, name: str, most: int) -> Said:
        """Return the next message."""
        self.sampler.sampler.max_tokens = min(self.LONGEST, most)
        said = self.sampler.answers([(messages, [name])], temperature=self.temperature)[0][0]
        return Said(said.text, said.prompt_tokens, said.completion_tokens)


@dataclass
class Remote:
    """A model behind an OpenAI-compatible endpoint, which talks or draws.

    Raises `EndpointError` where it refuses or cannot be read.
    """

    endpoint: Endpoint
    temperature: float
    seed: int
    dialect: Dialect
    longest: int = 512

    def say(self, messages: Messages, name: str, most: int) -> Said:
        """Return the next message."""
        reply = self.endpoint.chat([dict(m) for m in messages], self._sampling(name, most))
        return Said(reply.text, reply.prompt_tokens, reply.completion_tokens)

    def draw(self, task: Task, turn: int, count: int, most: int) -> list[Drawn]:
        """Return answers while there are tokens left."""
        found: list[Drawn] = []
        for at in range(count):
            if most <= 0:
                break
            stop = () if self.dialect.DRAFTED else (self.dialect.STOP,)
            sampling = self._sampling(f"{task.id}/{turn}/{at}", most, stop)
            reply = self.endpoint.chat(self.dialect.messages(task), sampling)
            most -= reply.completion_tokens
            text = self.dialect.ended(reply.text, task)
            read = read_action(
                self.dialect, task, text, "stop" if text != reply.text else reply.finish
            )
            found.append(Drawn(text, read, reply.prompt_tokens, reply.completion_tokens))
        return found

    def _sampling(self, name: str, most: int, stop: tuple[str, ...] = ()) -> Sampling:
        digest = hashlib.sha256(f"{self.seed}:{name}".encode()).digest()
        return Sampling(
            temperature=self.temperature,
            seed=int.from_bytes(digest[:4], "big") >> 1,
            max_tokens=max(1, min(self.longest, most)),
            stop=stop,
        )


def open_endpoint(url: str, model: str, seconds: float) -> Endpoint:
    """Return the endpoint with the model that it is asked for; "" is the first that it lists.

    Silence of `seconds`, of five minutes at most, is taken for a failure, and it is asked
    three times at most.
    """
    patience = min(_PATIENCE_S, seconds)
    endpoint = Endpoint(url, model=model or "default", timeout_s=patience, tries=3)
    if not model:
        endpoint.model = str(endpoint.about().get("id") or "default")
    return endpoint
