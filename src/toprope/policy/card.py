"""The model card: what an exported model is, what was shown with it, and what was not.

A pure function from plain data to Markdown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

_TIERS = {
    "near": "new bugs in functions trained on",
    "mid": "other functions of the same packages",
    "far": "other packages and operators",
    "all": "all of these",
}
_NOT_SHOWN = (
    "that it repairs bugs people wrote: the tasks are bugs injected by mutation",
    "that it keeps its abilities in anything but these tasks",
    "anything about other prompts or forms of answer than the harness below",
)


def render_card(card: Mapping[str, Any]) -> str:
    """The card's Markdown with its metadata block.

    Args:
        card: `name`, `base` (name, licence, source), `taskset` (name, hash), `harness`
            (dialect, prompt, limits); optionally `summary` (a run's `summary.json`),
            `checkpoint`, `run`, and `not_shown` (sentences; replaces our own list).
    """
    parts = [
        _metadata(card),
        f"# {card['name']}",
        _origin(card),
        _results(card.get("summary")),
        _use(card["harness"]),
        _not_shown(card.get("not_shown", _NOT_SHOWN)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _metadata(card: Mapping[str, Any]) -> str:
    base = card["base"]
    lines = ["library_name: transformers", "pipeline_tag: text-generation"]
    lines += [f"license: {str(base.get('licence', 'unknown')).lower()}"]
    lines += ["tags: [toprope, reinforcement-learning, code]"]
    return "---\n" + "\n".join(lines) + "\n---"


def _origin(card: Mapping[str, Any]) -> str:
    base, taskset = card["base"], card["taskset"]
    lines = [
        f"A small coding model trained with toprope from **{base['name']}** "
        f"(licence {base.get('licence', 'unknown')}, {base.get('source', 'unknown source')}) "
        f"on the taskset **{taskset['name']}** (`{taskset['hash']}`).",
    ]
    if "dequantised" in str(base["name"]):
        lines.append(
            "The base was made from a quantised file, so it is not the model of that name on the "
            "hub: its weights were rounded before training began."
        )
    if card.get("run"):
        lines.append(f"Run: `{card['run']}`, checkpoint `{card.get('checkpoint', 'last')}`.")
    return "\n\n".join(lines)


def _results(summary: Mapping[str, Any] | None) -> str:
    if not summary or "heldout" not in summary:
        return "## Results\n\nNo held-out evaluation accompanies this checkpoint."
    heldout = summary["heldout"]
    rows = [
        "| held-out tasks | before | after seeding | after | mutator |",
        "|---|---|---|---|---|",
    ]
    for tier, meaning in _TIERS.items():
        cells = [_rate(heldout.get(when), tier) for when in ("before", "after_seeding", "after")]
        cells.append(_rate(heldout.get("mutator"), tier))
        if set(cells) != {"–"}:
            rows.append(f"| {tier}: {meaning} | {' | '.join(cells)} |")
    note = (
        "pass@1 at temperature 1 with 95 % cluster-bootstrap intervals over source functions. "
        "*Mutator* is a baseline without a model: a random inverse edit on a random line."
    )
    gain = heldout.get("rl_gain")
    if gain:
        told = {tier: _interval(value) for tier, value in gain.items() if value is not None}
        note += "\n\nGain by reinforcement learning after seeding, in points: " + "; ".join(
            f"{tier} {interval.replace(' %', '')}" for tier, interval in told.items()
        )
    return "## Results\n\n" + "\n".join(rows) + "\n\n" + note


def _rate(by_tier: Mapping[str, Any] | None, tier: str) -> str:
    value = (by_tier or {}).get(tier)
    return "–" if value is None else _interval(value)


def _interval(value: Any) -> str:
    if isinstance(value, int | float):
        return f"{100 * value:.1f} %"
    middle = value.get("pass@1", value.get("gain", value.get("value")))
    text = "–" if middle is None else f"{100 * middle:.1f} %"
    interval = value.get("ci95")
    if isinstance(interval, Sequence) and len(interval) == 2:
        text += f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"
    return text


def _use(harness: Mapping[str, Any]) -> str:
    limits = json.dumps(harness.get("limits", {}), ensure_ascii=False)
    dialect = harness.get("dialect", "")
    return f"""## How to use it

It acts in one form only, the dialect `{dialect}`, and expects the prompt of `harness.json`
word for word, through the tokenizer's chat template. Limits it was trained under: `{limits}`.

```python
import json
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."
model = AutoModelForCausalLM.from_pretrained(folder)
tokenizer = AutoTokenizer.from_pretrained(folder)
harness = json.load(open(f"{{folder}}/harness.json"))
```

Run what it writes only inside a sandbox."""


def _not_shown(sentences: Sequence[str]) -> str:
    return "## What was not shown\n\n" + "\n".join(f"- {sentence}" for sentence in sentences)
