"""Whether a proposal mends the tests: the failing ones first, then the whole suite, pristine.

Each run is in a fresh sandbox, over the repository as it was plus the proposal's changes to
code; the tests are the user's, whatever an attempt did to its own copy of them.
"""

from __future__ import annotations

from toprope.grading import Grader
from toprope.solve.attempts import Proposal
from toprope.solve.case import required
from toprope.solve.failing import Failing
from toprope.terms import Outcome, Verdict


def verify(proposal: Proposal, failing: Failing, grader: Grader) -> Verdict:
    """Return the verdict on a proposal: `PASSED` if the whole suite is as it should be.

    A suite that could not be run for reasons of ours is `INFRA`, after retries.
    """
    if proposal.changes is None:
        return Verdict(Outcome.MALFORMED, 0.0, proposal.why)
    verdict = Verdict(Outcome.INFRA, 0.0, "")
    for whole in (False, True):
        task = required(proposal.task, failing, whole=whole)
        verdict = grader.grade_many([(proposal.name, task, proposal.real)], fresh=whole)[0]
        if verdict.outcome is not Outcome.PASSED:
            break
    return verdict
