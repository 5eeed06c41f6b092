"""Says of memory that is too small and of a device that is gone what to do for this run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toprope.climb.settings import Student
from toprope.policy.device import device_lost, find_device, free_memory, memory_ran_out
from toprope.policy.load import stored_parameters
from toprope.terms import TopropeError

# Bytes of a parameter that is trained beside the model's own: master weight, its gradient, two
# moments.
_TRAINED = 4 + 4 + 8


class TooLittleRoom(TopropeError):
    """The student's weights, or what trains them, are more than there is memory."""


class Stopped(TopropeError):
    """Memory ran out or the device failed outside a training step; the run can go on."""


def require_room(folder: Path, student: Student) -> None:
    """Refuse a student whose weights and optimiser alone are more than the free memory.

    Raises:
        TooLittleRoom: with what would help.
    """
    free = free_memory(find_device(student.device))
    count, each = stored_parameters(folder), 2 if student.dtype == "bfloat16" else 4
    needs = count * (each if student.lora_rank else 2 * each + _TRAINED)
    if free is None or needs <= free:
        return
    helps = ["choose a smaller student.model", "free memory"]
    if not student.lora_rank:
        helps.insert(0, "set student.lora_rank (32) to train adapters only")
    if each == 4:
        helps.insert(0, 'set student.dtype="bfloat16"')
    raise TooLittleRoom(
        f"{folder.name} has {count / 1e6:,.0f} million parameters: to train it takes at least "
        f"{needs / 1e9:.1f} GB on {student.device}, and {free / 1e9:.1f} GB are free; nothing was "
        f"spent. Any of these helps: {', '.join(helps)}"
    )


@contextmanager
def sound_device() -> Iterator[None]:
    """Turn a lost device, or memory that ran out, into an orderly stop."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        went_on = (
            "everything up to the last committed iteration is safe: run the same command to go on"
        )
        if memory_ran_out(error):
            raise Stopped(
                f"memory ran out ({_first_line(error)}); {went_on}, with more memory free; a run "
                "of its own with lower student.max_rows samples in less"
            ) from error
        if device_lost(error):
            raise Stopped(f"the device failed ({_first_line(error)}); {went_on}") from error
        raise


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
