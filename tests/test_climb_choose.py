"""Which tasks an iteration draws."""

from __future__ import annotations

from micro_world import make_tasks
from toprope.climb.choose import REST, Look, train_batch
from toprope.climb.config import ClimbConfig
from toprope.terms import Split, State, Task

CONFIG = ClimbConfig.model_validate({"climbing": {"tasks": 8, "explore": 0.5}})
NOW = 40


def pool(count: int = 30) -> list[Task]:
    return [task for task in make_tasks(train=count) if task.split is Split.TRAIN]


def drawn(now: dict[str, State], looks: dict[str, Look], iteration: int = NOW) -> list[str]:
    chosen, _ = train_batch(pool(), now, looks, CONFIG, iteration)
    return [task.id for task in chosen]


def all_in(state: State) -> dict[str, State]:
    return {task.id: state for task in pool()}


def test_half_of_a_batch_is_live_and_half_unseen() -> None:
    ids = [task.id for task in pool()]
    now = {**all_in(State.UNSEEN), **dict.fromkeys(ids[:15], State.LIVE)}
    chosen = drawn(now, {})
    assert sum(now[task_id] is State.LIVE for task_id in chosen) == 4
    assert len(set(chosen)) == 8


def test_the_longest_waiting_come_first() -> None:
    ids = [task.id for task in pool()]
    looks = {task_id: Look(at, False) for at, task_id in enumerate(ids)}
    assert sorted(drawn(all_in(State.LIVE), looks)) == sorted(ids[:8])


def test_a_task_solved_whole_rests_and_then_comes_again() -> None:
    ids = [task.id for task in pool()]
    looks = {task_id: Look(NOW - 1, False) for task_id in ids}
    solved = {task_id: Look(NOW - 2, True) for task_id in ids[:20]}
    assert not set(drawn(all_in(State.LIVE), {**looks, **solved})) & set(solved)
    later = {task_id: Look(NOW - REST - 1, True) for task_id in ids[:20]}
    assert set(drawn(all_in(State.LIVE), {**looks, **later})) <= set(later)


def test_resting_tasks_are_drawn_when_nothing_else_is_left() -> None:
    looks = {task.id: Look(NOW - 1, True) for task in pool()}
    assert len(drawn(all_in(State.LIVE), looks)) == 8
    few = {**all_in(State.LIVE), **{task.id: State.UNSEEN for task in pool()[:3]}}
    assert {task.id for task in pool()[:3]} <= set(drawn(few, looks))


def test_only_mastered_tasks_are_reviewed_and_never_learned_from() -> None:
    now = all_in(State.MASTERED)
    reviews = [train_batch(pool(), now, {}, CONFIG, at) for at in range(60)]
    assert all(not chosen for chosen, _ in reviews)
    assert 5 < sum(len(again) for _, again in reviews) < 40  # 4 % of 8 tasks an iteration
