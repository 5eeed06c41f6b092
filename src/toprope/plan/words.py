"""Answers of `run`, `fit`, `claims` and `meters` as lines: every number with unit and range.

It must not decide anything; the numbers come from the other files of this room.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from toprope.plan.claims import Claim
from toprope.plan.climbrun import Compared
from toprope.plan.estimate import Estimate
from toprope.plan.fit import Fit, Fitted
from toprope.plan.lines import columns, listed, prose
from toprope.plan.money import Hourly
from toprope.plan.ranges import Range
from toprope.plan.units import number, told
from toprope.plan.workload import Workload

_MARKS = {True: "+", False: "-"}


def run_lines(found: Estimate) -> list[str]:
    """Return the answer of `run`."""
    rows = [("phase", "time", "share", "what binds")]
    total = sum(phase.seconds.typ for phase in found.phases)
    for phase in found.phases:
        share = f"{phase.seconds.typ / total:.1%}"
        rows.append((phase.name, told(phase.seconds, "s"), share, phase.binds))
    paid = f" (by {paid_by(found.hour)})" if found.dollars else ""
    taken = f"{told(found.seconds, 's')}, {told(found.joules, 'J')} all-in, {money(found)}{paid}"
    lines = [*workload_lines(found.work), "", *columns(rows), ""]
    lines += listed("How:", [f"{one.name}: {one.how}" for one in found.phases if one.how])
    lines += prose(f"On {found.pool}: {taken}; {found.binds} binds.")
    lines += [f"Working and not interrupted: {interrupted(found)} of the time."]
    if found.environment_dollars.max > 0:
        lines.append(f"Processors for environments: {told(found.environment_dollars, '$')}.")
    return lines


def money(found: Estimate) -> str:
    """Return what an estimate costs, or that nobody tells."""
    return told(found.dollars, "$") if found.dollars else "nobody tells a price"


def paid_by(hour: Hourly) -> str:
    """Return how an hour is paid, in a word."""
    return {"rent": "rent", "buy": "buying", "": "-"}[hour.basis]


def interrupted(found: Estimate) -> str:
    """Return the share of the time that is not lost to interruptions."""
    return told(found.goodput * 100, "%")


def workload_lines(work: Workload) -> list[str]:
    """Return what the workload is, as lines."""
    about, *rest = workload_sentences(work)
    return [*prose(about, later="  "), *(line for one in rest for line in prose(one, "  "))]


def workload_sentences(work: Workload) -> list[str]:
    """Return what the workload is: its source, its model, its size."""
    about = f"Workload {work.name}: {work.about or work.kind} ({work.source or 'your own'})"
    return [about, _model(work), _size(work)]


def _model(work: Workload) -> str:
    shape = work.shape
    parameters = f"{number(shape.parameters / 1e9)} B parameters"
    if shape.is_moe:
        parameters += f", {number(shape.parameters_active / 1e9)} B active"
    how = "LoRA" if work.method == "lora" else "all weights"
    uses = [] if work.kind == "serve" else [f"trains {how} in {work.train_precision.upper()}"]
    if work.kind not in ("pretrain", "sft"):
        uses.append(f"samples in {work.precision.upper()}")
    if work.speed:
        uses.append(f"at least {number(work.speed)} tokens/s for a user")
    return f"{shape.key}, {parameters}, {shape.attention_kind.upper()}; {'; '.join(uses)}"


def _size(work: Workload) -> str:
    if work.kind in ("pretrain", "sft"):
        size = f"{number(work.tokens / 1e9)} B" if work.tokens >= 1e9 else number(work.tokens)
        return f"{size} tokens in sequences of {work.context:,}"
    times = (
        f"{work.requests:,.0f} requests"
        if work.kind == "serve"
        else f"{work.iterations:,} iterations of {work.episodes:,} episodes"
    )
    turns = "one turn" if work.turns == 1 else f"{work.turns} turns"
    sampled = f"{number(work.length)} tokens each, {number(work.sampled)} of them sampled"
    return f"{times}, {turns}, {sampled}"


def fit_lines(found: Fitted) -> list[str]:
    """Return the answer of `fit`."""
    lines = workload_lines(found.work)
    for one in found.uses:
        lines += ["", *_use_lines(one)]
    return [*lines, "", *listed("What does fit:", found.instead)] if found.instead else lines


def _use_lines(one: Fit) -> list[str]:
    head = f"{one.use} on {one.where}, sequences of {number(one.tokens)}: {one.verdict}"
    rows = [("", f"all {one.chips:,}", "per chip")]
    rows += [
        (held.what, told(held.size, "B"), told(held.size / one.chips, "B")) for held in one.held
    ]
    rows.append(("usable memory", told(one.usable * one.chips, "B"), told(one.usable, "B")))
    spare = one.spare if one.spare.typ > 0 else Range.of(0.0) - one.spare
    margin = "to spare" if one.spare.typ > 0 else "short"
    rows.append((margin, told(spare * one.chips, "B"), told(spare, "B")))
    lines = [*prose(f"{head}; capacity binds"), *columns(rows, "  ")]
    lines.append(f"  fewest chips that hold it: {told(one.needed, '1')}")
    if one.how:
        lines += prose(f"laid out as {one.how}", "  ")
    if one.sequences is not None:
        lines.append(f"  sequences held at once: {told(one.sequences, '1')}")
    return lines


def claim_lines(found: Iterable[Claim]) -> list[str]:
    """Return claims with their evidence: `+` holds it up, `-` breaks it."""
    lines = []
    for claim in found:
        lines += prose(f"{claim.verdict.upper()}: {claim.sentence} ({claim.tally})", later="  ")
        for one in claim.evidence:
            lines += prose(f"{one.words} [{one.binds}]", f"  {_MARKS[one.holds]} ")
        lines.append("")
    return lines[:-1]


def meter_lines(found: Sequence[Compared]) -> list[str]:
    """Return predicted beside metered, phase by phase."""
    rows = [("phase", "FLOPs", "predicted", "off", "time", "predicted", "inside")]
    for one in found:
        off = one.flops_predicted / one.flops_metered - 1 if one.flops_metered else 0.0
        inside, seconds = "-", "-"
        if one.seconds_predicted is not None:
            low, high = one.seconds_predicted.min, one.seconds_predicted.max
            inside = "yes" if low <= one.seconds_metered <= high else "no"
            seconds = told(one.seconds_predicted, "s")
        rows.append(
            (
                one.phase,
                told(one.flops_metered, "FLOP"),
                told(one.flops_predicted, "FLOP"),
                f"{off:+.0%}",
                told(one.seconds_metered, "s"),
                seconds,
                inside,
            )
        )
    return columns(rows)
