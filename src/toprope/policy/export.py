"""Write a policy as an ordinary Hugging Face folder that plain transformers loads.

Beside weights and tokenizer go the harness (`harness.json`: without the same prompt the
model is another one) and a model card. Nothing is published unless the folder, read
back, gives the same logits. Knows models and folders, not runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toprope.policy.card import render_card
from toprope.policy.convert import LOGIT_TOLERANCE, MANIFEST, largest_logit_difference
from toprope.policy.load import load_model
from toprope.policy.quiet import quiet_transformers
from toprope.policy.store import locked, staged
from toprope.terms import TopropeError


class ExportError(TopropeError):
    """A model that cannot be exported as asked."""


def export_model(
    model_or_state: Any,
    tokenizer: Any,
    folder: Path,
    *,
    card: Mapping[str, Any],
    base: Path | None = None,
) -> float:
    """Write `folder` whole or not at all; returns the largest logit difference after reading back.

    Args:
        model_or_state: a transformers causal model, or a state dict for the model in `base`.
        tokenizer: the policy's tokenizer; its chat template travels with it.
        folder: where to write; must not exist, or be empty.
        card: what the model card says, see `card.render_card`; `card["harness"]` (dialect,
            prompt, limits) is also written as `harness.json`.
        base: the model folder that gives a state dict its config.
    """
    _require_free(folder)
    if "harness" not in card:
        raise ExportError("an export needs card['harness']: the dialect, prompt and limits")
    model = _as_model(model_or_state, base)
    was_training = model.training
    model.eval()
    try:
        with locked(folder), staged(folder) as stage, quiet_transformers():
            _write(model, tokenizer, stage, card)
            difference = _read_back(model, tokenizer, stage)
    finally:
        model.train(was_training)
    return difference


def _write(model: Any, tokenizer: Any, stage: Path, card: Mapping[str, Any]) -> None:
    attention = model.config._attn_implementation
    # a private attention kernel must not be what the reader's transformers is asked for
    model.config._attn_implementation = "sdpa"
    try:
        model.save_pretrained(stage)
    finally:
        model.config._attn_implementation = attention
    tokenizer.save_pretrained(stage)
    _write_json(stage / "harness.json", card["harness"])
    _write_json(stage / MANIFEST, {key: card[key] for key in sorted(card) if key != "harness"})
    (stage / "README.md").write_text(render_card(card), encoding="utf-8")


def _read_back(model: Any, tokenizer: Any, stage: Path) -> float:
    dtype = str(model.dtype).removeprefix("torch.")
    difference = largest_logit_difference(model, load_model(stage, dtype), tokenizer)
    # the policy may use another attention kernel, which in bf16 rounds differently
    allowed = LOGIT_TOLERANCE if dtype == "float32" else float("inf")
    if not difference <= allowed:
        raise ExportError(
            f"the exported model's logits differ by {difference:.2g} (allowed {allowed:g}); "
            "nothing was kept"
        )
    return difference


def _as_model(model_or_state: Any, base: Path | None) -> Any:
    if hasattr(model_or_state, "state_dict"):
        return model_or_state
    if base is None:
        raise ExportError("a state dict needs base=, the folder of the model it belongs to")
    model = load_model(base)
    missing, unexpected = model.load_state_dict(dict(model_or_state), strict=False)
    tied = set(getattr(model, "_tied_weights_keys", None) or ())
    strange = [*unexpected, *(key for key in missing if key not in tied)]
    if strange:
        raise ExportError(f"this state is not of the model in {base}: {', '.join(strange[:3])}")
    model.tie_weights()
    return model


def _require_free(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExportError(f"{folder} exists; give a new folder, or remove it first")


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
