"""The programs of a Harbor task folder as text: Dockerfile, test.sh, solve.sh and their parts.

Knows what plain Harbor expects (`/work`, `/tests`, `/solution`, `/logs/verifier`). It must
not know how a folder is written or read.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from toprope.terms import Suite, Task

PYTHON = "3.11"  # outcomes of calls were recorded by this version
CALLS_S = 90.0  # for all calls of a task; one of them has 2 seconds
_PROGRAMS = Path(__file__).with_name("verifier")

_TEST = """\
#!/bin/bash
# Written by toprope. Writes 1 to reward.txt if the required tests pass, else 0. The folders
# are Harbor's unless TOPROPE_WORK and TOPROPE_LOGS name others.
set -u
tests="$(cd "$(dirname "$0")" && pwd)"
work="${TOPROPE_WORK:-/work}"
logs="${TOPROPE_LOGS:-/logs/verifier}"
python="${TOPROPE_PYTHON:-python}"
mkdir -p "$logs"
echo 0 > "$logs/reward.txt"
if [ -d "$tests/files" ]; then cp -R "$tests/files/." "$work/"; fi
cd "$work" || exit 1
export PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1
"""

_RUN_CALLS = """\
if timeout -k 5 {seconds} "$python" "$tests/check_calls.py"; then echo 1 > "$logs/reward.txt"; fi
"""

_RUN_SUITE = """\
export PYTHONPATH="{imports}:$tests"
TOPROPE_VERDICT="$(mktemp)"
export TOPROPE_VERDICT
ids=(
{ids}
)
# -P: nothing is on the import path but what the task says.
timeout -k 5 {seconds} "$python" -P -m pytest -q --rootdir "$work" -o addopts= \\
  -p no:cacheprovider -p required_ids {args}"${{ids[@]}}"
if [ "$(cat "$TOPROPE_VERDICT")" = passed ]; then echo 1 > "$logs/reward.txt"; fi
rm -f "$TOPROPE_VERDICT"
"""

SOLVE = """\
#!/bin/bash
# Written by toprope: puts the files of the reference fix in their place.
set -eu
solution="$(cd "$(dirname "$0")" && pwd)"
if [ -d "$solution/files" ]; then cp -R "$solution/files/." "${TOPROPE_WORK:-/work}/"; fi
"""


def seconds(task: Task) -> float:
    """Return how long the tests of `task` may take, in seconds of wall time."""
    return task.suite.timeout_s if task.suite else CALLS_S


def dockerfile(task: Task) -> str:
    """Return a Dockerfile that puts the starting state into /work."""
    lines = [f"FROM python:{PYTHON}-slim"]
    if task.suite and task.suite.environment:
        named = json.dumps(task.suite.environment)
        lines.append(f"# Install the packages of the environment {named} here:")
        lines.append("# a task names its environment, but does not hold it.")
    if task.suite:
        lines.append("RUN pip install --no-cache-dir 'pytest>=9,<10'")
    return "\n".join([*lines, "WORKDIR /work", "COPY repo/ /work/"]) + "\n"


def verifier_files(task: Task, runner: str) -> dict[str, str]:
    """Return what the `tests` folder holds besides the suite's own files.

    `runner` is the program text that makes calls and reports them (`grading/runner.py`).
    """
    required = [*task.fail_to_pass, *task.pass_to_pass]
    if task.suite:
        return {
            "test.sh": _TEST + _suite_part(task.suite, required, seconds(task)),
            "required_ids.py": _program("required_ids.py"),
            "ids.json": json.dumps(required, indent=1) + "\n",
        }
    calls = [{"id": call.id, "args": call.args, "expect": call.expect} for call in task.calls]
    told = {"entry": task.entry, "required": required, "calls": calls}
    return {
        "test.sh": _TEST + _RUN_CALLS.format(seconds=CALLS_S),
        "check_calls.py": _program("check_calls.py"),
        "runner.py": runner,
        "calls.json": json.dumps(told, indent=1) + "\n",
    }


def _suite_part(suite: Suite, required: list[str], limit: float) -> str:
    folders = [f"$work/{_in_quotes(name)}" if name else "$work" for name in suite.imports]
    return _RUN_SUITE.format(
        imports=":".join(folders),
        ids="\n".join(f"  {shlex.quote(name)}" for name in required),
        seconds=limit,
        args="".join(f"{shlex.quote(word)} " for word in suite.args),
    )


def _in_quotes(text: str) -> str:
    """Spell `text` so that it stands for itself between double quotes of a shell."""
    return "".join(f"\\{letter}" if letter in '\\"$`' else letter for letter in text)


def _program(name: str) -> str:
    return (_PROGRAMS / name).read_text("utf-8")
