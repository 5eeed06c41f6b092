"""Which chip a model computes on: the one file that asks torch what there is.

Everything else makes its tensors inside `on_device` and moves results back as plain data.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from toprope.terms import TopropeError

CPU = "cpu"
_GROUP = Path("/sys/fs/cgroup")
_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")
_NO_DEVICE = ("CUDA error", "HIP error", "device-side", "device is lost", "XPU error")


class NoSuchDevice(TopropeError):
    """A device that torch does not find on this machine."""


class OutOfMemory(TopropeError):
    """The device has not the memory for what it was asked to compute."""


class DeviceLost(TopropeError):
    """The device failed in mid-computation; what it held is gone."""


def find_device(name: str = CPU) -> torch.device:
    """Return the device called `name`; "auto" is the accelerator, or the CPU where none is.

    Raises:
        NoSuchDevice: torch does not know it, or this machine has none.
    """
    accelerator = _accelerator()
    if name == "auto":
        return accelerator or torch.device(CPU)
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise NoSuchDevice(_told(name, accelerator)) from error
    if device.type != CPU and (accelerator is None or device.type != accelerator.type):
        raise NoSuchDevice(_told(name, accelerator))
    return device


def threads() -> int:
    """Return how many of this machine's cores a model on its CPU computes with."""
    return torch.get_num_threads()


def describe_device(name: str = "auto") -> str:
    """Return the device in words, with torch's version; raises what torch raises if broken."""
    device = find_device(name)
    if device.type == CPU:
        return f"CPU, {torch.get_num_threads()} threads (torch {torch.__version__})"
    named = cuda_name(device) if device.type == "cuda" else device.type
    return f"{named} (torch {torch.__version__})"


def has_cuda() -> bool:
    """Return whether torch finds a CUDA device here."""
    return torch.cuda.is_available()


def cuda_name(device: torch.device | None = None) -> str:
    """Return what the driver calls a CUDA device."""
    return str(torch.cuda.get_device_name(device))


def cuda_memory() -> int:
    """Return the bytes that the CUDA device has in all."""
    return int(torch.cuda.mem_get_info()[1])


def cuda_done() -> None:
    """Wait until the CUDA device has done what it was given."""
    torch.cuda.synchronize()


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that this process could still get on a device; None if nobody tells."""
    if device.type != CPU:
        return int(torch.accelerator.get_memory_info(device)[0]) + (
            torch.accelerator.memory_reserved(device) - torch.accelerator.memory_allocated(device)
        )
    try:
        told = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    free = next(int(line.split()[1]) << 10 for line in told if line.startswith("MemAvailable"))
    return min(free, _group_room(free))


def _group_room(otherwise: int) -> int:
    """Return what a control group leaves of its limit; pages of files are given up if needed."""
    try:
        limit = int((_GROUP / "memory.max").read_text("ascii"))
        used = int((_GROUP / "memory.current").read_text("ascii"))
        lines = (_GROUP / "memory.stat").read_text("ascii").splitlines()
    except (OSError, ValueError):  # no control groups, or "max"
        return otherwise
    cached = {"inactive_file", "active_file"}
    files = sum(int(v) for k, v in (line.split() for line in lines) if k in cached)
    return limit - used + files


def give_memory_back(device: torch.device) -> None:
    """Let go of what failed work left behind, so that the next try finds the room."""
    gc.collect()
    if device.type != CPU:
        torch.accelerator.empty_cache()


def memory_ran_out(error: BaseException) -> bool:
    """Return whether an allocation was refused, on an accelerator or by the system."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and _says(error, _NO_MEMORY)


def device_lost(error: BaseException) -> bool:
    """Return whether the accelerator failed in a way that no later call of it survives."""
    if memory_ran_out(error):
        return False
    if isinstance(error, torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and _says(error, _NO_DEVICE)


def _says(error: BaseException, words: tuple[str, ...]) -> bool:
    return any(word in str(error) for word in words)


@contextmanager
def on_device(model: Any) -> Iterator[None]:
    """Make new tensors on the model's device inside."""
    with next(model.parameters()).device:
        yield


@contextmanager
def telling_failures(model: Any) -> Iterator[None]:
    """Raise `OutOfMemory` or `DeviceLost` in place of what torch raises of the device inside."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        device = next(model.parameters()).device
        if memory_ran_out(error):
            raise OutOfMemory(
                f"{device} has not the memory for even one episode: lower student.max_tokens, "
                "show less of each task, or choose a smaller student"
            ) from error
        if device_lost(error):
            raise DeviceLost(
                f"{device} failed ({str(error).splitlines()[0]}): nothing that was committed is "
                "lost; run the same command again, which goes on from there"
            ) from error
        raise


def _accelerator() -> torch.device | None:
    if not torch.accelerator.is_available():
        return None
    return torch.accelerator.current_accelerator()


def _told(name: str, accelerator: torch.device | None) -> str:
    there = f"cpu, {accelerator.type}" if accelerator else CPU
    return f"there is no device {name!r} here; torch finds: {there}"
