"""A model in this process at work: as a climb samples it, or talking over turns."""

from __future__ import annotations

from pathlib import Path

from toprope.climb.comparing.subjects import ModelSubject, find_subjects
from toprope.climb.config import ClimbConfig
from toprope.climb.episodes.actions import read_action
from toprope.climb.episodes.sampling import open_sampler
from toprope.climb.pastrun import PastRun
from toprope.climb.rundir import CONFIG
from toprope.climb.training.memory import keep_freed_memory
from toprope.harness.dialect import DIALECTS, Dialect
from toprope.harness.encode import draft_ids, prompt_ids
from toprope.policy.asks import Ask
from toprope.policy.branch import MOST_TOKENS, Brancher, Draft
from toprope.policy.chat import ChatSampler
from toprope.policy.load import Say, load_model, load_tokenizer
from toprope.solve.models import Drawn, Messages, Said
from toprope.terms import Task


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

    at_once = 16  # they share one pass over the prompt

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
        fitting = max(1, min(count, most // max(self.most, MOST_TOKENS)))
        if turn == 0 and draft.ids and most >= MOST_TOKENS:
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
