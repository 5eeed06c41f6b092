"""Looks for secrets before anything of a repository reaches a task."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from toprope.terms import TopropeError

_FILES = ("id_rsa", "id_ed25519", "id_ecdsa", ".env", ".netrc", ".pypirc", "*.p12", "*.pfx",
          "*.keystore", "credentials.json", "*.kdbx")  # fmt: skip
_TEXTS = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\n[A-Za-z0-9+/=\n]{60}"),
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{60,})"),
    "a GitLab token": re.compile(r"\bglpat-[A-Za-z0-9_-]{20}\b"),
    "a Slack token": re.compile(r"\bxox[baprs]-[A-Za-z0-9-]{20,}"),
    "an API key": re.compile(r"\bsk-(?:[a-z]+-)?[A-Za-z0-9_-]{32,}"),
    "a Google API key": re.compile(r"\bAIza[A-Za-z0-9_-]{35}\b"),
    "a PyPI token": re.compile(r"\bpypi-[A-Za-z0-9_-]{60,}"),
    # Hosts that are reserved for examples have no passwords.
    "a password in an address": re.compile(
        r"\b[a-z]+://[^/\s:@'\"{}<>$]+:[^/\s:@'\"{}<>$]{8,}@"
        r"(?!(?:[\w-]+\.)*(?:example(?:\.(?:com|net|org))?|test|invalid|localhost)\b(?![.-]\w))"
    ),
}


class SecretFound(TopropeError):
    """Something that looks like a secret lies in the repository."""


def refuse_secrets(files: Mapping[str, str], allowed: Collection[str] = ()) -> None:
    """Raise `SecretFound`, naming files and lines but no secret; `allowed` paths are trusted."""
    found = [place for path in files if path not in allowed for place in _found(path, files[path])]
    if found:
        shown = "\n  ".join(found[:10]) + ("\n  ..." if len(found) > 10 else "")
        raise SecretFound(
            f"what looks like secrets would reach the tasks:\n  {shown}\n"
            "remove them, let git ignore the files, or pass --allow-secret PATH for each file "
            "that holds none"
        )


def _found(path: str, text: str) -> Iterator[str]:
    name = PurePosixPath(path).name
    if any(fnmatchcase(name, pattern) for pattern in _FILES):
        yield f"{path}: a file of this name usually holds secrets"
        return
    for what, pattern in _TEXTS.items():
        for match in pattern.finditer(text):
            yield f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {what}"
