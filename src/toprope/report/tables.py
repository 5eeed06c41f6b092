"""The report's tables and facts: numbers with the words beside them. Data in, HTML out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from toprope.report.intervals import POINTS, TIERS
from toprope.report.numbers import (
    UNMEASURED,
    count,
    duration,
    flop,
    interval,
    money,
    of,
    percent,
    points,
    points_interval,
    short,
)

Summary = Mapping[str, Any]


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Names and values, one under the other."""
    told = "".join(f"<div><dt>{escape(n)}</dt><dd>{escape(v)}</dd></div>" for n, v in rows)
    return f'<dl class="facts">{told}</dl>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A plain table; the first column names the row."""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def heldout(summary: Summary) -> str:
    """Every held-out number, by tier and point."""
    section = summary["heldout"]
    rows = [
        _point_row(tier, words, section[key][tier])
        for tier in TIERS
        for key, words in POINTS
        if section[key] and section[key][tier]
    ]
    if not rows:
        return ""
    head = ["tier", "point", "pass@1", "95 % interval", "pass@k", "tasks × draws", "infra failed"]
    return table(head, rows) + _gain_table(section)


def cold_start(summary: Summary) -> str:
    """The cold test in numbers."""
    cold = summary["cold_start"]
    diagnosis = cold["diagnosis"] or {}
    told = ", ".join(f"{n} {name}" for name, n in diagnosis.items() if n) or UNMEASURED
    return facts(
        [
            ("cold", of(cold["cold"], cold["tested"])),
            ("95 % interval", interval(cold["ci95"])),
            ("left undecided by failures of ours", count(cold["undecided"])),
            ("plain draws per task", count(cold["draws"])),
            ("chance to call p = .05 cold", percent(cold["power_at_05"], 0)),
            (
                "live with the format granted",
                of(cold["protocol_granted_live"], cold["protocol_granted_tested"]),
            ),
            ("diagnosis of the cold", told),
        ]
    )


def growths(summary: Summary) -> str:
    """What joined the pool when, and what it was found to be at first."""
    pool = summary["pool"]
    kinds = ("tasks", "cold", "live", "broken", "undecided", "never_seeded")
    rows = [
        (f"{growth['iteration']}", *(str(growth[kind]) for kind in kinds), growth["why"])
        for growth in pool["growths"]
    ]
    head = ["iteration", *(kind.replace("_", " ") for kind in kinds), "why"]
    told = facts([("held back at first", count(pool["held_back"])), ("still", count(pool["left"]))])
    return told + (table(head, rows) if rows else "")


def thaws(summary: Summary) -> str:
    """Thaws by the last rung that a task was given."""
    thawed = summary["thawed"]
    rows = [
        (
            "more samples (rung 0)" if rung == "0" else f"rung {rung}",
            str(row["given"]),
            str(row["thawed"]),
            percent(row["thawed"] / row["given"], 0),
        )
        for rung, row in thawed["by_rung"].items()
    ]
    told, excluded = "", thawed["excluded_protocol_granted"]
    if excluded:
        told = f"<p>{excluded} more thawed, but the answer format alone makes them live.</p>"
    return table(["last help", "cold tasks", "thawed", "share"], rows) + told


def teacher(summary: Summary) -> str:
    """What the teacher was asked and what it cost."""
    section = summary["teacher"]
    last = section["last_used_iteration"]
    return facts(
        [
            ("teacher", str(section["name"] or "not recorded")),
            ("attempts asked for", count(section["calls"])),
            ("its tokens, as if live", short(section["tokens"])),
            ("cost", money(section["cost_usd"])),
            ("last used in iteration", "never" if last is None else str(last)),
        ]
    )


def compute(summary: Summary) -> str:
    """Seconds and FLOPs by phase, and what they bought."""
    section = summary["compute"]
    seconds, flops = section["seconds"], section["flops"]
    rows = [
        (phase, duration(seconds.get(phase)), flop(flops[phase]) if phase in flops else "–")
        for phase in ("sample", "grade", "teacher", "train", "eval", "other")
    ]
    rows.append(("all", duration(sum(seconds.values())), flop(sum(flops.values()))))
    rate = section["episodes_per_second"]
    memory = section["peak_rss_gb"]
    return table(["phase", "time", "compute"], rows) + facts(
        [
            ("episodes", count(section["episodes"])),
            ("episodes per second", UNMEASURED if rate is None else f"{rate:.1f}"),
            ("tokens processed", short(section["processed_tokens"])),
            ("tokens sampled", short(section["sampled_tokens"])),
            ("tokens learned from", short(section["trained_tokens"])),
            ("peak memory", UNMEASURED if memory is None else f"{memory:.1f} GB"),
        ]
    )


