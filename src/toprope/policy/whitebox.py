"""A teacher whose weights are here: the model behind rung 7, and what it must have in common.

Its distributions are compared with the student's id by id, so both need one vocabulary.
It must not know what is learned from it.
"""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import Any

from toprope.policy.load import load_model, load_tokenizer
from toprope.policy.supported import require_supported
from toprope.terms import TopropeError

DTYPE = "bfloat16"


class OtherTokenizer(TopropeError):
    """A white-box teacher that reads other tokens than the student."""


def load_whitebox(folder: Path, tokenizer: Any, *, device: str = "cpu") -> Any:
    """Return the model of a folder, frozen, in bf16 and in eval mode.

    Raises:
        OtherTokenizer: its tokens are not those of `tokenizer`, the student's.
        PartialModel, UnsupportedModel, NoSuchDevice: as for a student.
    """
    require_same_tokens(tokenizer, load_tokenizer(folder), folder.name)
    model = load_model(folder, dtype=DTYPE, device=device)
    require_supported(model)
    return model.requires_grad_(False)


def require_same_tokens(student: Any, teacher: Any, name: str) -> None:
    """Raise `OtherTokenizer` unless every id stands for the same token, the end included."""
    ours, theirs = (_tokens(one) for one in (student, teacher))
    told = "choose a teacher of the student's own family, or take 7 out of ladder.rungs"
    for at, (mine, other) in enumerate(zip_longest(ours, theirs)):
        if mine != other:
            raise OtherTokenizer(
                f"the white-box teacher {name} has another tokenizer than the student: "
                f"id {at} is {_said(mine)} for the student and {_said(other)} for it; {told}"
            )
    if student.eos_token_id != teacher.eos_token_id:
        raise OtherTokenizer(
            f"the white-box teacher {name} ends an answer with token {teacher.eos_token!r} and "
            f"the student with {student.eos_token!r}; {told}"
        )


def _tokens(tokenizer: Any) -> list[str | None]:
    """Return the token of every id, from 0 to the highest."""
    by_id = {at: token for token, at in tokenizer.get_vocab().items()}
    return [by_id.get(at) for at in range(max(by_id) + 1)]


def _said(token: str | None) -> str:
    return "no token" if token is None else repr(token)
