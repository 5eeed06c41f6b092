"""Turns a dealt bug into a task: files, calls with expected outcomes, the fix, its features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from toprope.forge.operators import RESERVED
from toprope.forge.splits import Dealt
from toprope.terms import Call, Focus, Source, Task


def make_tasks(dealt: Sequence[Dealt]) -> list[Task]:
    """Return the tasks in order; a module's full path is named where its stem is not unique."""
    origins = {t.function.extract.key: _short_name(t) for t in dealt}
    names = Counter(origins.values())
    return [make_task(t, origins[t.function.extract.key], names) for t in dealt]


def make_task(dealt: Dealt, short: str, names: Counter[str]) -> Task:
    """Return the task of one dealt bug."""
    piece, bug, tests = dealt.function.extract, dealt.bug, dealt.function.tests
    label = short if names[short] == 1 else _long_name(dealt)
    ids = [f"c{number:02d}" for number in range(len(tests.hidden))]
    failing = set(bug.failing)
    lines = piece.text.count("\n")
    return Task(
        id=f"{label}#{bug.edit.operator}-{bug.digest}",
        split=dealt.split,
        tier=dealt.tier,
        statement=bug.statement,
        files={piece.filename: piece.file_with(bug.text)},
        focus=Focus(piece.filename, piece.first_line, piece.first_line + lines - 1),
        editable=(piece.filename,),
        entry=piece.entry,
        calls=tuple(
            Call(call_id, call.args, call.outcome)
            for call_id, call in zip(ids, tests.hidden, strict=True)
        ),
        fail_to_pass=tuple(i for n, i in enumerate(ids) if n in failing),
        pass_to_pass=tuple(i for n, i in enumerate(ids) if n not in failing),
        solution={piece.filename: piece.file_with(piece.text)},
        source=Source(
            package=piece.package.name,
            version=piece.package.version,
            path=piece.origin,
            line=piece.line,
            licence=piece.package.licence,
            function=piece.name,
            operator=bug.edit.operator,
        ),
        features={
            "n_lines": lines,
            "n_chars": len(bug.text),
            "n_hidden": len(ids),
            "n_recorded": dealt.function.recorded,
            "inputs_by": dealt.function.chosen_by,
            "kill_rate": round(bug.kill_rate, 4),
            "mutants": bug.mutants,
            "reserved_operator": int(bug.edit.operator in RESERVED),
            "wrong_line": bug.edit.line,
            "crash": int(bug.crash),
        },
    )


def _short_name(dealt: Dealt) -> str:
    piece = dealt.function.extract
    stem = PurePosixPath(piece.filename).stem.removesuffix("_")
    return f"{piece.package.name}/{stem}.{piece.name}"


def _long_name(dealt: Dealt) -> str:
    piece = dealt.function.extract
    return f"{piece.package.name}/{piece.origin.removesuffix('.py').replace('/', '.')}.{piece.name}"