def integrity(summary: Summary) -> str:
    """Failures of ours, hacks, canaries, second gradings."""
    section = summary["integrity"]
    return facts(
        [
            ("failures of ours (never evidence)", count(section["infra"])),
            ("hacks caught", count(section["hacks_caught"])),
            ("canary tests that passed", count(section["canary_passes"])),
            ("draws of impossible tasks", count(section.get("impossible_draws"))),
            ("of which passed (alarm)", count(section.get("impossible_passes"))),
            ("impossible tasks that are solvable", count(section.get("impossible_broken"))),
            ("first successes graded again", count(section["reverified"])),
            ("of which refuted", count(section["reverify_failed"])),
        ]
    )


def graduation(summary: Summary) -> str:
    """The criteria, met, not met or not measured, or that nobody judged them."""
    criteria = summary["graduation"]["criteria"]
    if not criteria:
        return "<p>The criteria were not judged in this run.</p>"
    words = {True: "met", False: "not met", None: UNMEASURED}
    why = summary["graduation"].get("reasons") or {}
    rows = [(n.replace("_", " "), words[met], why.get(n, "")) for n, met in criteria.items()]
    return table(["criterion", "", "why"], rows)


def forgetting(summary: Summary) -> str:
    """The forgetting suite, as a whole and by kind of text."""
    found = summary.get("forgetting")
    if found is None:
        return "<p>Not measured.</p>"
    named = [(f"all, {found['tokens']} tokens", found), *(found["by_kind"] or {}).items()]
    rows = [
        [name, str(one["texts"]), percent(one["before"]), percent(one["after"]), _change(one)]
        for name, one in named
    ]
    return table(["texts", "how many", "frozen base", "student", "change"], rows)


def _change(one: Mapping[str, Any]) -> str:
    if one["difference"] is None:
        return UNMEASURED
    bounds = points_interval([one["lower95"], one["upper95"]])
    return f"{points(one['difference'])} ({bounds})"


def identity(summary: Summary) -> str:
    """What ran, on what."""
    taskset, tasks = summary["taskset"] or {}, summary["tasks"]
    versions = summary["versions"] or {}
    return facts(
        [
            ("student", str(summary["student"] or "not recorded")),
            ("taskset", f"{taskset.get('name', '?')} {str(taskset.get('hash', ''))[:12]}"),
            ("tasks", ", ".join(f"{n} {name}" for name, n in tasks.items() if name != "evaluated")),
            *_evaluated(tasks.get("evaluated")),
            ("seed", str(summary["seed"])),
            ("device", _device(summary["device"])),
            ("versions", ", ".join(f"{n} {v}" for n, v in versions.items()) or "not recorded"),
        ]
    )


def _evaluated(proofs: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """How the proofs of dev and held-out tasks ended; nothing where a run of before made none."""
    if proofs is None:
        return []
    ends = (proofs["proven"], len(proofs["broken"]), len(proofs["unproven"]))
    words = ("proven", "broken and left out", "unproven")
    told = ", ".join(f"{n} {word}" for n, word in zip(ends, words, strict=True) if n)
    return [("of those evaluated", told or "none was proven")]


def _device(device: Any) -> str:
    if isinstance(device, Mapping):
        return ", ".join(f"{name} {value}" for name, value in device.items())
    return str(device or "not recorded")


def _point_row(tier: str, words: str, point: Mapping[str, Any]) -> list[str]:
    at_k = f"{percent(point['pass@k'])} (k = {point['k']})" if point["k"] else UNMEASURED
    return [
        tier,
        words,
        percent(point["pass@1"]),
        interval(point["ci95"]),
        at_k,
        f"{point['tasks']} tasks, {point['samples']} draws",
        percent(point["pass@1_infra_failed"]),
    ]


def _gain_table(section: Mapping[str, Any]) -> str:
    rows = []
    for tier in TIERS:
        cells = [
            f"{points(gain['gain'])} ({points_interval(gain['ci95'])})" if gain else UNMEASURED
            for key in ("seed_gain", "rl_gain")
            for gain in [section[key][tier] if section[key] else None]
        ]
        rows.append([tier, *cells, percent(section["mutator"][tier])])
    return table(["tier", "gain by seeding", "gain by RL", "blind mutator"], rows)
