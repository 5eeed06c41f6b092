"""File names as git writes them in a diff: quoted where a plain name would be ambiguous.

Knows names only, nothing of lines or files.
"""

from __future__ import annotations

import re

_NAMED = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}
_LETTER = {code: letter for letter, code in _NAMED.items()}
_ESCAPE = re.compile(r'\\([0-7]{3}|[abtnvfr"\\])')
_ODD = re.compile(r'[\x00-\x1f\x7f"\\]')


def quoted(name: str) -> str:
    """Return `name`, in quotes and with escapes if it holds control characters or quotes."""
    if not _ODD.search(name):
        return name
    return '"' + _ODD.sub(_escaped, name) + '"'


def unquoted(name: str) -> str:
    """Return the name that `quoted` or git wrote; octal escapes are bytes of UTF-8."""
    if not (len(name) > 1 and name[0] == name[-1] == '"'):
        return name
    data = bytearray()
    at = 1
    while at < len(name) - 1:
        found = _ESCAPE.match(name, at)
        if found:
            data.append(_NAMED.get(found[1]) or int(found[1], 8) & 255)
            at = found.end()
        else:
            data += name[at].encode("utf-8", "surrogateescape")
            at += 1
    return data.decode("utf-8", "surrogateescape")


def marked(name: str) -> str:
    """Return `name` as it stands behind `---` or `+++`: a tab ends one that has spaces."""
    return quoted(name) + ("\t" if " " in name and not _ODD.search(name) else "")


def plain(text: str) -> str | None:
    """Return the path named behind `---` or `+++`, or None for no file (`/dev/null`)."""
    name = text if text.startswith('"') else text.partition("\t")[0]
    name = unquoted(name.rstrip("\t"))
    if name == "/dev/null":
        return None
    return name[2:] if name.startswith(("a/", "b/")) else name


def twice_named(text: str) -> str | None:
    """Return the path of `diff --git` behind these words, if both of its names are the same."""
    half = len(text) // 2
    first, second = text[:half], text[half + 1 :]
    if len(text) % 2 == 0 or text[half] != " ":
        return None
    first, second = unquoted(first), unquoted(second)
    return first[2:] if first[2:] == second[2:] and first[:2] == "a/" else None


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return "\\" + _LETTER.get(code, f"{code:03o}")
