"""What the documents say can be typed, set and opened: it parses, exists, and is all there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import typer

from toprope.cli.main import VERBS, build_app
from toprope.climb.arms.entry import read_entry
from toprope.climb.config import ClimbConfig, load_config
from toprope.plan.chipfile import load_chips
from toprope.plan.workload import load_workload
from toprope.tasks import load_environments

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "AGENTS.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"^(?:\$ )?(toprope [^\n#]+)|`(toprope [^`\n]+)`", re.MULTILINE)


def commands(path: Path) -> list[str]:
    """The complete command lines of a page; one that is only a verb's name is no line."""
    found = [block or inline for block, inline in COMMAND.findall(path.read_text("utf-8"))]
    return [line.strip() for line in found if "|" not in line]


def parse(line: str) -> None:
    """Raise what a user would be told, without running anything."""
    words = shlex.split(line)[1:]
    command: Any = typer.main.get_command(build_app(words[0]))
    context = None
    while isinstance(command, click.Group) or hasattr(command, "commands"):
        name, *words = words
        assert name in command.commands, f"{line}: there is no {name}"
        command = command.commands[name]
        if not words and hasattr(command, "commands"):
            return
    if words:
        context = command.make_context(command.name, words)
    assert context is None or not context.args


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_in_the_documents_parses(page):
    for line in commands(page):
        parse(line)


def test_the_readme_names_commands_of_every_verb():
    named = {line.split()[1] for page in PAGES for line in commands(page)}
    assert named >= set(VERBS)


def test_a_command_that_does_not_parse_is_noticed():
    for line in ("toprope nonsense", "toprope tasks bake x", "toprope eval --nonsense"):
        with pytest.raises((AssertionError, Exception), match=r"nonsense|bake"):
            parse(line)


def test_every_verb_that_a_message_tells_to_run_exists():
    told = set()
    for path in (ROOT / "src" / "toprope").rglob("*.py"):
        told |= set(re.findall(r"`toprope ([a-z]+(?: [a-z]+)?)[^`]*`", path.read_text("utf-8")))
    assert "tasks list" in told
    for words in told:
        verb, _, under = words.partition(" ")
        assert verb in VERBS, words
        command: Any = typer.main.get_command(build_app(verb)).commands[verb]  # type: ignore[attr-defined]
        if under and hasattr(command, "commands"):
            assert under in command.commands, words


def test_every_setting_is_documented_and_no_other():
    known = set()
    for name, value in ClimbConfig().model_dump().items():
        known |= {f"{name}.{key}" for key in value} if isinstance(value, dict) else {name}
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    assert set(re.findall(r"^\| `([a-z_.]+)` \|", page, re.MULTILINE)) == known


def test_the_recipes_in_the_documents_are_valid(tmp_path):
    found = [
        (page, text)
        for page in PAGES
        for text in re.findall(r"```toml\n(.*?)```", page.read_text(), re.S)
    ]
    assert found
    for page, text in found:
        written = tmp_path / "environment.toml"
        written.write_text(text)
        if page.name == "environments.md":
            assert load_environments(written)
        elif page.name == "planner.md":
            assert load_chips([written]) if "[chip." in text else load_workload(str(written))
        elif page.name == "arms.md":
            assert read_entry(written).arms
        else:
            load_config(written)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere_and_make_targets_exist(page):
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (page.parent / target).exists(), target
    made = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE):
        assert f"\n{target}:" in made, target
