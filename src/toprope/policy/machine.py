"""Measures the machine at hand: matrix rate, memory bandwidth, seconds per layer.

The result is written as a chip that a planner reads from a file. It must not know the planner.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional

from toprope.policy.device import cuda_done, cuda_memory, cuda_name, has_cuda
from toprope.terms import TopropeError

# Sizes whose numbers do not depend on them: matrices beyond caches of a processor, an array
# beyond its last level, and a layer so small that only its calls cost.
_MATRIX = {"cpu": 2048, "cuda": 8192}
_ARRAY_BYTES = {"cpu": 1 << 28, "cuda": 1 << 31}
_SMALL, _CACHED = 64, 64
_ALLOWED = Path("/sys/fs/cgroup/memory.max")
# All-in watts where nobody tells: a laptop to a two-socket server.
_WATTS = (50.0, 150.0, 400.0)


class MachineError(TopropeError):
    """A device that is not there, or too little memory to measure it."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Repeated measurements: the lowest, the middle and the highest."""

    low: float
    middle: float
    high: float

    @staticmethod
    def of(values: list[float]) -> Spread:
        """Return the spread of at least one value."""
        return Spread(min(values), median(values), max(values))


@dataclass(frozen=True, slots=True)
class MeasuredMachine:
    """What a device did: FLOP/s by precision, B/s, B, seconds per layer of a decode step.

    `watts` is low, middle, high; `watts_told` says whether the user or the driver gave it.
    """

    name: str
    device: str
    threads: int
    rates: dict[str, Spread]
    bandwidth: Spread
    memory: int
    layer_s: Spread
    watts: tuple[float, float, float]
    watts_told: bool


def measure(
    device: str = "", *, rounds: int = 7, seconds: float = 0.3, watts: float | None = None
) -> MeasuredMachine:
    """Return what this machine does, each figure over `rounds` of about `seconds`.

    Raises `MachineError` if the device is not there or lacks the memory.
    """
    kind = device or ("cuda" if has_cuda() else "cpu")
    if kind not in _MATRIX:
        raise MachineError(f"device {device!r}: measure cpu or cuda")
    if kind == "cuda" and not has_cuda():
        raise MachineError("there is no CUDA device here; measure with --device cpu")
    told = watts or _power_limit(kind)
    try:
        rates = {
            name: _matrix_rate(kind, dtype, rounds, seconds)
            for name, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32))
        }
        bandwidth = _bandwidth(kind, rounds, seconds)
        layer = _layer_seconds(kind, rounds, seconds)
    except (RuntimeError, MemoryError) as error:
        raise MachineError(f"this machine could not be measured: {error}") from error
    return MeasuredMachine(
        name=_name(kind),
        device=kind,
        threads=torch.get_num_threads(),
        rates=rates,
        bandwidth=bandwidth,
        memory=_memory(kind),
        layer_s=layer,
        watts=(told, told, told) if told else _WATTS,
        watts_told=told is not None,
    )


def as_chip_toml(found: MeasuredMachine, key: str = "this-machine") -> str:
    """Return the machine as a file of one chip, in the form that `toprope plan --chips` takes."""
    today = date.today().isoformat()
    source = f"measured by toprope bench machine on {today}, {found.threads} threads"
    lines = [
        f"# {found.name}, {source}.",
        f"[chip.{key}]",
        f'name = "{found.name}"',
        'aliases = ["this machine"]' if key == "this-machine" else "aliases = []",
        f'released = "{today[:7]}"',
        'status = "shipped"',
        f'source = "{source}"',
    ]
    for name, rate in found.rates.items():
        lines.append(f"{name} = {_figure(rate, 1e9, 'GFLOP/s', dense=True)}")
    low, middle, high = found.watts
    power = Spread(low, middle, high)
    status = "reported" if found.watts_told else "assumed"
    memory = Spread(found.memory, found.memory, found.memory)
    return "\n".join(
        [
            *lines,
            f"memory = {_figure(memory, 1e9, 'GB')}",
            f"bandwidth = {_figure(found.bandwidth, 1e9, 'GB/s')}",
            f"layer_latency = {_figure(found.layer_s, 1e-6, 'us')}",
            f"all_in = {_figure(power, 1.0, 'W', status=status)}",
            "",
        ]
    )


