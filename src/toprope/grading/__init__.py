"""What an attempt is worth, decided out of the attempt's reach.

Knows tasks and sandboxes, never a model.
"""

from toprope.grading.admission import Admission, admit
from toprope.grading.batch import Batch
from toprope.grading.calls import canonical, comparable, observe_calls
from toprope.grading.grader import Grader
from toprope.grading.prove import Fault, Proof, prove, with_runner
from toprope.grading.prove_many import prove_many
from toprope.grading.suites import SuiteRun, run_suite
from toprope.grading.verdict import ALARM, UngradableTask, grade

__all__ = [
    "ALARM",
    "Admission",
    "Batch",
    "Fault",
    "Grader",
    "Proof",
    "SuiteRun",
    "UngradableTask",
    "admit",
    "canonical",
    "comparable",
    "grade",
    "observe_calls",
    "prove",
    "prove_many",
    "run_suite",
    "with_runner",
]
