"""What a run showed and what it did not, in sentences made from `summary.json` alone.

The terminal prints these words at the end of a run and the report opens with them. A
claim is "shown" only if its interval says so; "not graduated" is an ordinary ending. It
must not know the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from toprope.report.numbers import count, interval, of, percent, points, points_interval

Summary = Mapping[str, Any]

TIER_WORDS = {
    "near": "near (new bugs in known functions)",
    "mid": "mid (other functions of the same packages)",
    "far": "far (other packages and operators)",
}
QUIET_WORDS = {
    "nothing_cold": "nothing is cold",
    "exhausted": "its attempts are used up",
    "budget": "its budget is spent",
    "parked": "what is cold is parked",
    "later": "its next round of demonstrations has not come",
    "no_teacher": "there is no teacher",
    "unreachable": "it could not be reached",
}


@dataclass(frozen=True, slots=True)
class Closing:
    """The end of a run in words: one headline, what was shown, what was not."""

    headline: str
    shown: tuple[str, ...]
    not_shown: tuple[str, ...]


def closing(summary: Summary) -> Closing:
    """Judge a summary claim by claim."""
    said = [
        verdict
        for claims in (_cold, _seeding, _climbing, _pool, _mutator, _thaws, _teacher, _end)
        for verdict in claims(summary)
    ]
    return Closing(
        headline=_headline(summary),
        shown=tuple(text for shown, text in said if shown),
        not_shown=tuple(text for shown, text in said if not shown),
    )


def as_text(said: Closing) -> str:
    """The closing words for a terminal."""
    lines = [said.headline, "", "Shown:"]
    lines += [f"  + {text}" for text in said.shown] or ["  (nothing)"]
    lines += ["Not shown:"]
    lines += [f"  - {text}" for text in said.not_shown] or ["  (nothing left open)"]
    return "\n".join(lines)


def unsafe(summary: Summary) -> str | None:
    """Why untrusted code ran without a wall, or None if walls stood."""
    walls = summary.get("walls")
    if not isinstance(walls, Mapping):
        return None
    if walls.get("level") == "unsafe-local":
        return "untrusted code ran without isolation (--unsafe-local)"
    if walls.get("isolated") is False:
        return "untrusted code ran without full isolation"
    return None


def _headline(summary: Summary) -> str:
    heldout = summary["heldout"]
    rates = [
        (name, heldout[point]["all"]["pass@1"])
        for point, name in (
            ("before", "before"),
            ("after_seeding", "after seeding"),
            ("after", "after RL"),
        )
        if heldout[point] is not None
    ]
    end = "graduated" if summary["graduation"]["graduated"] else "not graduated"
    if not rates:
        return f"Held-out tasks were not measured; {end}."
    told = ", ".join(f"{percent(rate)} {name}" for name, rate in rates)
    return f"Held-out pass rate: {told}; {end}."


def _cold(summary: Summary) -> Iterator[tuple[bool, str]]:
    cold = summary["cold_start"]
    if cold["undecided"]:
        yield (
            False,
            (
                f"Whether more tasks were cold at the start: {count(cold['undecided'])} could not "
                "be placed, because failures of ours took draws of theirs twice."
            ),
        )
    if not cold["tested"]:
        if not cold["undecided"]:
            yield False, "How cold the tasks were at the start: no cold test was made."
        return
    yield (
        True,
        (
            f"{cold['cold']} of {cold['tested']} tested tasks were cold at the start "
            f"({percent(cold['share'])}; 95 % interval {interval(cold['ci95'])}): no success in "
            f"{cold['draws']} plain draws. A task solved once in twenty tries would be called cold "
            f"{percent(cold['power_at_05'], 0)} of the time."
        ),
    )
    if cold["protocol_granted_tested"]:
        share = of(cold["protocol_granted_live"], cold["protocol_granted_tested"])
        yield True, f"With the answer format granted, {share} of the same tasks were live."
    else:
        yield False, "Whether the tasks were cold for want of the answer format alone."


def _seeding(summary: Summary) -> Iterator[tuple[bool, str]]:
    yield from _gains(
        summary, "seed_gain", ("before", "after_seeding"), "Seeding raised the held-out pass rate"
    )


def _climbing(summary: Summary) -> Iterator[tuple[bool, str]]:
    if summary.get("coin"):
        yield True, "This is the control of random rewards: in training each was a coin's."
    yield from _gains(
        summary,
        "rl_gain",
        ("after_seeding", "after"),
        f"Reinforcement learning{_with_rounds(summary)} raised the held-out pass rate further",
    )


def _with_rounds(summary: Summary) -> str:
    """Name the demonstrations that came after the point "after seeding", if any did."""
    later = summary["teacher"].get("rounds", 0) - 1
    return f" with {later} later round{'s' * (later > 1)} of demonstrations" if later > 0 else ""


def _pool(summary: Summary) -> Iterator[tuple[bool, str]]:
    """What joined the pool; nothing of a run that held nothing back."""
    pool = summary.get("pool")
    if not pool:
        return
    if not pool["growths"]:
        yield (
            False,
            (
                f"That the pool had to grow: enough of it still taught, and {pool['left']} tasks "
                "are still held back."
            ),
        )
        return
    cold, live, broken = (sum(g[k] for g in pool["growths"]) for k in ("cold", "live", "broken"))
    when = ", ".join(str(growth["iteration"]) for growth in pool["growths"])
    yield (
        True,
        (
            f"As tasks were mastered the pool grew by {pool['grown']} that were held back "
            f"(iterations {when}): {cold} of them were cold, {live} live, {broken} broken; "
            f"{pool['left']} are still held back."
        ),
    )


def _gains(
    summary: Summary, key: str, ends: tuple[str, str], claim: str
) -> Iterator[tuple[bool, str]]:
    """One sentence for the tiers in which the gain is shown, one for the others."""
    heldout = summary["heldout"]
    if heldout[key] is None:
        yield False, f"That {claim[0].lower()}{claim[1:]}: not measured at both points."
        return
    told: dict[bool, list[str]] = {True: [], False: []}
    for tier, words in TIER_WORDS.items():
        gain = heldout[key][tier]
        if gain is None:
            continue
        start, end = (percent(heldout[point][tier]["pass@1"]) for point in ends)
        low, high = gain["ci95"]
        noise = "" if low > 0 else ", it fell" if high < 0 else ", within noise"
        told[low > 0].append(
            f"{words} {start} to {end} ({points(gain['gain'])}, {points_interval(gain['ci95'])}"
            f"{noise})"
        )
    for shown, tiers in told.items():
        if tiers:
            said = claim if shown else f"That {claim[0].lower()}{claim[1:]}"
            yield shown, f"{said}: {'; '.join(tiers)}."


def _mutator(summary: Summary) -> Iterator[tuple[bool, str]]:
    heldout = summary["heldout"]
    if heldout["after"] is None:
        return
    told: dict[bool, list[str]] = {True: [], False: []}
    for tier in TIER_WORDS:
        point, chance = heldout["after"][tier], heldout["mutator"][tier]
        if point is not None and chance is not None:
            against = f"{tier} {interval(point['ci95'])} against {percent(chance)}"
            told[point["ci95"][0] > 2 * chance].append(against)
    if told[True]:
        tiers = "; ".join(told[True])
        yield True, f"More than twice what a random inverse edit solves: {tiers}."
    if told[False]:
        tiers = "; ".join(told[False])
        yield False, f"That it learned more than to undo our mutations: {tiers}."


def _thaws(summary: Summary) -> Iterator[tuple[bool, str]]:
    thawed = summary["thawed"]
    if not thawed["of_cold"]:
        return
    control, base = thawed["unseeded_control"], thawed["frozen_base"]
    counted = {"thawed": thawed["count"], "of": thawed["of_cold"], "ci95": thawed["ci95"]}
    told = f"{_share(counted)} of the cold tasks thawed"
    if control:
        told += f"; of those never seeded, {_share(control)}"
    if base is None:
        yield False, f"{told}; what the frozen base thaws with the same draws was not measured."
        return
    told += f"; the frozen base, given the same draws, {_share(base)}."
    if thawed["ci95"][0] > base["ci95"][1]:
        yield True, told
    else:
        yield False, f"That learning rather than persistence thaws tasks: {told}"


def _share(thawed: Mapping[str, Any]) -> str:
    part, whole = thawed["thawed"], thawed["of"]
    bounds = interval(thawed["ci95"])
    return f"{part} of {whole} ({percent(part / whole, 0)}; 95 % interval {bounds})"


def _teacher(summary: Summary) -> Iterator[tuple[bool, str]]:
    teacher = summary["teacher"]
    if teacher["name"] == "none":
        yield True, "This is the control without a teacher: no teacher or reference token was used."
        return
    if teacher["name"] == "form":
        yield True, "This is the control of form alone: the seeds were wrong edits, of no teacher."
        return
    if teacher["name"] == "reference":
        yield (
            False,
            (
                "Anything about learning from a teacher: the seeds were the tasks' own fixes, "
                "an answer key."
            ),
        )
    windows = teacher["share_by_window"]
    if not windows:
        return
    if windows[-1]["share"] > 0:
        share = percent(windows[-1]["share"])
        yield False, f"That the teacher went quiet: its share of the last window is {share}."
        return
    reason, last = teacher["quiet_reason"], teacher["last_used_iteration"]
    since = "it was never used" if last is None else f"last used in iteration {last}"
    why = QUIET_WORDS.get(reason, "no reason was recorded")
    if reason == "nothing_cold":
        yield True, f"The teacher is quiet because nothing is cold ({since})."
    else:
        yield (
            False,
            (
                f"That the teacher is no longer needed: it is quiet ({since}) because {why}, "
                "not because nothing is cold."
            ),
        )


def _end(summary: Summary) -> Iterator[tuple[bool, str]]:
    graduation = summary["graduation"]
    if graduation["graduated"]:
        yield True, f"Graduated at iteration {graduation['iteration']}."
    else:
        yield False, f"Graduation: {_open_criteria(graduation)}"
    if (graduation["criteria"] or {}).get("fork"):
        yield True, f"The fork: {graduation['reasons']['fork']}."
    if (graduation["criteria"] or {}).get("no_forgetting"):
        yield True, f"Nothing forgotten: {graduation['reasons']['no_forgetting']}."
    yield from _past_teacher(graduation)
    if summary["status"] == "running":
        yield False, "A whole run: it is still running, or was cut off and can be resumed."
    elif summary["status"] not in ("finished", None):
        yield False, f"A whole run: it is {summary['status']} ({summary['stop_reason']})."
    if (why := unsafe(summary)) is not None:
        yield False, f"Safety: {why}."
    yield from _left_out(summary["tasks"].get("evaluated"))
    passes = summary["integrity"].get("impossible_passes")
    if passes:
        draws = count(summary["integrity"]["impossible_draws"])
        yield (
            False,
            f"ALARM, that pass rates are honest: {count(passes)} of {draws} draws passed a task "
            "that nobody can solve.",
        )
    canaries = summary["integrity"]["canary_passes"]
    if canaries:
        yield False, f"That grades can be trusted: {count(canaries)} canary tests passed."


def _left_out(proofs: Mapping[str, Any] | None) -> Iterator[tuple[bool, str]]:
    """Evaluated tasks that are broken, or that could not be proven; nothing if all were proven."""
    if not proofs:
        return
    for name, told in (
        ("broken", "left out at every point; `toprope tasks check` names them all"),
        ("unproven", "drawn all the same"),
    ):
        if tasks := proofs[name]:
            task, why = next(iter(tasks.items()))
            yield (
                False,
                f"That every dev and held-out task is sound: {count(len(tasks))} of "
                f"{count(_asked(proofs))} are {name}, {told} (first: {task}: {why}).",
            )


def _asked(proofs: Mapping[str, Any]) -> int:
    return int(proofs["proven"]) + len(proofs["broken"]) + len(proofs["unproven"])


def _open_criteria(graduation: Mapping[str, Any]) -> str:
    criteria = graduation["criteria"]
    if not criteria:
        return "its criteria were not judged in this run."
    why = graduation.get("reasons") or {}
    named = {
        met: [_criterion(name, why) for name, was in criteria.items() if was is met]
        for met in (False, None)
    }
    told = [f"not met: {', '.join(named[False])}"] if named[False] else []
    told += [f"not measured: {', '.join(named[None])}"] if named[None] else []
    return f"{'; '.join(told)}." if told else "its criteria did not hold long enough."


def _criterion(name: str, why: Mapping[str, str]) -> str:
    told = name.replace("_", " ")
    return f"{told} ({why[name]})" if why.get(name) else told


def _past_teacher(graduation: Mapping[str, Any]) -> Iterator[tuple[bool, str]]:
    """Whether the student exceeds the teacher on held-out; nothing where nobody judged it."""
    past = graduation.get("past_teacher")
    if past is None:
        return
    if past["difference"] is None:
        yield False, f"That the student exceeds the teacher: {past['why']}."
        return
    low, high = past["ci95"]
    by = f"{points(past['difference'])} ({points_interval(past['ci95'])}; {past['tasks']} tasks)"
    if low > 0:
        yield True, f"On held-out the student exceeds the teacher by {by}."
    else:
        less = "the teacher is still better" if high < 0 else "within noise"
        yield False, f"That the student exceeds the teacher on held-out: {by}, {less}."
