"""What torch's failures in a step mean: no memory left, or no device any more.

Pure questions about exceptions; what is done about them is decided elsewhere.
"""

from __future__ import annotations

import torch

_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")
_NO_DEVICE = ("CUDA error", "HIP error", "device-side", "device is lost", "XPU error")


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
