"""The heat map: a row per task, a column per iteration, a colour per state. Data in, HTML out.

Hundreds of rows become one path per state, so that the page stays small; the rows are
also given as data for hovering.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from toprope.report.series import HeatRow
from toprope.terms import State

CODES = dict(zip(State, "ubclmp", strict=True))


def heat_map(rows: Sequence[HeatRow], iterations: Sequence[int]) -> str:
    """The map with a gutter that says which tasks were seeded and which never would be."""
    ended_well = sum(row.states[-1] in (State.LIVE, State.MASTERED) for row in rows)
    label = (
        f"{len(rows)} tasks over {len(iterations)} iterations by state; "
        f"{sum(State.COLD in row.states for row in rows)} were cold at some time, "
        f"{ended_well} ended live or mastered."
    )
    height = max(160, min(680, len(rows) * 3))
    gutter = "".join(
        f'<rect class="{kind}" x="0" y="{y}" width="1" height="1"/>'
        for y, row in enumerate(rows)
        if (kind := _help(row))
    )
    paths = "".join(
        f'<path class="s-{state}" d="{d}"/>' for state in State if (d := _cells(rows, state))
    )
    return (
        f'<div class="heat" style="--tall:{height}px" role="img" '
        f'aria-label="{escape(label, quote=True)}">'
        f'<svg class="gutter" viewBox="0 0 1 {len(rows)}" preserveAspectRatio="none">{gutter}</svg>'
        f'<svg class="cells" viewBox="0 0 {len(iterations)} {len(rows)}" '
        f'preserveAspectRatio="none">{paths}</svg></div>'
        f'<div class="heat-axis"><span>{iterations[0]}</span><span>iteration</span>'
        f"<span>{iterations[-1]}</span></div>"
        f'<script type="application/json" id="heat-data">{_data(rows, iterations)}</script>'
    )


def _help(row: HeatRow) -> str:
    if row.seeded:
        return "g-seeded"
    return "g-control" if row.never_seeded and State.COLD in row.states else ""


def _cells(rows: Sequence[HeatRow], state: State) -> str:
    return "".join(
        f"M{start} {y}h{length}v1h-{length}z"
        for y, row in enumerate(rows)
        for start, length in _runs(row, state)
    )


def _runs(row: HeatRow, state: State) -> Iterator[tuple[int, int]]:
    at = 0
    for found, group in groupby(row.states):
        length = sum(1 for _ in group)
        if found is state:
            yield at, length
        at += length


def _data(rows: Sequence[HeatRow], iterations: Sequence[int]) -> str:
    data = {
        "iterations": list(iterations),
        "names": {code: state.value for state, code in CODES.items()},
        "rows": [[row.task_id, "".join(CODES[s] for s in row.states), _help(row)] for row in rows],
    }
    return json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
