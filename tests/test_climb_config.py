"""Settings: read in one place, refused with a sentence that says what to change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from toprope.climb.config import (
    ClimbConfig,
    ConfigError,
    load_config,
    load_whole,
    recipe_names,
    to_toml,
)
from toprope.harness.dialect import DIALECTS


def test_every_shipped_recipe_is_sound() -> None:
    assert {"default", "long"} <= set(recipe_names())
    for name in recipe_names():
        assert isinstance(load_config(name), ClimbConfig)


def test_settings_written_out_read_back_the_same(tmp_path: Path) -> None:
    config = load_config(
        "default",
        [
            'taskset="odd \\"name\\" \\\\ here.jsonl"',
            "climbing.group=4",
            "seeding.learning_rate=1e-5",
        ],
    )
    (tmp_path / "config.toml").write_text(to_toml(config), encoding="utf-8")
    assert load_config(tmp_path / "config.toml") == config
    alone = load_config("default", ['teacher.kind="none"'])
    (tmp_path / "alone.toml").write_text(to_toml(alone), encoding="utf-8")
    assert load_config(tmp_path / "alone.toml") == alone
    assert alone.seeding.demonstrations == 0


def test_overrides_take_bare_words_for_text() -> None:
    assert load_config("default", ["teacher.kind=reference"]).teacher.kind == "reference"
    assert load_config("default", ["climbing.group = 4"]).climbing.group == 4


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["climbing.gruop=4"], "climbing.gruop: no such setting; did you mean climbing.group?"),
        (["student.group=4"], "student.group: no such setting; did you mean climbing.group?"),
        (["wholly.unlike=4"], "wholly: no such setting"),
        (["climbing.group=1"], "climbing.group: .* greater than or equal to 2"),
        (["climbing.group=many"], "climbing.group: .* valid integer"),
        (
            ["teacher.kind=oracle"],
            "teacher.kind: .*'none', 'recorded', 'reference', 'openai', 'llama' or 'form'",
        ),
        (["student.dtype=float16"], "student.dtype: .*'bfloat16' or 'float32'"),
        (["climbing.group"], "write it as section.name=value"),
        (["seed.deep=1"], "seed is not a section"),
        (["teacher.kind=openai"], "teacher.endpoint is empty: name its URL"),
        (["teacher.kind=llama"], "teacher.model is empty: name a GGUF file"),
        (["teacher.key_variable=sk-12345"], "keys themselves belong into the environment"),
        (["teacher.endpoint=http://me:pw@there"], "without user, password"),
        (["teacher.endpoint=http://x"], "teacher.kind must be 'openai'"),
        (["limits.minutes=2", "limits.reserve_minutes=2"], "raise minutes"),
        (["limits.minutes=0", "limits.steps=10000"], "needs limits.steps below 10000"),
        (["teacher.kind=none", "seeding.demonstrations=8"], "take out one of them"),
        (["ladder.rungs=[0, 3]", "seeding.demonstrations=8"], "ladder.rungs has no 6"),
        (["ladder.rungs=[0, 4]", "teacher.kind=none"], "rung 4 needs someone who knows the fix"),
        (["ladder.rungs=[1, 2]"], "rung 0 must be among them"),
        (["ladder.rungs=[0, 8]"], "each of 0, 1, 2, 3, 4, 5, 6, 7 at most once"),
        (["ladder.rungs=[0, 5]"], "a student without turns.dialect answers once"),
        (["ladder.rungs=[0, 1, 1]"], "at most once"),
        (
            ["ladder.rungs=[0, 1]", "seeding.pilot_tasks=0", "climbing.pilots_per_step=0"],
            "ladder.rungs help piloted tasks only",
        ),
        (["seeding.pilot_tasks=0", "climbing.pilots_per_step=0"], "raise seeding.pilot_tasks or"),
    ],
)
def test_contradictions_and_slips_are_told(overrides: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_config("default", overrides)


def test_malformed_toml_is_told_with_its_file_and_line(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text("seed = 1\n[climbing\ngroup = 4\n")
    with pytest.raises(ConfigError, match=r"mine\.toml: not valid TOML: .*line 2"):
        load_config(recipe)


def test_a_recipe_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no recipe named lnog: take one of default, long"):
        load_config("lnog")
    with pytest.raises(ConfigError, match=r"cannot read .*gone\.toml: No such file"):
        load_config(tmp_path / "gone.toml")


def test_settings_need_no_torch() -> None:
    program = (
        "import sys\nfrom toprope.climb.config import load_config\nload_config('default')\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_settings_of_a_run_that_lack_one_are_not_read_with_todays_default(tmp_path):
    kept = tmp_path / "config.toml"
    kept.write_text(to_toml(load_config("small")))
    assert load_whole(kept) == load_config("small")
    kept.write_text(kept.read_text().replace('dialect = "lines"\n', ""))
    with pytest.raises(ConfigError, match=r"no value for student\.dialect"):
        load_whole(kept)


def test_every_dialect_can_be_chosen():
    for name in DIALECTS:
        assert load_config("default", [f"student.dialect={name}"]).student.dialect == name


def test_without_rung_6_nobody_demonstrates_and_by_default_the_ladder_is_as_it_was():
    assert load_config("default").ladder.rungs == (0, 6)
    assert load_config("default", ["ladder.rungs=[4, 0]"]).ladder.rungs == (0, 4)
    assert load_config("default", ["ladder.rungs=[0, 4]"]).seeding.demonstrations == 0
