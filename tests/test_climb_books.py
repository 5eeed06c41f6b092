"""Booking: a rare success is graded twice, and only what both gradings say is learnt from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from toprope.climb import books
from toprope.climb.episodes.play import Plan
from toprope.climb.training.learner import group_row
from toprope.ledger.rows import BEFORE, COLD, PILOT, TRAIN, TaskRow
from toprope.ledger.states import Transition
from toprope.ledger.store import Ledger
from toprope.terms import Episode, Mode, Outcome, Split, State, Verdict

PASSED, FAILED, INFRA = Outcome.PASSED, Outcome.FAILED, Outcome.INFRA


class SecondGrader:
    """Stands where the player is asked to grade again; notes for which episodes it was."""

    def __init__(self, **says: bool | None) -> None:
        self.says, self.asked = says, list[str]()

    def regrade(self, pairs: Sequence[tuple[Any, Episode]]) -> list[bool | None]:
        self.asked += [episode.id for _, episode in pairs]
        return [self.says[episode.id] for _, episode in pairs]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite", create=True) as opened:
        opened.register_tasks([TaskRow("t", Split.TRAIN, None, "f", 0)])
        yield opened


def episode(name: str, outcome: Outcome) -> Episode:
    verdict = Verdict(outcome, float(outcome is PASSED), "")
    ids = (3,)
    return Episode(name, "t", 0, Mode.PLAIN, "", (1, 2), ids, (-1.0,), "1|a", "stop", verdict)


def plan(purpose: str, draws: int) -> Plan:
    class Named:
        id = "t"

    return Plan(Named(), purpose, draws)  # type: ignore[arg-type]


def test_a_refuted_success_is_neither_evidence_nor_learnt_from(ledger: Ledger) -> None:
    group = [episode("a", PASSED), episode("b", FAILED), episode("c", PASSED), episode("d", FAILED)]
    player: Any = SecondGrader(a=False, c=True)
    (counted,) = books.record(ledger, player, [plan(TRAIN, 4)], [group], iteration=0)
    assert player.asked == ["a", "c"]
    assert [e.verdict.reward for e in counted] == [0.0, 0.0, 1.0, 0.0]
    row = group_row(counted)
    assert row is not None
    assert row.advantages == pytest.approx((-1 / 3, -1 / 3, 1.0, -1 / 3))
    kept = {e.episode_id: e for e in ledger.evidence_for("t")}
    assert (kept["a"].outcome, kept["a"].reverified) == (PASSED, False)
    assert (kept["c"].outcome, kept["c"].reverified) == (PASSED, True)
    assert kept["b"].reverified is None
    assert ledger.plain_draws()["t"] == [(0, 1, 4)]


def test_a_success_that_we_failed_to_grade_again_is_lost_and_not_refuted(ledger: Ledger) -> None:
    group = [episode("a", PASSED), episode("b", FAILED), episode("c", FAILED)]
    player: Any = SecondGrader(a=None)
    (counted,) = books.record(ledger, player, [plan(COLD, 3)], [group], iteration=0)
    assert [e.verdict.outcome for e in counted] == [INFRA, FAILED, FAILED]
    assert group_row(counted) is None
    kept = {e.episode_id: e for e in ledger.evidence_for("t")}
    assert (kept["a"].outcome, kept["a"].reverified) == (INFRA, None)
    assert ledger.plain_draws()["t"] == [(0, 0, 2)]


@pytest.mark.parametrize("purpose", [BEFORE, TRAIN])
def test_only_successes_on_unproven_training_tasks_are_graded_again(
    ledger: Ledger, purpose: str
) -> None:
    if purpose == TRAIN:
        ledger.record_transitions(0, [Transition("t", State.UNSEEN, State.LIVE, "shown")])
    player: Any = SecondGrader()
    groups = [[episode("a", PASSED), episode("b", FAILED)]]
    assert books.record(ledger, player, [plan(purpose, 2)], groups, iteration=0) == groups
    assert player.asked == []


def test_fewer_draws_than_were_planned_do_not_make_a_task_cold(ledger: Ledger) -> None:
    group = [episode("a", FAILED), episode("b", FAILED), episode("c", INFRA)]
    player: Any = SecondGrader()
    books.record(ledger, player, [plan(COLD, 3)], [group], iteration=0)
    assert books.moves_after(ledger, COLD, ["t"], needed=3) == [None]
    (move,) = books.moves_after(ledger, COLD, ["t"], needed=2)
    assert move is not None
    assert move.after is State.COLD


def test_pilots_of_one_iteration_count_together_for_a_thaw(ledger: Ledger) -> None:
    ledger.record_transitions(0, [Transition("t", State.UNSEEN, State.COLD, "0 of 16")])
    ledger.commit(0, 0, "base")
    names = [f"p{n}" for n in range(16)]
    player: Any = SecondGrader(p0=True, p9=True)
    drawn = [episode(name, PASSED if name in ("p0", "p9") else FAILED) for name in names]
    books.record(ledger, player, [plan(PILOT, 8)], [drawn[:8]], iteration=1)
    assert books.moves_after(ledger, PILOT, ["t"]) == [None]  # one success is not enough
    books.record(ledger, player, [plan(PILOT, 8)], [drawn[8:]], iteration=1)
    (move,) = books.moves_after(ledger, PILOT, ["t"])
    assert move is not None
    assert (move.before, move.after) == (State.COLD, State.LIVE)
    assert move.reason == "2 of 16 plain draws passed at version 0"


def test_the_diagnosis_names_why_a_group_failed() -> None:
    malformed, infra = episode("m", Outcome.MALFORMED), episode("i", INFRA)
    near = Episode(
        "n", "t", 0, Mode.PLAIN, "", (1,), (3,), (-1.0,), "", "stop",
        Verdict(FAILED, 0.0, "", passed=("c0",), failed=("c1",)),
    )  # fmt: skip
    far = episode("f", FAILED)
    groups = [
        [far, episode("s", PASSED)],
        [infra, infra],
        [malformed, malformed, near],
        [near, malformed, far],
        [far, far],
    ]
    assert books.diagnose(groups) == dict.fromkeys(
        ("solved", "infra", "malformed", "near", "far"), 1
    )
