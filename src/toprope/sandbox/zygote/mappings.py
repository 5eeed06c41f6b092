"""What a process has mapped that no count of its resident pages shows, read from its maps."""

from __future__ import annotations

from .procfs import read

_MOST = 1 << 22
_DELETED, _ANONYMOUS = b" (deleted)", b"/dev/zero"


def lines(proc: int, pid: int) -> list[list[bytes]] | None:
    """The fields of every mapping of a deleted file or of shared memory.

    `proc` is a descriptor of a /proc; None for a process that shows none of its mappings,
    because it has just ended or because it hides them.
    """
    maps = read(proc, f"{pid}/maps", _MOST)
    if not maps:
        return None
    if _DELETED not in maps:
        return []
    return [line.split(None, 5) for line in maps.splitlines() if line.endswith(_DELETED)]


def is_shared_memory(fields: list[bytes]) -> bool:
    """Whether a mapping is of anonymous memory that processes can share."""
    return fields[5].startswith(_ANONYMOUS)


def shared_memory(mappings: list[list[bytes]]) -> dict[int, int]:
    """The bytes of shared memory by inode, whether its pages are in a page table or not.

    The kernel keeps such a page when `MADV_DONTNEED` takes it out of every page table, and
    then no process counts it as resident.
    """
    found: dict[int, int] = {}
    for fields in filter(is_shared_memory, mappings):
        first, last = (int(number, 16) for number in fields[0].split(b"-"))
        inode, end = int(fields[4]), int(fields[2], 16) + last - first
        found[inode] = max(found.get(inode, 0), end)
    return found
