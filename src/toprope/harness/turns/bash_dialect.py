"""Dialect `bash` over turns: one fenced shell command, with the stop words of mini-swe-agent.

A model trained in it can be put to work in harnesses that speak the same.
"""

from __future__ import annotations

import re

from toprope.harness.turns.actions import Action, Bash, Submit, Unreadable

NAME = "bash"
STOP_WORDS = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
SYSTEM = f"""\
You mend a Python repository with a shell. Answer each turn with your thought in a sentence and
exactly one command in a fenced block:

```bash
sed -n 1,40p calc.py
```

Each command runs in a new shell in the repository's folder. When the work is done:

```bash
echo {STOP_WORDS}
```"""

_FENCE = re.compile(r"```(?:bash|sh|shell|console)?[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)


def read(text: str) -> list[Action]:
    """Return the one command of a message; a fence that is not closed is forgiven."""
    found = _FENCE.findall(text)
    if not found and text.count("```") == 1:
        found = _FENCE.findall(text + "\n```")
    commands = [command.strip() for command in found if command.strip()]
    if len(commands) != 1:
        raise Unreadable(
            f"Exactly one command in a ```bash block is needed, and {len(commands)} were found."
        )
    if STOP_WORDS in commands[0] and commands[0].startswith("echo"):
        return [Submit()]
    return [Bash(commands[0])]
