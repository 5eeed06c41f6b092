"""Who draws a student's episodes: the sampler in this process, or a server at an address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from toprope.climb.config import ClimbConfig
from toprope.climb.episodes.journal import Unkept
from toprope.harness.dialect import DIALECTS
from toprope.harness.encode import draft_ids, prompt_ids
from toprope.policy.adapters import add_adapters
from toprope.policy.agreement import Agreement, examine, stir
from toprope.policy.asks import Ask, Keeping, Sampler
from toprope.policy.guide import Guide, ends_of
from toprope.policy.load import load_model, load_tokenizer, resolve
from toprope.policy.sampler import TorchSampler
from toprope.policy.served import Place, ServedSampler
from toprope.policy.vllm_api import Address
from toprope.policy.vllm_server import Serving, VllmServer
from toprope.tasks import load_taskset


def open_sampler(
    model: Any, tokenizer: Any, config: ClimbConfig, *, base: bool = False
) -> TorchSampler:
    """Return the in-process sampler of a model, guided by the dialect it acts in.

    A turn ends with the tokenizer's end alone, and is read however it is spelt.
    """
    dialect = DIALECTS[config.student.dialect]
    could_continue, stop = dialect.could_continue, dialect.STOP
    if config.turns.dialect:
        could_continue, stop = _anything, str(tokenizer.eos_token)
    vocabulary, ends = model.config.vocab_size, ends_of(model)
    guide = Guide(tokenizer, could_continue, stop, vocabulary, ends)
    return TorchSampler(
        model,
        guide,
        seed=config.seed,
        max_tokens=config.student.max_tokens,
        max_rows=config.student.max_rows,
        kept_bytes=config.student.kept_mb << 20,
        base=base,
    )


def _anything(text: str) -> bool:
    return True


def behind(inside: TorchSampler, config: ClimbConfig, adapters: Path, kept: Keeping) -> Sampler:
    """Return the sampler that the settings name: a server's, or the in-process one itself."""
    if config.student.sampler == "torch":
        return inside
    return ServedSampler(inside, _address(config), Place(adapters, kept))


def try_server(config: ClimbConfig, *, tasks: int, draws: int) -> Agreement:
    """Return how the settings' server agrees with the student on a few answers.

    Raises:
        TopropeError: a model or taskset is missing, or the server is of no use.
    """
    student = config.student
    folder = resolve(student.model)
    model = load_model(folder, dtype=student.dtype, device=student.device)
    add_adapters(model, student.lora_rank, seed=config.seed)
    stir(model)
    tokenizer = load_tokenizer(folder)
    dialect = DIALECTS[student.dialect]
    asks = [
        Ask(
            prompt_ids(tokenizer, dialect, task),
            tuple(f"test/{task.id}/{draw}" for draw in range(draws)),
            *draft_ids(tokenizer, dialect, task),
        )
        for task in load_taskset(config.taskset).tasks[:tasks]
    ]
    with TemporaryDirectory(prefix="toprope-sampler-") as place:
        inside = open_sampler(model, tokenizer, config)
        # What is compared are numbers: an answer goes on although it can be no action any more.
        inside.guide.could_continue = lambda text: True
        sampler = ServedSampler(inside, _address(config), Place(Path(place), Unkept()))
        return examine(sampler, asks)


@contextmanager
def served(config: ClimbConfig, serving: Serving, log: Path | None) -> Iterator[VllmServer]:
    """Serve the settings' student until the block ends."""
    with VllmServer(resolve(config.student.model), serving, log=log) as server:
        yield server


def _address(config: ClimbConfig) -> Address:
    student = config.student
    return Address(student.endpoint, student.max_rows, student.patience_s)
