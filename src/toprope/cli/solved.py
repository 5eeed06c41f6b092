"""What `toprope solve` prints of an attempt and at its end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from toprope.cli.terminal import echo

if TYPE_CHECKING:
    from toprope.solve import Ended
    from toprope.solve.attempts import Proposal
    from toprope.terms import Verdict

_SHOWN = 3  # added lines of an attempt
_SAID = 6  # last lines of what a model said last where it changed nothing


def print_proposal(proposal: Proposal, verdict: Verdict) -> None:
    """What an attempt wrote and how the tests ended with it, on standard error."""
    from toprope.solve.patch import added

    echo(f"  {proposal.name}: {verdict.outcome}, {verdict.why}", err=True)
    for line in added(proposal)[:_SHOWN]:
        echo(f"    + {line}", err=True)
    if proposal.changes is None:
        for line in proposal.text.split("\n")[-_SAID:]:
            echo(f"    | {line}", err=True)
    if proposal.ignored:
        echo(f"    its changes to {', '.join(proposal.ignored)} do not count", err=True)


def print_ended(ended: Ended) -> None:
    """The diff and the tests' verdict, or what was tried; and what it took."""
    if ended.verdict and ended.proposal:
        echo(ended.diff.rstrip("\n"))
        echo(f"solved by {ended.proposal.name}: {ended.verdict.why}")
    else:
        tried = ", ".join(f"{count} {word}" for word, count in ended.tried.items())
        echo(f"not solved, the {ended.end} are used up ({tried or 'no attempt'})")
        echo("what the model was shown first:")
        echo("\n".join(f"  {line}" for line in ended.shown.split("\n")))
    budget = ended.budget
    typer.echo(
        f"{budget.attempts} attempts, {budget.prompt_tokens} prompt and {budget.sampled_tokens} "
        f"sampled tokens, {ended.seconds:.0f} s"
    )


def as_json_text(ended: Ended) -> str:
    """The same as JSON; `changes` is the diff."""
    failing, budget = ended.failing, ended.budget
    return json.dumps(
        {
            "end": ended.end,
            "dialect": ended.dialect,
            "shown": ended.shown,
            "failing": list(failing.red),
            "passing": len(failing.green),
            "aside": dict(failing.aside),
            "suspects": [
                {
                    "path": s.site.path,
                    "function": s.site.name,
                    "line": s.site.first,
                    "score": round(s.score, 4),
                }
                for s in ended.suspects
            ],
            "tried": dict(ended.tried),
            "verdict": ended.verdict.why if ended.verdict else None,
            "diff": ended.diff or None,
            "attempts": budget.attempts,
            "prompt_tokens": budget.prompt_tokens,
            "sampled_tokens": budget.sampled_tokens,
            "seconds": round(ended.seconds, 3),
            "isolated": ended.isolated,
        },
        indent=1,
    )
