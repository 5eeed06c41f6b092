"""Whether the student forgot: the forgetting suite at the frozen base and later, text by text.

Reads notes through an open connection. A text's value is the share of its tokens that were
the policy's likeliest next token, in [0, 1]; texts are paired and resampled whole.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from toprope.ledger import queries
from toprope.ledger.statistics import Estimate, paired_cluster_bootstrap

NOTE = "forgetting"
MOST_LOST = 0.02
# Percentile bounds over fewer clusters are too narrow (Cameron, Gelbach and Miller 2008,
# Rev. Econ. Stat. 90:414).
FEWEST_TEXTS = 20
FEWEST_OF_KIND = 8
ONE_SIDED = 0.9  # the two-sided level whose ends are one-sided 95 % bounds

Texts = Mapping[str, Sequence[Any]]  # by id: kind, tokens foreseen, tokens, nats


def measured(db: sqlite3.Connection) -> dict[str, Any] | None:
    """Return the newest look at the suite against the base; None where none was drawn.

    `difference` is the mean over texts, with one-sided 95 % bounds `lower95` and `upper95`;
    `by_kind` has the means of each kind of text, `looks` the difference at every look. What
    needs the base is None where the base was not drawn on this suite.
    """
    notes = queries.notes(db, NOTE)
    if not notes:
        return None
    iteration, newest = notes[-1]
    base = _base(notes, newest["suite"])
    now = newest["texts"]
    return {
        "suite": newest["suite"],
        "iteration": iteration,
        "version": newest["version"],
        "texts": len(now),
        "tokens": sum(row[2] for row in now.values()),
        "before": None if base is None else _mean(base),
        "after": _mean(now),
        "nats_before": None if base is None else _nats(base),
        "nats_after": _nats(now),
        **_difference(base, now),
        "by_kind": None if base is None else _by_kind(base, now),
        "looks": [
            {"iteration": at, "version": look["version"], **_difference(base, look["texts"])}
            for at, look in notes[1:]
            if look["suite"] == newest["suite"]
        ],
    }


def judge(found: Mapping[str, Any] | None, version: int | None) -> tuple[bool | None, str]:
    """Return whether the suite is not worse by .02 at policy `version`, and why.

    True only with the lower bound above -.02 and no kind of text shown to be worse by .02,
    which the others' mean could hide; None, not False, where the suite is so small that its
    own noise hides .02.
    """
    if found is None:
        return None, "no forgetting suite was drawn"
    if found["difference"] is None:
        return None, "the frozen base was not drawn on this forgetting suite"
    if version is not None and found["version"] != version:
        return None, (
            f"the forgetting suite was last drawn at policy version {found['version']}, the run "
            f"has {version}"
        )
    told, lost = _told(found), _lost_kinds(found["by_kind"])
    if lost:
        return False, f"{told}; lost are {', '.join(lost)}"
    mean, low, high = found["difference"], found["lower95"], found["upper95"]
    if found["texts"] < FEWEST_TEXTS:
        return None, f"{told}; fewer than {FEWEST_TEXTS} texts are too few to tell"
    if low <= -MOST_LOST < high and mean - low > MOST_LOST:
        return None, f"{told}: a suite of this size cannot tell a loss of {100 * MOST_LOST:.0f}"
    return low > -MOST_LOST, f"{told}; above {-100 * MOST_LOST:.0f} is asked"


def _told(found: Mapping[str, Any]) -> str:
    return (
        f"of {found['tokens']} tokens in {found['texts']} fixed texts the share foreseen has "
        f"changed by {100 * found['difference']:+.2f} points since the frozen base, at least "
        f"{100 * found['lower95']:+.2f} at 95 %"
    )


def _lost_kinds(by_kind: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The kinds of text whose loss is shown to be .02 or more, with it."""
    return [
        f"{kind} ({100 * one['difference']:+.1f}, at most {100 * one['upper95']:+.1f})"
        for kind, one in by_kind.items()
        if one["texts"] >= FEWEST_OF_KIND and one["upper95"] <= -MOST_LOST
    ]


def _base(notes: Sequence[tuple[int, Any]], suite: str) -> Texts | None:
    """The texts at policy version 0, the frozen base, of the same suite."""
    _, first = notes[0]
    same: bool = first["version"] == 0 and first["suite"] == suite
    return first["texts"] if same else None


def _difference(base: Texts | None, now: Texts) -> dict[str, float | None]:
    if base is None or not base.keys() & now.keys():
        return {"difference": None, "lower95": None, "upper95": None}
    found = _paired(base, now)
    return {"difference": found.mean, "lower95": found.low, "upper95": found.high}


def _paired(base: Texts, now: Texts) -> Estimate:
    return paired_cluster_bootstrap(
        _shares(base), _shares(now), {text: text for text in base}, level=ONE_SIDED
    )


def _by_kind(base: Texts, now: Texts) -> dict[str, dict[str, Any]]:
    kinds = dict.fromkeys(str(row[0]) for row in base.values())
    found = {}
    for kind in kinds:
        was = {text: row for text, row in base.items() if row[0] == kind}
        later = {text: row for text, row in now.items() if text in was}
        found[kind] = {
            "texts": len(was),
            "before": _mean(was),
            "after": _mean(later),
            **_difference(was, later),
        }
    return found


def _shares(texts: Texts) -> dict[str, float]:
    return {text: row[1] / row[2] for text, row in texts.items()}


def _mean(texts: Texts) -> float | None:
    shares = _shares(texts).values()
    return sum(shares) / len(shares) if shares else None


def _nats(texts: Texts) -> float | None:
    """Mean log-likelihood of a token, in nats, over all tokens; None where one is no number."""
    each = [row[3] for row in texts.values()]
    if not each or None in each:
        return None
    return float(sum(each) / sum(row[2] for row in texts.values()))
