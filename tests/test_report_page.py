"""The page: self-contained, honest about gaps, and drawn from the ledger it stands beside."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from invented_run import invent_run
from toprope.drawing.svg import Frame, ceiling, ticks, whole_ticks
from toprope.ledger.rows import TaskRow
from toprope.ledger.schema import LedgerError
from toprope.ledger.states import Transition
from toprope.ledger.store import Ledger
from toprope.report.heat import heat_map
from toprope.report.page import write_report
from toprope.report.series import HeatRow, heat_rows, state_counts
from toprope.terms import Split, State

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Balance(HTMLParser):
    """Checks that tags close in order, and collects what is referred to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.references += [v for k, v in attrs if k in ("src", "href", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return invent_run(tmp_path_factory.mktemp("report") / "run", isolated=False)


@pytest.fixture(scope="module")
def page(run):
    return write_report(run).read_text(encoding="utf-8")


def test_the_page_is_well_formed_and_refers_to_nothing_outside(page):
    checked = Balance()
    checked.feed(page)
    assert checked.open == []
    assert checked.references == []
    assert not re.search(r"https?://|@import|url\(", page)


def test_every_part_is_there(page):
    for title in (
        *("What this run showed", "What it did not show", "Held-out pass rate", "Cold start"),
        *("Pass rate over iterations", "Task states", "Teacher share", "Thaws"),
        *("Every task, every iteration", "Time and compute", "Integrity", "Graduation"),
    ):
        assert f"<h2>{title}</h2>" in page
    assert page.count('role="img" aria-label="') == 6


def test_walls_that_were_down_are_a_red_line(page, tmp_path):
    assert '<p class="alarm" role="alert">Unsafe: untrusted code ran without isolation' in page
    safe = write_report(invent_run(tmp_path / "safe", iterations=3)).read_text(encoding="utf-8")
    assert 'class="alarm"' not in safe


def test_a_run_that_has_only_begun_is_reported(tmp_path):
    with Ledger.open(tmp_path / "ledger.sqlite", create=True) as ledger:
        ledger.register_tasks([TaskRow("t", Split.TRAIN, None, "f", 0)])
        page = write_report(tmp_path).read_text(encoding="utf-8")
        assert "Held-out tasks were not measured" in page
        ledger.commit(0, 0, "step-000000")
        assert "Task states" in write_report(tmp_path).read_text(encoding="utf-8")


def test_names_cannot_break_out_of_the_page(tmp_path):
    name = "</script><b onload='x'>"
    with Ledger.open(tmp_path / "ledger.sqlite", create=True) as ledger:
        ledger.register_tasks([TaskRow(name, Split.TRAIN, None, "f", 0)])
        ledger.record_transitions(0, [Transition(name, State.UNSEEN, State.COLD, name)])
        ledger.commit(0, 0, "step-000000")
        ledger.record_facts({"run": name, "student": name, "stop_reason": name})
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "<b onload" not in page.replace("<\\/script><b onload", "")
    checked = Balance()
    checked.feed(page)
    assert checked.open == []


def test_no_ledger_is_an_error_and_leaves_no_page(tmp_path):
    with pytest.raises(LedgerError, match="does not exist"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_states_over_iterations_follow_the_transitions(tmp_path):
    with Ledger.open(tmp_path / "ledger.sqlite", create=True) as ledger:
        ledger.register_tasks(TaskRow(t, Split.TRAIN, None, "f", 0) for t in "abc")
        ledger.record_transitions(0, [Transition(t, State.UNSEEN, State.COLD, "") for t in "ab"])
        ledger.commit(0, 0, "s")
        ledger.commit(1, 1, "s")
        ledger.record_transitions(2, [Transition("b", State.COLD, State.LIVE, "")])
        ledger.commit(2, 2, "s")
        counts = state_counts(ledger.db)
        assert counts[State.COLD] == [2, 2, 1]
        assert counts[State.LIVE] == [0, 0, 1]
        assert counts[State.UNSEEN] == [1, 1, 1]
        rows = heat_rows(ledger.db)
    assert [(row.task_id, row.states[-1]) for row in rows] == [("b", State.LIVE), ("a", State.COLD)]


def test_the_heat_map_draws_runs_of_a_state_as_one_cell():
    rows = [
        HeatRow("a", (State.COLD, State.COLD, State.LIVE), never_seeded=False, seeded=True),
        HeatRow("b", (State.COLD, State.LIVE, State.COLD), never_seeded=True, seeded=False),
    ]
    drawn = heat_map(rows, [0, 1, 5])
    assert '<path class="s-cold" d="M0 0h2v1h-2zM0 1h1v1h-1zM2 1h1v1h-1z"/>' in drawn
    assert '<path class="s-live" d="M2 0h1v1h-1zM1 1h1v1h-1z"/>' in drawn
    assert '<rect class="g-seeded" x="0" y="0"' in drawn
    assert '<rect class="g-control" x="0" y="1"' in drawn
    assert '["a","ccl","g-seeded"]' in drawn


def test_a_frame_puts_data_where_it_belongs():
    frame = Frame(100, x=(0, 10), y=(0, 1), left=20, right=0, top=10, bottom=30)
    assert (frame.px(0), frame.px(10), frame.px(5)) == (20, 520, 270)
    assert (frame.py(0), frame.py(1), frame.py(0.5)) == (70, 10, 40)


def test_ticks_are_round_numbers_inside_the_range():
    assert ticks(0, 1, 5) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert ticks(0, 600) == [0, 200, 400, 600]
    assert whole_ticks(0, 3) == [0, 1, 2, 3]
    assert whole_ticks(7, 7) == [7]
    assert (ceiling(0.31), ceiling(0.0), ceiling(1.0)) == (0.4, 0.1, 1.0)
