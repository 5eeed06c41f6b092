"""Which tasks an iteration draws."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import plain_ledger
from toprope.climb.config import ClimbConfig
from toprope.climb.pool.choose import REST, train_batch
from toprope.ledger.rows import PILOT, STUDENT, TRAIN, Evidence, TaskRow
from toprope.ledger.states import Transition
from toprope.ledger.store import Ledger
from toprope.terms import Mode, Outcome, Split, State

CONFIG = ClimbConfig.model_validate({"climbing": {"tasks": 8, "explore": 0.5}})
NOW = 40
IDS = [f"t{i:02d}" for i in range(30)]
PASSED, FAILED, INFRA = Outcome.PASSED, Outcome.FAILED, Outcome.INFRA


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite", create=True) as opened:
        opened.register_tasks(TaskRow(t, Split.TRAIN, None, t, i) for i, t in enumerate(IDS))
        yield opened


def move(ledger: Ledger, ids: list[str], after: State, iteration: int = 0) -> None:
    now = ledger.states(ids)
    ledger.record_transitions(iteration, [Transition(t, now[t], after, "told") for t in ids])


def look(
    ledger: Ledger, ids: list[str], iteration: int, *outcomes: Outcome, purpose: str = TRAIN
) -> None:
    ledger.record_evidence(
        Evidence(
            f"{purpose}/{iteration}/{task}/{draw}", iteration, purpose, task, iteration,
            STUDENT, Mode.PLAIN, "0", draw, outcome, 0.0, None, 9, 3,
        )
        for task in ids
        for draw, outcome in enumerate(outcomes)
    )  # fmt: skip


def drawn(ledger: Ledger, iteration: int = NOW) -> list[str]:
    chosen, _ = train_batch(ledger.db, CONFIG, iteration)
    return [one.task_id for one in chosen]


def test_half_of_a_batch_is_live_and_half_unseen(ledger: Ledger) -> None:
    move(ledger, IDS[:15], State.LIVE)
    chosen = drawn(ledger)
    assert len(set(chosen)) == 8
    assert len(set(chosen) & set(IDS[:15])) == 4


def test_the_longest_waiting_come_first(ledger: Ledger) -> None:
    move(ledger, IDS, State.LIVE)
    for at, task_id in enumerate(IDS):
        look(ledger, [task_id], at, FAILED)
    assert drawn(ledger) == IDS[:8]


def test_ties_are_shuffled_by_seed_and_iteration_and_none_is_left_out(ledger: Ledger) -> None:
    first = drawn(ledger, 1)
    assert drawn(ledger, 1) == first
    assert drawn(ledger, 2) != first
    met = Counter(task_id for at in range(200) for task_id in drawn(ledger, at))
    assert set(met) == set(IDS)


def test_a_task_solved_whole_rests_and_then_comes_again(ledger: Ledger) -> None:
    move(ledger, IDS, State.LIVE)
    look(ledger, IDS[:20], NOW - REST - 1, PASSED, PASSED)
    look(ledger, IDS[20:], NOW - 1, PASSED, FAILED)
    assert set(drawn(ledger)) <= set(IDS[:20])
    assert not set(drawn(ledger, NOW - 1)) & set(IDS[:20])


def test_resting_tasks_are_drawn_when_nothing_else_is_left(ledger: Ledger) -> None:
    move(ledger, IDS[3:], State.LIVE)
    look(ledger, IDS[3:], NOW - 1, PASSED)
    chosen = drawn(ledger)
    assert len(chosen) == 8
    assert set(IDS[:3]) <= set(chosen)


def test_only_mastered_tasks_are_reviewed_and_never_learned_from(ledger: Ledger) -> None:
    move(ledger, IDS, State.LIVE)
    move(ledger, IDS, State.MASTERED)
    reviews = [train_batch(ledger.db, CONFIG, at) for at in range(60)]
    assert all(not chosen for chosen, _ in reviews)
    assert 5 < sum(len(again) for _, again in reviews) < 40  # 4 % of 8 tasks an iteration


def test_tasks_set_aside_are_never_chosen(ledger: Ledger) -> None:
    ledger.set_aside(IDS[4:])
    assert sorted(drawn(ledger)) == IDS[:4]


def wander(ledger: Ledger, dice: random.Random, iteration: int) -> None:
    """An iteration of any kind of draws and moves, the lost and the refuted among them."""
    for purpose in (TRAIN, PILOT, "eval:dev:1"):
        for task_id in dice.sample(IDS, 5):
            kind = dice.choice([[PASSED], [FAILED], [INFRA], [PASSED, FAILED, INFRA]])
            look(ledger, [task_id], iteration, *dice.choices(kind, k=3), purpose=purpose)
    for task_id in dice.sample(IDS, 6):
        now = ledger.states([task_id])[task_id]
        after = dice.choice([s for s in State if s is not now])
        ledger.record_transitions(iteration, [Transition(task_id, now, after, "told")])


def agrees(ledger: Ledger, iteration: int) -> None:
    """Kept standings say what the whole tables say, and the choice follows the same rule."""
    now, looks = plain_ledger.states(ledger.db), plain_ledger.looks(ledger.db)
    assert list(ledger.states().items()) == list(now.items())
    assert ledger.counts() == {state: list(now.values()).count(state) for state in State}
    rows = ledger.db.execute("SELECT task_id, looked, solved FROM standings WHERE looked >= 0")
    assert {t: (looked, bool(solved)) for t, looked, solved in rows} == looks
    chosen = drawn(ledger, iteration)
    plain = plain_ledger.batch(ledger.db, 8, 0.5, CONFIG.seed, iteration)

    def told(task_id: str) -> tuple[State, int]:
        return now[task_id], looks[task_id].iteration if task_id in looks else -1

    assert len(set(chosen)) == len(chosen)
    assert [told(t) for t in chosen] == [told(t) for t in plain]


@pytest.mark.parametrize("seed", range(4))
def test_standings_follow_any_history_through_commits_losses_and_rollbacks(
    ledger: Ledger, seed: int
) -> None:
    dice, iteration = random.Random(seed), 0
    for _ in range(25):
        wander(ledger, dice, iteration)
        agrees(ledger, iteration)
        end = dice.random()
        if end < 0.6:
            ledger.commit(iteration, iteration, "base")
            iteration += 1
        elif end < 0.8 or not iteration:
            ledger.abandon()
        else:
            iteration = dice.randrange(iteration)
            ledger.rollback_after(iteration)
            iteration += 1
        agrees(ledger, iteration)


def test_a_choice_reads_no_more_rows_of_a_larger_pool(tmp_path: Path) -> None:
    def steps(size: int) -> int:
        with Ledger.open(tmp_path / str(size), create=True) as opened:
            rows = (TaskRow(f"t{i}", Split.TRAIN, None, "f", i) for i in range(size))
            opened.register_tasks(rows)
            taken = [0]

            def count() -> int:
                taken[0] += 1
                return 0

            opened.db.set_progress_handler(count, 10)
            train_batch(opened.db, CONFIG, NOW)
            return taken[0]

    assert steps(20_000) < 2 * steps(500)