def _figure(
    found: Spread, base: float, unit: str, *, dense: bool = False, status: str = "measured"
) -> str:
    low, middle, high = (f"{value / base:.4g}" for value in (found.low, found.middle, found.high))
    kind = ', dense = true, accumulate = "fp32"' if dense else ""
    parts = f"min = {low}, typ = {middle}, max = {high}"
    return f'{{ {parts}, unit = "{unit}"{kind}, status = "{status}" }}'


def _matrix_rate(kind: str, dtype: torch.dtype, rounds: int, seconds: float) -> Spread:
    """FLOP/s of a square matrix product."""
    size = _MATRIX[kind]
    left = torch.randn(size, size, device=kind).to(dtype)
    right = torch.randn(size, size, device=kind).to(dtype)
    took = _timed(lambda: left @ right, kind, rounds, seconds)
    return Spread.of([2.0 * size**3 / one for one in took])


def _bandwidth(kind: str, rounds: int, seconds: float) -> Spread:
    """B/s of reading: a sum over an array, which decoding's matrices times vectors come to."""
    array = torch.ones(_ARRAY_BYTES[kind] // 4, dtype=torch.float32, device=kind)
    took = _timed(lambda: array.sum(), kind, rounds, seconds)
    return Spread.of([_ARRAY_BYTES[kind] / one for one in took])


def _layer_seconds(kind: str, rounds: int, seconds: float) -> Spread:
    """Seconds of one small layer for one token: the calls, which no smaller model escapes."""
    width = _SMALL
    matrices = [torch.randn(width, width, device=kind) for _ in range(7)]
    cache = torch.randn(2, 1, 4, _CACHED, width // 4, device=kind)
    token = torch.randn(1, width, device=kind)
    with torch.inference_mode():
        took = _timed(lambda: _layer(token, matrices, cache), kind, rounds, seconds)
    return Spread.of(took)


def _layer(token: Tensor, matrices: list[Tensor], cache: Tensor) -> Tensor:
    """A layer of a decoder: norm, attention over a cache, norm, gated MLP."""
    query, key, value, out, gate, up, down = matrices
    inner = functional.rms_norm(token, (token.shape[-1],))
    heads = (1, 4, 1, token.shape[-1] // 4)
    cache[0, :, :, -1:] = (inner @ key).view(heads)
    cache[1, :, :, -1:] = (inner @ value).view(heads)
    attended = functional.scaled_dot_product_attention((inner @ query).view(heads), *cache)
    token = token + attended.reshape(token.shape) @ out
    inner = functional.rms_norm(token, (token.shape[-1],))
    return token + (functional.silu(inner @ gate) * (inner @ up)) @ down


def _timed(work: Callable[[], Tensor], kind: str, rounds: int, seconds: float) -> list[float]:
    """Seconds of one call, over each of `rounds` of about `seconds`, after warming up."""
    wait = cuda_done if kind == "cuda" else _nothing
    calls, took = 1, 0.0
    while True:
        took = _spent(work, calls, wait)
        if took >= seconds / 4:
            break
        calls *= 2
    calls = max(1, round(calls * seconds / took))
    return [_spent(work, calls, wait) / calls for _ in range(rounds)]


def _spent(work: Callable[[], Tensor], calls: int, wait: Callable[[], None]) -> float:
    wait()
    start = time.perf_counter()
    for _ in range(calls):
        work()
    wait()
    return time.perf_counter() - start


def _nothing() -> None:
    """A processor has finished when a call returns."""


def _name(kind: str) -> str:
    if kind == "cuda":
        return cuda_name()
    return f"{platform.machine()} processor, {os.cpu_count()} cores"


def _memory(kind: str) -> int:
    """Bytes of memory in all, or what a container is allowed of it."""
    if kind == "cuda":
        return cuda_memory()
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(whole, int(_ALLOWED.read_text("ascii")))
    except (OSError, ValueError):  # no control groups, or "max"
        return whole


def _power_limit(kind: str) -> float | None:
    """Watts that the driver allows a CUDA device, if it says."""
    command = shutil.which("nvidia-smi")
    if kind != "cuda" or command is None:
        return None
    ask = [command, "--query-gpu=power.limit", "--format=csv,noheader,nounits", "--id=0"]
    try:
        said = subprocess.run(ask, capture_output=True, text=True, timeout=20, check=True).stdout
        return float(said.strip())
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
