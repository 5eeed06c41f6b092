"""Plain values as TOML text, which the standard library reads and does not write.

Knows TOML only. What TOML cannot hold is kept as JSON in a string, under `KEY_json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_AS_JSON = "_json"
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_table(name: str, fields: Mapping[str, Any]) -> str:
    """Return the table `[name]`; its keys must be bare ones. `plain_fields` is the inverse."""
    lines = [f"[{name}]" if name else ""]
    for key, value in fields.items():
        try:
            lines.append(f"{key} = {_value(value)}")
        except ValueError:
            lines.append(f"{key}{_AS_JSON} = {_value(json.dumps(value))}")
    return "\n".join(lines).lstrip("\n") + "\n"


def plain_fields(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table that was read, with the values that were kept as JSON in their place.

    Raises ValueError for a JSON string that holds none.
    """
    fields = {}
    for key, value in table.items():
        if not key.endswith(_AS_JSON):
            fields[key] = value
            continue
        try:
            fields[key.removesuffix(_AS_JSON)] = json.loads(value)
        except (TypeError, ValueError):
            raise ValueError(f"{key}: expected JSON in a string, got {str(value)[:60]!r}") from None
    return fields


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, float) or (isinstance(value, int) and -(2**63) <= value < 2**63):
        return repr(value)
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list | tuple):
        return _array(value)
    raise ValueError(f"TOML has no form for {value!r}")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _string(name)


def _array(items: list[Any] | tuple[Any, ...]) -> str:
    texts = [_value(item) for item in items]
    if sum(map(len, texts)) < 80:
        return f"[{', '.join(texts)}]"
    return "[\n" + "".join(f"  {text},\n" for text in texts) + "]"


def _string(text: str) -> str:
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("TOML holds no surrogates")
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
