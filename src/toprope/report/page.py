"""The report: one self-contained page from a run's ledger. Reads files only, no network."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from toprope.drawing.look import card, columns, legend, page
from toprope.ledger.schema import explained, open_for_reading
from toprope.ledger.store import LEDGER_NAME
from toprope.ledger.summary import summarise
from toprope.report import curves, intervals, series, tables
from toprope.report.heat import heat_map
from toprope.report.plain import plain
from toprope.report.thin import MOST_DEV, MOST_ITERATIONS, MOST_TASKS, merged, thinned
from toprope.report.words import Closing, closing, unsafe
from toprope.terms import State

REPORT_NAME = "report.html"
FORGETTING = (
    "Next tokens of fixed texts, never trained on, that were the likeliest ones; paired by text, "
    "one-sided 95 % bounds in brackets."
)


def write_report(run_dir: Path | str) -> Path:
    """Write `report.html` into a run folder, whole or not at all, and return its path.

    Raises LedgerError if the folder holds no ledger that this version reads.
    """
    run_dir = Path(run_dir)
    ledger = run_dir / LEDGER_NAME
    db = open_for_reading(ledger)
    try:
        with explained(ledger):
            text = plain(render(db))  # as a terminal may be shown it, by less or cat
    finally:
        db.close()
    target = run_dir / REPORT_NAME
    partial = target.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, target)
    return target


def render(db: sqlite3.Connection) -> str:
    """The page as text."""
    summary = summarise(db)
    said = closing(summary)
    words = f'<section class="words">{_words(said)}</section>'
    return page(
        mark="toprope",
        title=str(summary["run"] or "a run"),
        under=_ending(summary),
        main="\n".join([_alarm(summary), words, *_cards(db, summary)]),
        foot="Every number on this page is recomputable from <code>ledger.sqlite</code> in the "
        "same folder; <code>summary.json</code> holds them as data.",
        css=_asset("page.css"),
        js=_asset("page.js"),
    )


def _cards(db: sqlite3.Connection, summary: Mapping[str, Any]) -> list[str]:
    """The cards in two columns, with the heat map across both."""
    iterations = series.iterations(db)
    shown = thinned(iterations)
    left, right, across = [_heldout(summary)], [_cold(summary)], ""
    if iterations:
        left.append(_rates(db, summary, iterations))
        right.append(_states(db, shown))
        across = _heat(db, shown, len(iterations))
    left.append(_thaws(summary))
    right.append(_teacher(summary))
    low_left = [card("Time and compute", tables.compute(summary))]
    if summary["pool"]:
        lead = "Tasks held back at first join when few of the pool's still teach."
        low_left.insert(0, card("Growth of the pool", tables.growths(summary), lead))
    low_right = [
        card("Graduation", tables.graduation(summary)),
        card("Forgetting", tables.forgetting(summary), FORGETTING),
        card("Integrity", tables.integrity(summary) + _walls(summary)),
    ]
    low_left.append(card("This run", tables.identity(summary)))
    return [columns(left, right), across, columns(low_left, low_right)]


def _heldout(summary: Mapping[str, Any]) -> str:
    section = summary["heldout"]
    if not any(section[key] for key, _ in intervals.POINTS):
        return card("Held-out pass rate", "<p>Not measured.</p>")
    marks = legend(
        [(f"dot-{key}", words) for key, words in intervals.POINTS]
        + [("mutator", "blind mutator (no model)")]
    )
    lead = "Tasks never trained on, plain attempts, 95 % intervals over source functions."
    body = marks + intervals.heldout(section) + _numbers(tables.heldout(summary))
    return card("Held-out pass rate", body, lead)


def _cold(summary: Mapping[str, Any]) -> str:
    lead = "Before any help: is there anything that reinforcement learning could learn from?"
    return card("Cold start", tables.cold_start(summary), lead)


def _rates(db: sqlite3.Connection, summary: Mapping[str, Any], iterations: list[int]) -> str:
    training, dev = series.training_rates(db), series.dev_rates(db)
    if not training and not dev:
        return card("Pass rate over iterations", "<p>Not measured.</p>")
    chart = curves.rates(
        training,
        dev,
        (iterations[0], iterations[-1]),
        summary["teacher"]["last_used_iteration"],
    )
    marks = legend([("dot-train", "training draws"), ("dot-dev", "dev, with 95 % interval")])
    lead = "Training draws go to live tasks, so their rate shows the pool as well as the policy."
    if len(iterations) > MOST_ITERATIONS:
        lead += f" Points are pooled over iterations; of dev at most {MOST_DEV} are drawn."
    return card("Pass rate over iterations", marks + chart, lead)


def _states(db: sqlite3.Connection, iterations: list[int]) -> str:
    chart = curves.states(series.state_counts(db, iterations), iterations)
    marks = legend([(f"sw s-{state}", state.value) for state in curves.STACK])
    return card("Task states", marks + chart, "How many training tasks stand where.")


def _teacher(summary: Mapping[str, Any]) -> str:
    windows = summary["teacher"]["share_by_window"]
    drawn = merged(windows)
    chart = curves.teacher_share(drawn) if windows else "<p>No window has ended.</p>"
    reasons = [w["reason"] for w in windows if not w["share"]]
    lead = "Teacher- or reference-derived tokens over all tokens learned from, per window."
    if len(drawn) < len(windows):
        lead += f" {len(windows)} windows as {len(drawn)} bars, each the highest of its windows."
    if reasons:
        told = {curves.QUIET_WORDS.get(r, "no reason was recorded") for r in reasons}
        lead += f" Quiet windows: {escape(', '.join(sorted(told)))}."
    return card("Teacher share", chart + tables.teacher(summary), lead)


def _thaws(summary: Mapping[str, Any]) -> str:
    thawed = summary["thawed"]
    if not thawed["of_cold"]:
        return card("Thaws", "<p>No task was found cold.</p>")
    missing = [
        words
        for key, words in (
            ("unseeded_control", "the never seeded control"),
            ("frozen_base", "the frozen base"),
        )
        if not thawed[key]
    ]
    lead = (
        "Cold tasks that became solvable without help, beside what happens anyway; "
        "95 % intervals over source functions."
    )
    if missing:
        lead += f" Not measured: {' and '.join(missing)}."
    return card("Thaws", intervals.thaws(thawed) + tables.thaws(summary), lead)


def _heat(db: sqlite3.Connection, shown: list[int], iterations: int) -> str:
    moved = series.moved(db)
    rows = series.heat_rows(db, moved[:MOST_TASKS], shown)
    if not rows:
        return ""
    marks = legend(
        [(f"sw s-{state}", state.value) for state in State]
        + [("sw g-seeded", "seeded by the teacher"), ("sw g-control", "never seeded (control)")]
    )
    lead = (
        f"{_some_of(len(rows), len(moved))} training tasks whose state changed"
        f"{', at random,' if len(rows) < len(moved) else ','} one row each, after "
        f"{_some_of(len(shown), iterations)} iterations: those once cold first, "
        "by when they thawed. The strip on the left says what help a task had."
    )
    body = marks + heat_map(rows, shown) + '<p id="heat-told" aria-live="polite">&nbsp;</p>'
    whole = len(rows) == len(moved) and len(shown) == iterations
    return card("Every task, every iteration" if whole else "Tasks over iterations", body, lead)


def _some_of(shown: int, every: int) -> str:
    return f"{every:,}" if shown == every else f"{shown:,} of {every:,}"


def _walls(summary: Mapping[str, Any]) -> str:
    walls = summary["walls"]
    if not isinstance(walls, Mapping):
        return "<p>Which walls stood was not recorded.</p>"
    standing = "".join(f'<li class="up">{escape(str(w))}</li>' for w in walls.get("standing", []))
    missing = "".join(
        f'<li class="down">{escape(str(w))}: missing</li>' for w in walls.get("missing", [])
    )
    return f'<h3>Walls around untrusted code</h3><ul class="walls">{standing}{missing}</ul>'


def _alarm(summary: Mapping[str, Any]) -> str:
    why = unsafe(summary)
    return f'<p class="alarm" role="alert">Unsafe: {escape(why)}.</p>' if why else ""


def _words(said: Closing) -> str:
    shown = "".join(f"<li>{escape(text)}</li>" for text in said.shown) or "<li>Nothing.</li>"
    open_ = "".join(f"<li>{escape(text)}</li>" for text in said.not_shown) or "<li>Nothing.</li>"
    return (
        f'<p class="headline">{escape(said.headline)}</p><div class="claims">'
        f'<div><h2>What this run showed</h2><ul class="shown">{shown}</ul></div>'
        f'<div><h2>What it did not show</h2><ul class="open">{open_}</ul></div></div>'
    )


def _ending(summary: Mapping[str, Any]) -> str:
    status, reason = summary["status"] or "unknown", summary["stop_reason"]
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"{status}{f' ({reason})' if reason else ''} · written {now}"


def _numbers(body: str) -> str:
    return f"<details><summary>The numbers</summary>{body}</details>"


def _asset(name: str) -> str:
    return files("toprope.report").joinpath(name).read_text(encoding="utf-8")
