"""Self-contained pages of answers: the comparison as pictures, the claims weighed.

For a reader who has never rented a chip: every word that is not plain English is explained on
the page. It must not compute what the other files decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files

from toprope.drawing.look import card, columns, legend, page
from toprope.plan import equalwords, pictures, words
from toprope.plan.claims import Claim
from toprope.plan.equal import Equal
from toprope.plan.ranges import Range

_MEANS = {
    "FLOPs": "multiplications and additions; what long prompts and training are made of",
    "bandwidth": "bytes a second read from the chip's memory; what writing an answer word by "
    "word is made of",
    "capacity": "how much the memory holds: the model, and what it remembers of each episode",
    "link": "bytes a second between chips of one fast network (its domain) or between machines",
    "latency": "the wait that no number of chips takes away: layer after layer, token after token",
    "environment": "tests and programs that run on ordinary processors",
    "reliability": "time lost because some chip of many has failed",
}
_TERMS = {
    "chip": "a processor made for such work, let by the hour or sold; a name as H100 or 910C is a "
    "kind of chip, as a model of car is",
    "parameters": "the numbers that make up a model, billions of them (B)",
    "token": "a piece of a word, what a model reads and writes",
    "binds": "is what there is too little of: more of anything else would not help",
    "prefill": "reading a prompt",
    "decode": "writing the answer, a token at a time",
    "log-probabilities": "reading the episodes again to know how likely each token was",
    "a range in brackets": "from the least to the most, because figures are reported differently "
    "and chips reach different shares of them",
    "domain": "the chips that one fast network joins",
    "all-in": "with host, network and cooling, not the chip alone",
}


def equal_page(answer: Equal, per_kwh: Range) -> str:
    """Return the page of an `equal` answer as text."""
    sides = [answer.fast_estimate]
    sides += [answer.slow_estimate] if answer.slow_estimate else []
    used = {name: _MEANS[name] for name in pictures.resources_used(sides)}
    cost = pictures.cost_by_time(answer, per_kwh)
    left = [
        card(
            "How many, phase by phase",
            _counts_legend(answer) + pictures.counts(answer),
            "The work is done in phases. A dot is how many of the slow chip take no longer than "
            "the fast side does for that phase; the bar is from the least to the most.",
        ),
        card(
            "What a chip can reach, and where the phases lie",
            _sides_legend(answer) + pictures.roofline(answer),
            "A line is how much a chip can compute in a second. Work that does little with each "
            "byte it reads lies left: there memory sets the pace. Work that does much lies right "
            "of the bend: there the chip itself does. A dot is the most that a phase can get.",
        ),
    ]
    right = [
        card(
            "Where the time goes",
            _resource_legend(used) + pictures.times(sides),
            "A colour is what the chips wait for meanwhile. The thin line under a bar goes from "
            "the fastest to the slowest it may end.",
        ),
        card(
            "Cost against time",
            _sides_legend(answer) + cost if cost else "<p>Nobody tells a price of these chips.</p>",
            _cost_lead(answer),
        ),
    ]
    tables = [
        card("What it takes", _table(equalwords.sides(answer))),
        card("Price of FLOPs", _table(equalwords.flop_prices(answer, per_kwh))),
    ]
    lists = [
        _listed("Does not carry over, at any number", answer.not_carried),
        _listed("Would change the answer", equalwords.changes(answer)),
    ]
    rest = _listed("What the answer rests on", equalwords.rests_on(answer))
    meanings = _glossary({**used, **_TERMS})
    return _page(
        title=f"{answer.fast} and {answer.slow.name}",
        under="; ".join(words.workload_sentences(answer.work)),
        main=f'<p class="headline">{_e(equalwords.headline(answer))}</p>'
        + _plainly(answer)
        + columns(left, right)
        + "".join(tables)
        + columns([lists[0]], [lists[1]])
        + rest
        + meanings,
    )


def _plainly(answer: Equal) -> str:
    rows = "".join(f"<li>{_e(line)}</li>" for line in equalwords.plainly(answer, _MEANS))
    return card("In plain words", f'<ul class="notes">{rows}</ul>')


def _cost_lead(answer: Equal) -> str:
    lead = "Each dot is a pool with its number of chips; its line is the range of prices."
    untold = [chip.name for chip in (answer.fast.chip, answer.slow) if not (chip.rent or chip.buy)]
    return lead + "".join(f" Nobody tells a price of {name}." for name in untold)


def claims_page(found: Sequence[Claim]) -> str:
    """Return the page of weighed claims as text."""
    cards = []
    for claim in found:
        kind = claim.verdict.split()[0] if claim.verdict != "holds in part" else ""
        rows = "".join(
            f'<li class="{"for" if one.holds else "against"}">{_e(one.words)} '
            f"<small>{_e(one.binds)}</small></li>"
            for one in claim.evidence
        )
        body = f'<span class="verdict {kind}">{_e(claim.verdict)}</span>'
        cards.append(card(claim.sentence, f'{body}<ul class="weighed">{rows}</ul>'))
    return _page(
        title="What people say about chips",
        under="Each sentence with the numbers that hold it up (✓) or break it (✗), and the "
        "resource that each is about.",
        main=columns(cards[::2], cards[1::2]) + _glossary({**_MEANS, **_TERMS}),
    )


def _page(title: str, under: str, main: str) -> str:
    return page(
        mark="toprope plan",
        title=title,
        under=under,
        main=main,
        foot="Figures and their sources: <code>toprope plan chips NAME</code>. "
        "The same answer as data: <code>--json</code>.",
        css=files("toprope.plan").joinpath("page.css").read_text("utf-8"),
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    top = "".join(f"<th>{_e(cell)}</th>" for cell in head)
    lines = [
        f"<tr><th>{_e(first)}</th>{''.join(f'<td>{_e(cell)}</td>' for cell in rest)}</tr>"
        for first, *rest in body
    ]
    return (
        f'<div class="scroll"><table><thead><tr>{top}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _listed(title: str, lines: Sequence[str]) -> str:
    rows = "".join(f"<li>{_e(line)}</li>" for line in lines or ("nothing",))
    return card(title, f'<ul class="notes">{rows}</ul>')


def _glossary(meanings: Mapping[str, str]) -> str:
    rows = "".join(f"<dt>{_e(word)}</dt><dd>{_e(means)}</dd>" for word, means in meanings.items())
    return card("The words", f'<dl class="glossary">{rows}</dl>')


def _counts_legend(answer: Equal) -> str:
    return legend(
        [
            ("c-slow", f"{answer.slow.name} needed, with range"),
            ("c-at", f"the {answer.fast.count:,} of the fast chip"),
            ("c-flops", "what FLOPs alone would say"),
        ]
    )


def _sides_legend(answer: Equal) -> str:
    return legend([("c-fast", answer.fast.chip.name), ("c-slow", answer.slow.name)])


def _resource_legend(used: Mapping[str, str]) -> str:
    return legend((f"sw r-{name.lower()}", name) for name in used)


def _e(told: str) -> str:
    return escape(told, quote=True)
