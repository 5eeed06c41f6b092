"""Comparing sides (`bench/peer_sides.py`), with real processes that stand in for the others."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[1] / "bench"
sys.path[:0] = [str(BENCH), str(BENCH / "peers")]

from lines import digest, share_even  # noqa: E402
from peer_sides import Side, in_turn, prompts, ratios, require_equal, summed_up  # noqa: E402

SCRIPT = f"""
import os, subprocess, sys
sys.path.insert(0, {str(BENCH / "peers")!r})
from lines import Lines
print("a library that prints where only answers belong")
held = []
def do(told):
    if told["do"] == "hold":
        held.append(bytearray(os.urandom(1)) * (told["mib"] << 20))
    if told["do"] == "spawn":
        held.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                                     start_new_session=told["apart"]))
        return {{"child": held[-1].pid}}
    if told["do"] == "fail":
        raise RuntimeError("out of what it needs")
    threads = os.environ["OMP_NUM_THREADS"]
    return {{"seconds": told["at"] + 1.0, "pid": os.getpid(), "threads": threads}}
Lines().serve(do)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "side.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture
def side(script: Path) -> Iterator[Side]:
    with Side("other", sys.executable, str(script), make="", threads=2) as side:
        yield side


def told(number: float) -> dict[str, Any]:
    return {"seconds": number, "others_busy": 0.0}


def test_a_missing_environment_is_told_with_the_line_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no Python at .*\n  pip install it"):
        Side("other", str(tmp_path / "python"), "x.py", make="pip install it", threads=1)


def test_only_answers_reach_whoever_compares(side: Side) -> None:
    assert side.ask(do="step", at=1)["seconds"] == 2.0
    assert side.ask(do="step", at=4)["threads"] == "2"


def test_a_side_that_dies_ends_the_comparison_with_what_it_said(side: Side) -> None:
    with pytest.raises(SystemExit, match=r"other ended by itself:[\s\S]*out of what it needs"):
        side.ask(do="fail", at=0)


def test_the_peak_is_that_of_the_side_and_stays_when_memory_is_given_back(side: Side) -> None:
    side.ask(do="step", at=0)
    before = side.peak
    side.ask(do="hold", at=0, mib=64)
    assert 60 << 20 < side.peak - before < 128 << 20


def test_the_peak_holds_what_a_process_of_the_side_started(side: Side) -> None:
    side.ask(do="step", at=0)
    alone = side.peak
    side.ask(do="spawn", at=0, apart=False)
    side.ask(do="step", at=0)
    assert side.peak > alone * 1.2


@pytest.mark.parametrize("apart", [False, True])
def test_every_process_of_a_side_is_ended_with_it(script: Path, apart: bool) -> None:
    with Side("other", sys.executable, str(script), make="", threads=1) as side:
        pids = [side.ask(do="step", at=0)["pid"], side.ask(do="spawn", at=0, apart=apart)["child"]]
    until = time.monotonic() + 20
    while time.monotonic() < until and any(map(_alive, pids)):
        time.sleep(0.05)
    assert not any(map(_alive, pids))


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_sides_take_turns_in_an_order_that_turns_round(script: Path) -> None:
    asked: list[tuple[str, int]] = []

    def ask(side: Side, at: int) -> dict[str, Any]:
        asked.append((side.name, at))
        return side.ask(do="step", at=at)

    with ExitStack() as stack:
        sides = [
            stack.enter_context(Side(name, sys.executable, str(script), make="", threads=1))
            for name in ("a", "b")
        ]
        found = in_turn(sides, 2, ask)
    assert asked == [("a", 0), ("b", 0), ("b", 1), ("a", 1)]
    assert [one["seconds"] for one in found["b"]] == [1.0, 2.0]
    assert all(one["others_busy"] < 5.0 for one in found["a"])


def test_ratios_are_taken_within_a_round_and_then_their_median() -> None:
    # The medians' ratio would be 20 / 4 = 5.
    assert ratios([2.0, 4.0, 10.0], [20.0, 12.0, 40.0]) == {
        "median": 4.0,
        "least": 3.0,
        "most": 10.0,
    }


def test_the_summary_compares_with_the_first_side(script: Path) -> None:
    with ExitStack() as stack:
        sides = [
            stack.enter_context(Side(name, sys.executable, str(script), make="", threads=1))
            for name in ("ours", "theirs")
        ]
        sides[0].peak, sides[1].peak = 2.0**30, 3 * 2.0**30
        found = {"ours": [told(2.0), told(4.0)], "theirs": [told(6.0), told(20.0)]}
        result = summed_up(sides, found, {"ours": {"versions": {"x": "1"}}, "theirs": {}})
    assert result["theirs"]["time_ratio"]["median"] == 4.0
    assert result["theirs"]["memory_ratio"] == 3.0
    assert result["ours"]["memory_ratio"] == 1.0
    assert (result["ours"]["versions"], result["theirs"]["versions"]) == ({"x": "1"}, None)


def test_unequal_work_is_no_comparison() -> None:
    require_equal({"a": {"drawn": 8}, "b": {"drawn": 8}, "c": {"drawn": None}}, ["drawn"])
    with pytest.raises(SystemExit, match=r"drawn is \{'a': 8, 'b': 7\}"):
        require_equal({"a": {"drawn": 8}, "b": {"drawn": 7}}, ["drawn"])


def test_prompts_are_the_same_for_a_seed_and_differ_from_one_another() -> None:
    made = prompts(16, tokens=50, seed=1)
    assert made == prompts(16, tokens=50, seed=1)
    assert len(set(made)) == 16
    assert set(made).isdisjoint(prompts(16, tokens=50, seed=2))


def test_ids_have_one_name_whatever_holds_them() -> None:
    assert digest([(1, 2), (3,)]) == digest([[1, 2], [3]]) != digest([[1], [2, 3]])
    assert share_even([2, 4, 5, 7]) == 0.5
