"""Sampler and learner as shares of what this machine's matrices and memory allow.

FLOPs are counted as the climb counts them. A limit is the time that the work would take at
the measured matrix rate, or its bytes at the measured bandwidth; the later one binds, and the
share is that time over the time it took (a roofline: Williams et al. 2009).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from toprope.climb.meters import Shape
from toprope.climb.training.memory import keep_freed_memory
from toprope.learn.fit import Fit
from toprope.learn.optimiser import MasterAdam
from toprope.learn.packing import GroupRow
from toprope.learn.step import StepReport, learn_groups
from toprope.policy.adapters import add_adapters
from toprope.policy.asks import Ask
from toprope.policy.device import on_device
from toprope.policy.load import load_model
from toprope.policy.machine import MeasuredMachine
from toprope.policy.sampler import TorchSampler
from toprope.policy.supported import require_supported

BATCHES = (1, 8, 64)
GROUP, ANSWER = 8, 16
BANDWIDTH, MATRIX = "memory bandwidth", "matrix rate"


class Endless:
    """A guide that ends no episode, so that the number of tokens is known."""

    def advance(self, text: str, token: int) -> tuple[str, None]:
        """Return that the episode goes on."""
        return "", None


@dataclass(frozen=True, slots=True)
class Share:
    """What some work did: tokens a second, and how near it came to what binds it."""

    work: str
    tokens_per_second: float
    seconds: float
    matrix_s: float
    bandwidth_s: float

    @property
    def binds(self) -> str:
        """The limit that the work would meet first."""
        return MATRIX if self.matrix_s > self.bandwidth_s else BANDWIDTH

    @property
    def share(self) -> float:
        """The least time that the limits allow, over the time it took."""
        return max(self.matrix_s, self.bandwidth_s) / self.seconds

    def told(self) -> str:
        """Return it in words."""
        return (
            f"{self.work}: {self.tokens_per_second:,.0f} tokens/s, {self.seconds * 1e3:,.0f} ms, "
            f"{self.share:.0%} of the limit, which is the {self.binds} (alone it would allow "
            f"{max(self.matrix_s, self.bandwidth_s) * 1e3:,.0f} ms; the other "
            f"{min(self.matrix_s, self.bandwidth_s) * 1e3:,.0f} ms)"
        )


@dataclass(frozen=True, slots=True)
class Bench:
    """A student on a measured machine."""

    model: Any
    machine: MeasuredMachine
    prompt: int
    rounds: int

    @property
    def rate(self) -> float:
        """FLOP/s of matrices in the student's precision."""
        name = "bf16" if self.model.dtype is torch.bfloat16 else "fp32"
        return self.machine.rates[name].middle

    def share(self, work: str, tokens: float, seconds: float, flops: float, read: float) -> Share:
        """Return work of some FLOPs and bytes read as a share."""
        limits = flops / self.rate, read / self.machine.bandwidth.middle
        return Share(work, tokens / seconds, seconds, *limits)

    def decode(self, batch: int) -> Share:
        """Return a decoding step of `batch` rows, prefill and start left out by difference."""
        short, long = ANSWER // 2, ANSWER * 2
        asks = made_asks(batch, self.prompt, self.model.config.vocab_size)
        guide: Any = Endless()

        def draw(tokens: int) -> None:
            TorchSampler(self.model, guide, seed=0, max_tokens=tokens, max_rows=batch).sample(asks)

        draw(2)
        took = [timed(draw, long) - timed(draw, short) for _ in range(self.rounds)]
        seconds = max(median(took), 1e-9) / (long - short)
        own = (long + short) / 2
        shape = Shape.of(self.model)
        flops = shape.forward(batch, batch * (self.prompt + own), batch)
        return self.share(
            f"decode, batch {batch}", batch, seconds, flops, self._read(len(asks), batch * own)
        )

    def _read(self, prompts: int, own: float) -> float:
        """Bytes that a decoding step cannot but read: weights, and keys and values once each."""
        config, shape = self.model.config, Shape.of(self.model)
        each = next(self.model.parameters()).element_size()
        width = shape.width // config.num_attention_heads
        kept = 2 * config.num_hidden_layers * config.num_key_value_heads * width
        return each * (shape.body + shape.head + kept * (prompts * self.prompt + own))

    def learn(self, rows: Sequence[GroupRow], fit: Fit) -> Share:
        """Return a step of reinforcement on these rows, its optimiser included."""
        optimiser = MasterAdam(self.model)

        def step() -> StepReport:
            with on_device(self.model):
                return learn_groups(
                    self.model,
                    optimiser,
                    rows,
                    learning_rate=1e-9,
                    episodes=sum(len(row.completions) for row in rows),
                    token_limit=ANSWER,
                    fit=fit,
                )

        report = step()
        seconds = median(timed(step) for _ in range(self.rounds))
        flops = Shape.of(self.model).training(
            report.positions, report.pairs, report.logits, layers_again=report.checkpointed
        )
        moved = sum(p.numel() * p.element_size() for p in self.model.parameters()) * 2
        return self.share(
            f"learner, {len(rows)} groups of {len(rows[0].completions)}",
            report.processed_tokens,
            seconds,
            flops,
            moved,
        )


def open_bench(
    folder: Path,
    machine: MeasuredMachine,
    *,
    dtype: str,
    lora_rank: int,
    prompt: int = 128,
    rounds: int = 3,
) -> Bench:
    """Return a student on the machine's device as the learner and the sampler have it.

    Raises:
        TopropeError: it is no whole model, or of a family that is not computed right.
    """
    keep_freed_memory()
    model = load_model(folder, dtype=dtype, device=machine.device)
    require_supported(model)
    if lora_rank:
        add_adapters(model, lora_rank, seed=0)
    return Bench(model, machine, prompt, rounds)


def shares(bench: Bench, batches: Sequence[int] = BATCHES) -> list[Share]:
    """Return decoding at each batch, and a learner's step of about one piece."""
    fit = Fit(1024)
    rows = made_rows(3, GROUP, bench.prompt, ANSWER, bench.model.config.vocab_size)
    return [*(bench.decode(batch) for batch in batches), bench.learn(rows, fit)]


def made_asks(rows: int, prompt: int, vocabulary: int) -> list[Ask]:
    """Return asks of that many episodes in all, in groups as a climb draws them."""
    size = min(GROUP, rows)
    return [
        Ask(_ids(at, prompt, vocabulary), tuple(f"bench/{at}/{draw}" for draw in range(size)))
        for at in range(rows // size)
    ]


def made_rows(groups: int, size: int, prompt: int, answer: int, vocabulary: int) -> list[GroupRow]:
    """Return groups whose answers have nothing in common."""
    sampled = ((-5.0,) * answer,) * size
    advantages = tuple(1.0 if at % 2 else -1.0 for at in range(size))
    return [
        GroupRow(
            _ids(g, prompt, vocabulary),
            tuple(_ids(g * size + at + 1, answer, vocabulary) for at in range(size)),
            advantages,
            sampled,
        )
        for g in range(groups)
    ]


def _ids(number: int, length: int, vocabulary: int) -> tuple[int, ...]:
    return tuple((number * 31 + at * 7 + 1) % vocabulary for at in range(length))


def timed(work: Callable[..., Any], *given: Any) -> float:
    """Return the seconds that a call takes; it must end with its result on the host."""
    started = time.perf_counter()
    work(*given)
    return time.perf_counter() - started
