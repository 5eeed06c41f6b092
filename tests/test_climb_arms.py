"""Matched arms: what is read from the file, what is run, and what the numbers may say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from micro_world import BASICS, SHORT, sources
from toprope.cli.main import FAILED, main
from toprope.climb.arms.compare import compare
from toprope.climb.arms.entry import Entry, read_entry
from toprope.climb.arms.race import race, results, run_folder
from toprope.climb.arms.result import Point, Result
from toprope.climb.arms.told import sentences, table
from toprope.climb.config import ConfigError
from toprope.climb.rundir import RunDirError
from toprope.climb.status import unwatched

ARMS = """
[arms.ours]
says = "seeds on cold tasks, then RL"
[arms.rl_only]
says = "RL alone"
settings = {"teacher.kind" = "none", "seeding.demonstrations" = 0}
"""


def written(path: Path, head: str, arms: str = ARMS) -> Path:
    path.write_text(head + arms)
    return path


def entry_of(**changes: object) -> Entry:
    arms = {name: {"says": name} for name in ("ours", "rival", "weak")}
    values = {"recipe": "default", "seeds": [0, 1, 2], "flops": 1e9, "against": "rival"}
    return Entry.model_validate({**values, "arms": arms, **changes})


def result(rates: list[float], alive: str = "", points: tuple[Point, ...] = ()) -> Result:
    cold = {f"f{at}": {f"t{at}": rate} for at, rate in enumerate(rates)}
    return Result(cold, {}, frozenset(alive), 10, 1000, 1e9, 2e9, points)


def test_settings_of_an_arm_replace_the_common_ones_and_name_the_seed(tmp_path):
    head = (
        'recipe = "default"\nseeds = [3]\nflops = 1e12\nagainst = "rl_only"\n'
        'settings = {"student.model" = "models/{seed}", "climbing.tasks" = 4}\n'
    )
    entry = read_entry(written(tmp_path / "e.toml", head))
    ours, alone = entry.config("ours", 3), entry.config("rl_only", 3)
    assert (ours.seed, ours.student.model, ours.climbing.tasks) == (3, "models/3", 4)
    assert (alone.teacher.kind, alone.seeding.demonstrations) == ("none", 0)
    assert ours.limits == alone.limits
    assert (ours.limits.flops, ours.limits.minutes) == (1e12, 0)
    assert ours.limits.count_teacher


@pytest.mark.parametrize(
    ("head", "told"),
    [
        ('recipe = "default"\nseeds = []\nflops = 1\nagainst = "rl_only"\n', "seeds"),
        ('recipe = "default"\nseeds = [1, 1]\nflops = 1\nagainst = "rl_only"\n', "named twice"),
        ('recipe = "default"\nseeds = [1]\nflops = 1\n', "no arm 'sft_then_rl'"),
        ('recipe = "none"\nseeds = [1]\nflops = 1\nagainst = "rl_only"\n', "arm ours: no recipe"),
        ("recipe = \n", "not valid TOML"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, head, told):
    with pytest.raises(ConfigError, match=told):
        read_entry(written(tmp_path / "e.toml", head))


def test_a_setting_that_is_none_names_its_arm(tmp_path):
    head = 'recipe = "default"\nseeds = [1]\nflops = 1\nagainst = "odd"\n'
    arms = ARMS + '[arms.odd]\nsays = ""\nsettings = {"climbing.grup" = 4}\n'
    with pytest.raises(ConfigError, match=r"arm odd: .*climbing\.grup"):
        read_entry(written(tmp_path / "e.toml", head, arms))


def test_differences_are_paired_by_seed_and_task():
    ours = {s: result([0.5, 0.5, 0.0 + 0.1 * s]) for s in range(3)}
    rival = {s: result([0.2, 0.5, 0.0 + 0.1 * s]) for s in range(3)}
    found = compare(
        {"ours": ours, "rival": rival}, ours="ours", against="rival", margin=0.02, p_values=True
    )
    (difference,) = found.differences
    assert difference.each == pytest.approx((0.1, 0.1, 0.1))
    assert difference.estimate.mean == pytest.approx(0.1)
    assert difference.estimate.low == pytest.approx(0.0)  # two functions of three never differ
    assert difference.p_value == difference.p_adjusted == 2 / 8
    assert difference.p_inferior == 1 / 8


def test_a_seed_that_one_arm_lacks_is_left_out_of_its_pairs():
    runs = {"ours": {0: result([0.5, 0.1]), 1: result([0.9, 0.9])}, "rival": {0: result([0.4, 0])}}
    found = compare(runs, ours="ours", against="rival", margin=0.02, p_values=False)
    assert found.differences[0].seeds == (0,)
    assert found.differences[0].p_value is None
    assert "One seed says nothing" in " ".join(sentences(found, entry_of()))


def test_teacher_tokens_are_those_spent_when_dev_reached_most_of_the_rival():
    rival = {0: result([0.5], points=(Point(5, 0.2, 900.0), Point(10, 0.4, 1000.0)))}
    ours = {0: result([0.5], points=(Point(5, 0.3, 100.0), Point(10, 0.37, 250.0)))}
    found = compare(
        {"ours": ours, "rival": rival}, ours="ours", against="rival", margin=0.02, p_values=False
    )
    by_arm = {row.arm: row.tokens_to_enough for row in found.rows}
    assert by_arm == {"ours": 250.0, "rival": 1000.0}  # 0.36 is nine tenths of 0.4


@pytest.mark.parametrize(
    ("mine", "said"),
    [(0.9, "is better than rival"), (0.2, "is not inferior"), (0.0, "WORSE")],
)
def test_the_verdict_says_what_the_interval_carries(mine, said):
    ours = {s: result([mine] * 8) for s in range(4)}
    rival = {s: result([0.2] * 8) for s in range(4)}
    found = compare(
        {"ours": ours, "rival": rival}, ours="ours", against="rival", margin=0.02, p_values=False
    )
    assert said in " ".join(sentences(found, entry_of()))


def test_what_is_not_shown_is_said():
    ours = {s: result([0.2, 0.9]) for s in range(3)}
    rival = {s: result([0.6, 0.4]) for s in range(3)}
    found = compare(
        {"ours": ours, "rival": rival}, ours="ours", against="rival", margin=0.02, p_values=False
    )
    assert "Not shown that ours keeps within 0.02" in " ".join(sentences(found, entry_of()))


def test_tasks_alive_in_ours_alone_are_counted():
    runs = {"ours": {0: result([0.1], "abc")}, "weak": {0: result([0.1], "a")}}
    found = compare(runs, ours="ours", against="rival", margin=0.02, p_values=False)
    assert found.only_ours == {0: {"weak": ["b", "c"]}}
    assert "2.0 not in weak" in " ".join(sentences(found, entry_of()))


def run(words: list[str]) -> int:
    with pytest.raises(SystemExit) as left:
        main(words)
    return int(left.value.code or 0)


def settings_of(pairs: tuple[str, ...]) -> str:
    split = (pair.partition("=")[::2] for pair in pairs)
    return "settings = {" + ", ".join(f'"{key}" = {value}' for key, value in split) + "}\n"


def test_arms_run_to_equal_flops_once_and_are_compared(
    tmp_path, micro_tasks, micro_student, capsys
):
    common = (*BASICS, *SHORT, *sources(micro_tasks, micro_student), "limits.steps=40")
    common = tuple({c.partition("=")[0]: c for c in common}.values())
    head = f'recipe = "small"\nseeds = [0]\nflops = 7e8\nagainst = "rl_only"\n{settings_of(common)}'
    file, out = written(tmp_path / "e.toml", head), tmp_path / "out"
    entry = read_entry(file)
    seen: list[str] = []

    def watched(arm, seed, done, of):
        seen.append(f"{arm} {seed} {done} of {of}")
        return unwatched

    race(entry, out, watched)
    assert seen == ["ours 0 0 of 2", "rl_only 0 1 of 2"]
    found = results(entry, out)
    ours, alone = found["ours"][0], found["rl_only"][0]
    for one in (ours, alone):
        assert entry.flops <= one.student_flops + one.teacher_flops < 1.5 * entry.flops
        assert one.score is not None
        assert one.tested_cold
        assert len(one.points) > 1
    assert ours.teacher_tokens == alone.teacher_tokens == 0  # the reference costs none
    race(entry, out, watched)
    assert len(seen) == 2  # both are finished
    words = ["bench", "arms", str(file), "--out", str(out), "--compare"]
    assert run([*words, "--json"]) == 0
    rows = {row["arm"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["ours"]["teacher_tokens"] == ours.teacher_tokens
    assert run(words) == 0
    assert "ours - rl_only" in capsys.readouterr().out
    with pytest.raises(RunDirError, match="other settings than the file has now"):
        race(entry.model_copy(update={"flops": 8e8}), out, watched)
    assert table(compare(found, ours="ours", against="rl_only", margin=0.02, p_values=False))


def test_an_arm_with_a_teacher_that_may_cost_runs_only_with_a_yes(tmp_path, micro_tasks, capsys):
    head = (
        f'recipe = "small"\nseeds = [0, 1]\nflops = 1\nagainst = "rl_only"\n'
        f'settings = {{"taskset" = "{micro_tasks}"}}\n'
    )
    live = ARMS.replace(
        'then RL"\n',
        'then RL"\nsettings = {"teacher.kind" = "openai", '
        '"teacher.endpoint" = "http://127.0.0.1:9"}\n',
    )
    file = written(tmp_path / "e.toml", head, live)
    assert run(["bench", "arms", str(file), "--out", str(tmp_path / "out")]) == FAILED
    told = capsys.readouterr()
    assert "give --yes" in told.err
    assert "arm ours: 2 runs to make, of each:" in told.out
    assert "rl_only" not in told.out
    assert not (tmp_path / "out").exists()


def test_an_arm_that_is_none_is_refused_with_those_there_are(tmp_path, capsys):
    head = 'recipe = "default"\nseeds = [1]\nflops = 1\nagainst = "rl_only"\n'
    file = written(tmp_path / "e.toml", head)
    words = ["bench", "arms", str(file), "--out", str(tmp_path / "out")]
    assert run([*words, "--arm", "mine"]) == FAILED
    assert "has no mine: its arms are ours, rl_only" in capsys.readouterr().err
    assert run([*words, "--compare"]) == FAILED
    assert "holds no finished run" in capsys.readouterr().err
    assert not run_folder(tmp_path / "out", "ours", 1).exists()
