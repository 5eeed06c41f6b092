"""docs/planner.md shows what the commands print, and the verbs answer mistakes."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from toprope.cli.plan import app
from toprope.plan.chips import UnknownChip
from toprope.plan.workload import WorkloadError

PAGE = Path(__file__).parents[1] / "docs" / "planner.md"
BLOCKS = re.findall(
    r"```\n\$ toprope plan ([^\n]+)\n(.*?)```\n", PAGE.read_text("utf-8"), re.DOTALL
)


def ran(*words: str) -> str:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize(("words", "shown"), BLOCKS, ids=[words for words, _ in BLOCKS])
def test_the_page_shows_what_the_command_prints(words, shown):
    """Made anew by scripts/planner_docs.py."""
    assert ran(*shlex.split(words)) == shown


def test_the_page_has_its_examples():
    assert {words.split()[0] for words, _ in BLOCKS} == {"equal", "fit", "run", "claims"}


@pytest.mark.parametrize(
    "words",
    [
        ["equal", "--fast", "16 x B200", "--slow", "h100", "-w", "serve"],
        ["run", "--on", "64 x H100"],
        ["fit", "--on", "8 x H100"],
        ["claims", "h800"],
        ["chips"],
        ["models"],
        ["workloads"],
    ],
    ids=lambda words: words[0],
)
def test_answers_are_also_data(words):
    assert json.loads(ran(*words, "--json"))


def test_the_data_are_base_units_with_three_numbers():
    found = json.loads(ran("run", "--on", "64 x H100", "-w", "sft", "--json"))
    assert found["seconds"]["min"] <= found["seconds"]["typ"] <= found["seconds"]["max"]
    assert found["joules"]["typ"] == pytest.approx(64 * 1730 * found["seconds"]["typ"])
    assert found["phases"][0]["binds"] == "FLOPs"


def test_a_page_stands_alone_and_draws_every_comparison(tmp_path):
    page = tmp_path / "page.html"
    ran("equal", "--fast", "64 x H100", "--slow", "910C", "--html", str(page))
    text = page.read_text("utf-8")
    assert not re.search(r"src=|href=|url\(|@import|fetch\(", text)
    assert "default-src 'none'" in text
    for drawn in ("Chips needed per phase", "Time by resource", "Roofline", "Cost against time"):
        assert f'aria-label="{drawn}' in text
    assert "NaN" not in text
    assert "$" + "title" not in text


def test_a_page_is_drawn_where_no_number_is_enough_and_nobody_tells_a_price(tmp_path):
    page = tmp_path / "page.html"
    ran("equal", "--fast", "256 x B200", "--slow", "950PR", "--html", str(page))
    assert "no number" in page.read_text("utf-8")


def test_claims_are_drawn_with_their_verdicts(tmp_path):
    page = tmp_path / "claims.html"
    ran("claims", "h800", "electricity", "--html", str(page))
    text = page.read_text("utf-8")
    assert text.count('class="verdict') == 2


def test_mistakes_are_answered_with_the_nearest_name(tmp_path):
    with pytest.raises(UnknownChip, match="did you mean 'H100'"):
        ran("run", "--on", "8 x H10O")
    with pytest.raises(WorkloadError, match="field=value"):
        ran("run", "--on", "8 x H100", "--set", "episodes")
    with pytest.raises(WorkloadError, match="cannot be written"):
        ran("claims", "h800", "--html", str(tmp_path / "none" / "page.html"))


@pytest.mark.parametrize(
    "words",
    [
        ("equal", "--fast", "64 x GB300", "--slow", "RTX 4090", "-w", "rl-32b"),
        ("equal", "--fast", "8 x H100", "--slow", "950DT"),
        ("run", "--on", "512 x 910B", "-w", "pretrain-671b"),
        ("fit", "--on", "8 x H100", "-w", "rl-32b"),
        ("chips",),
        ("claims",),
        ("validate",),
        ("workloads",),
    ],
    ids=" ".join,
)
def test_answers_fit_a_terminal_of_80_columns(words):
    wide = [line for line in ran(*words).splitlines() if len(line) > 80]
    assert all("://" in line for line in wide)  # an address is never broken


def test_one_chip_is_told_with_the_source_of_every_figure():
    told = ran("chips", "910C")
    assert "BF16 dense: 780 TFLOP/s (752–800) [reported]" in told
    assert told.count("http") >= 8
    assert "rent: nobody tells" in told
