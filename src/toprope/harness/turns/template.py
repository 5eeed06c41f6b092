"""A chat template over turns: what it puts before the first and between any two, as ids.

An episode's tokens may only be added to, so a template that says earlier turns differently
once later ones follow (dropped reasoning, say) is refused. Knows a tokenizer's interface.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toprope.terms import TopropeError

_TRIED = ("view a.py", "<think>\nwhy\n</think>\n\nview a.py\nsubmit")
_BASE = ({"role": "system", "content": "s"}, {"role": "user", "content": "u"})


class TemplateRewrites(TopropeError):
    """A chat template cannot carry episodes over turns."""


class Template:
    """Encodes each piece of an episode that is not the policy's own, once.

    Raises:
        TemplateRewrites: what was said in a turn does not stay as it was said, or the
            template ends a turn with another token than the tokenizer's end.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer, self.end = tokenizer, int(tokenizer.eos_token_id)
        self._before = len(self._render(_BASE)) + len(_TRIED[0])
        special = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
        self._special = sorted((t for t in special if len(t) > 1), key=len, reverse=True)
        for answer in _TRIED:
            self._require_appending(answer)
        if self._encode(self._rest("seen"))[:1] != (self.end,):
            raise TemplateRewrites(
                "the chat template does not end a turn with the tokenizer's end token, so a turn "
                "that was sampled cannot be gone on from; take a model made for chat"
            )

    def opening(self, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        """Return the ids of an episode's prompt, up to where the first turn begins."""
        return self._encode(self._render([self._plain(one) for one in messages]))

    def between(self, said: Sequence[int], observation: str) -> tuple[int, ...]:
        """Return the ids from the end of a turn to the begin of the next.

        `said` are the turn's own ids: its end is theirs if they have it, else observed.
        """
        ids = self._encode(self._rest(self._disarmed(observation)))
        return ids[1:] if self.ended(said) else ids

    def answer(self, text: str) -> tuple[int, ...]:
        """Return a demonstrated turn's own ids, with its end."""
        return (*self._encode(self._disarmed(text)), self.end)

    def ended(self, ids: Sequence[int]) -> bool:
        """Return whether a turn's own ids come to an end, or were cut off."""
        return tuple(ids[-1:]) == (self.end,)

    def text(self, ids: Sequence[int]) -> str:
        """Return what own ids spell, to be read as actions; they are not encoded again."""
        said: str = self.tokenizer.decode(list(ids), skip_special_tokens=True)
        return said

    def _plain(self, message: Mapping[str, str]) -> dict[str, str]:
        return {"role": message["role"], "content": self._disarmed(message["content"])}

    def _disarmed(self, text: str) -> str:
        """Take what the tokenizer would read as its own signs out of foreign text."""
        for sign in self._special:
            text = text.replace(sign, f"{sign[0]} {sign[1:]}")
        return text

    def _rest(self, observation: str) -> str:
        """What follows an answer: its end, the observation, and the next turn's begin."""
        talk = [*_BASE, _said(_TRIED[0]), _shown(observation)]
        return self._render(talk)[self._before :]

    def _require_appending(self, answer: str) -> None:
        talk: list[Mapping[str, str]] = list(_BASE)
        before = self._render(talk)
        for seen in ("one", "two"):
            talk += [_said(answer), _shown(seen)]
            now = self._render(talk)
            if not now.startswith(before + answer):
                raise TemplateRewrites(
                    "the chat template says earlier turns differently once later ones follow, so "
                    "an episode over turns would not be what the model sampled; take a model "
                    "whose template only appends, or a dialect of one answer"
                )
            before = now

    def _render(self, talk: Sequence[Mapping[str, str]]) -> str:
        text: str = self.tokenizer.apply_chat_template(
            list(talk), tokenize=False, add_generation_prompt=True
        )
        return text

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))


def _said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def _shown(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}
