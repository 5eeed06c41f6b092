"""The entry shown in docs/arms.md is one that the command takes."""

from __future__ import annotations

import re
from pathlib import Path

from toprope.climb.arms.entry import read_entry

PAGE = Path(__file__).parents[1] / "docs" / "arms.md"


def test_the_entry_on_the_page_is_read(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    file = tmp_path / "entry.toml"
    file.write_text(shown, encoding="utf-8")
    entry = read_entry(file)
    assert set(entry.arms) == {"ours", "sft_then_rl", "rl_only", "random_seeds", "form_only"}
    assert entry.config("form_only", 1).seeding.on == "set_aside"
