"""From a failing test to a verified change: run, localise, attempt, verify, show.

Reads top to bottom. The repository is only read here; what becomes of a verified change is
`patch`'s and the caller's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toprope.grading import Grader
from toprope.policy.load import Say
from toprope.sandbox import open_sandbox
from toprope.solve.asked import Asked
from toprope.solve.attempts import Proposal, Tell
from toprope.solve.bench import may_leave, open_bench
from toprope.solve.budget import Budget
from toprope.solve.failing import Failing, find_failing
from toprope.solve.patch import diff_of
from toprope.solve.suspects import Suspect, find_suspects
from toprope.solve.verify import verify
from toprope.solve.work import Place, Work, begin
from toprope.terms import Outcome, Verdict

SOLVED = "solved"
Seen = Callable[[Proposal, Verdict], None]


@dataclass(frozen=True)
class Ended:
    """How it ended: "solved", or the name of the limit that was reached.

    `changes` are verified, or empty; `start` are the files they began from. `proposal` and
    `verdict` are those of the change, None without one. `tried` counts how attempts ended:
    by outcome, "unchanged" (the code as it was) or "repeated" (as an earlier one).
    """

    end: str
    failing: Failing
    suspects: Sequence[Suspect]
    start: Mapping[str, str]
    changes: Mapping[str, str]
    proposal: Proposal | None
    verdict: Verdict | None
    tried: Mapping[str, int]
    dialect: str
    shown: str
    budget: Budget
    seconds: float
    isolated: bool

    @property
    def diff(self) -> str:
        """The verified change as a unified diff, or ""."""
        return diff_of(self.start, self.changes)


def solve(asked: Asked, cache: Path, say: Say, tell: Tell, seen: Seen) -> Ended:
    """Put a model to work on the failing tests of a repository.

    `say` hears lasting sentences, `tell` what is going on now, `seen` each judged proposal.

    Raises:
        NothingFails: no test fails.
        TopropeError: the repository, the model or the endpoint cannot be used.
    """
    bench = open_bench(
        asked.folder, cache, asked.python, asked.setup, asked.suite_timeout_s, asked.suite
    )
    if asked.endpoint:
        may_leave(bench, asked.allow_secrets)
    sandbox = open_sandbox(
        workers=asked.jobs, unsafe_local=asked.unsafe_local, environments=bench.environments
    )
    try:
        tell(f"running the tests of {bench.repository.name} twice")
        failing = find_failing(bench, sandbox, asked.test)
        suspects = find_suspects(bench.repository, failing)
        for line in _found(failing, suspects):
            say(line)
        place = Place(bench, failing, suspects, sandbox)
        work = begin(asked, place, say, tell)
        return _attempt(work, place, tell, seen)
    finally:
        sandbox.close()


def _attempt(work: Work, place: Place, tell: Tell, seen: Seen) -> Ended:
    """Take proposals until one is verified or a limit is met."""
    grader = Grader(place.sandbox)
    tried: Counter[str] = Counter()
    solved: Proposal | None = None
    verdict: Verdict | None = None
    known: set[tuple[tuple[str, str], ...]] = set()
    for proposal in work.proposals:
        if proposal.changes is not None:
            real = tuple(sorted(proposal.real.items()))
            if not real or real in known:
                tried["repeated" if real else "unchanged"] += 1
                continue
            known.add(real)
        tell(f"{proposal.name}: running the tests")
        judged = verify(proposal, place.failing, grader)
        tried[str(judged.outcome)] += 1
        seen(proposal, judged)
        if judged.outcome is Outcome.PASSED:
            solved, verdict = proposal, judged
            break
    start = place.bench.repository.tree.files
    return Ended(
        end=SOLVED if solved else work.budget.used_up,
        failing=place.failing,
        suspects=place.suspects,
        start=start,
        changes=solved.real if solved else {},
        proposal=solved,
        verdict=verdict,
        tried=dict(tried),
        dialect=work.dialect,
        shown=work.shown,
        budget=work.budget,
        seconds=work.budget.seconds,
        isolated=place.sandbox.walls.isolated,
    )


def _found(failing: Failing, suspects: Sequence[Suspect]) -> Iterator[str]:
    more = f" and {len(failing.red) - 1} more" if len(failing.red) > 1 else ""
    yield f"fails: {failing.shortest}{more}; {len(failing.green)} tests pass"
    if failing.aside:
        counts = Counter(failing.aside.values()).most_common()
        yield "neither mended nor required: " + ", ".join(f"{n} {word}" for word, n in counts)
    if suspects:
        named = ", ".join(f"{s.site.path}:{s.site.first} {s.site.name}" for s in suspects[:3])
        yield f"these tests point at {len(suspects)} functions, first: {named}"
