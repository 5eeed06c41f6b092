"""The instructions that a system-call filter is written in."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable

LOAD, EQUAL, ATLEAST, ANYBIT, MASK, RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
ALLOW, KILL = 0x7FFF0000, 0x80000000
NUMBER, ARCH = 0, 4  # offsets in seccomp_data, little endian
_ARGUMENTS, _WIDE = 16, 8

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


def fail(number: int) -> Instruction:
    """End the call with this error."""
    return (RETURN, 0, 0, 0x00050000 | number)


def argument(position: int) -> Instruction:
    """Load the lower half of an argument, counted from 0."""
    return (LOAD, 0, 0, _ARGUMENTS + _WIDE * position)


def when(call: int, body: list[Instruction]) -> list[Instruction]:
    """Instructions that apply only to one call, which is allowed at their end."""
    whole = [*body, (RETURN, 0, 0, ALLOW)]
    return [(EQUAL, 0, len(whole), call), *whole]


class Program(ctypes.Structure):
    """A filter as the kernel wants it."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def assemble(instructions: Iterable[Instruction]) -> Program:
    """The program of these instructions."""
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    program = Program(len(packed) // 8, ctypes.addressof(buffer))
    program.keep = buffer  # the kernel reads it at install
    return program
