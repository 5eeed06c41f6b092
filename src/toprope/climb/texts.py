"""The forgetting suite: fixed texts that nothing is trained on, read from a file.

What they are for is in `climb/measuring/forgetting.py`. It must not know a model.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from toprope.terms import TopropeError

DEFAULT = "default"
PLAIN_KIND = "text"
_FIELDS = {"id", "kind", "question", "text"}


class TextsError(TopropeError):
    """A file of texts for the forgetting suite cannot be read; the message names the line."""


@dataclass(frozen=True, slots=True)
class Text:
    """A fixed text. With a `question`, it is the answer to it in the student's chat template."""

    id: str
    kind: str
    text: str
    question: str = ""


@dataclass(frozen=True, slots=True)
class Texts:
    """Fixed texts, and the digest that tells them from others."""

    texts: tuple[Text, ...]
    hash: str


def load_texts(path_or_default: str) -> Texts | None:
    """Return the suite that `evaluation.forgetting` names; None for the empty name.

    A `.jsonl` file has one text a line, {"text": …} with `id`, `kind` and `question` if
    wanted; any other file is plain text, its texts parted by blank lines.

    Raises:
        TextsError: the file cannot be read, or holds no texts or malformed ones.
    """
    if not path_or_default:
        return None
    where = path_or_default
    if where == DEFAULT:
        source = resources.files("toprope") / "data" / "forgetting.jsonl"
        text, rows = source.read_text(encoding="utf-8"), True
    else:
        path = Path(where).expanduser()
        text, rows = _read(path), path.suffix == ".jsonl"
    texts = _of_rows(text, where) if rows else _of_paragraphs(text)
    if not texts:
        raise TextsError(f"{where} holds no text: give one with texts, or switch the suite off")
    told = json.dumps([[t.id, t.kind, t.question, t.text] for t in texts])
    return Texts(tuple(texts), hashlib.sha256(told.encode()).hexdigest())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise TextsError(
            f"evaluation.forgetting: cannot read {path} ({error.strerror}): name a file of texts, "
            f'"{DEFAULT}", or "" for no suite'
        ) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise TextsError(f"{path} line {line}: not UTF-8 text; save it as UTF-8") from error


def _of_paragraphs(text: str) -> list[Text]:
    parts = [part.strip("\n") for part in text.replace("\r\n", "\n").split("\n\n")]
    whole = [part for part in parts if part.strip()]
    return [Text(f"text-{at:03d}", PLAIN_KIND, part) for at, part in enumerate(whole, 1)]


def _of_rows(text: str, where: str) -> list[Text]:
    texts: list[Text] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        found = _row(line, number, f"{where} line {number}")
        if found.id in seen:
            raise TextsError(
                f"{where} line {number}: id {found.id!r} is that of line {seen[found.id]} too; "
                "give every text an id of its own, or none"
            )
        seen[found.id] = number
        texts.append(found)
    return texts


def _row(line: str, number: int, place: str) -> Text:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise TextsError(f"{place}: not JSON ({error}); one object a line is asked") from error
    if not isinstance(row, dict) or not str(row.get("text") or "").strip():
        raise TextsError(f'{place}: no text; write {{"text": "…"}}')
    if unknown := sorted(row.keys() - _FIELDS):
        raise TextsError(f"{place}: no such field: {unknown[0]}; take {', '.join(sorted(_FIELDS))}")
    if wrong := [name for name, value in row.items() if not isinstance(value, str)]:
        raise TextsError(f"{place}: {wrong[0]} must be a string")
    return Text(
        id=row.get("id") or f"text-{number:03d}",
        kind=row.get("kind") or PLAIN_KIND,
        text=row["text"],
        question=row.get("question") or "",
    )
