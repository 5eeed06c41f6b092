"""Writes the output of the commands in docs/planner.md below them.

    python scripts/planner_docs.py

Each block begins with `$ toprope plan ...`; tests/test_plan_docs.py checks that the output still
is what the command prints.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from typer.testing import CliRunner

from toprope.cli.plan import app

PAGE = Path(__file__).parents[1] / "docs" / "planner.md"
BLOCK = re.compile(r"```\n\$ toprope plan ([^\n]+)\n(.*?)```\n", re.DOTALL)


def printed(words: str) -> str:
    """What a command of the planner prints."""
    result = CliRunner().invoke(app, shlex.split(words))
    if result.exit_code:
        raise SystemExit(f"toprope plan {words}: {result.output}{result.exception}")
    return result.output


def main() -> None:
    text = PAGE.read_text("utf-8")
    fresh = BLOCK.sub(lambda m: f"```\n$ toprope plan {m[1]}\n{printed(m[1])}```\n", text)
    PAGE.write_text(fresh, "utf-8")


if __name__ == "__main__":
    main()
