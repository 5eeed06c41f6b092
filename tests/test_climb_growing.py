"""When the pool grows, by which tasks, and that a run which goes on grows to the same pool."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from micro_world import make_tasks
from sittings import sit
from toprope.climb.config import ClimbConfig, ConfigError, load_config
from toprope.climb.episodes.play import Plan
from toprope.climb.growing import grow, next_in_line, why_grow
from toprope.climb.help.spending import before_spending
from toprope.climb.opening import task_row
from toprope.climb.pool import choose
from toprope.climb.pool.choose import REST, control_size
from toprope.climb.pool.reserve import ReserveError, difficulty, held_back
from toprope.climb.why import why
from toprope.grading import Proof
from toprope.ledger import pool
from toprope.ledger.pool import InPool
from toprope.ledger.rows import COLD, STUDENT, TRAIN, Evidence
from toprope.ledger.states import Transition
from toprope.ledger.store import Ledger
from toprope.ledger.summary import summarise
from toprope.report.page import render
from toprope.report.story import task_story
from toprope.report.words import closing
from toprope.tasks import Taskset, make_taskset, save_taskset
from toprope.terms import Episode, Mode, Outcome, Split, State, Task, Verdict

PASSED, FAILED = Outcome.PASSED, Outcome.FAILED
TASKS = make_tasks(train=20, dev=1, heldout=2)
TASKSET = make_taskset(TASKS, "micro")
CONFIG = ClimbConfig.model_validate(
    {"pool": {"reserve": 12, "grow_below": 0.5, "grow_by": 8}, "cold_start": {"draws": 4}}
)
WAITED = REST  # iterations after which a pool may grow again


def harder(taskset: Taskset, **features: float) -> Taskset:
    """Return the taskset with a feature told of some tasks, by their numbers."""
    told = {TASKS[int(at[1:])].id: value for at, value in features.items()}
    tasks = [
        replace(t, features={**t.features, "bugs": told[t.id]}) if t.id in told else t
        for t in taskset.tasks
    ]
    return make_taskset(tasks, "micro")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A run after its cold start: 8 tasks in the pool, all live, and 12 held back."""
    with Ledger.open(tmp_path / "ledger.sqlite", create=True) as opened:
        opened.register_tasks(task_row(task, at) for at, task in enumerate(TASKS))
        reserve = held_back(TASKSET, CONFIG)
        opened.set_aside(task.id for task in reserve)
        opened.record_facts({pool.HELD_BACK: len(reserve), "cold_draws": 4})
        move(opened, started(reserve), State.LIVE)
        opened.commit(0, 0, "base")
        yield opened


def started(reserve: Sequence[Task]) -> list[str]:
    waiting = {task.id for task in reserve}
    return [t.id for t in TASKSET.split(Split.TRAIN) if t.id not in waiting]


def move(ledger: Ledger, ids: Sequence[str], after: State, iteration: int = 0) -> None:
    now = ledger.states(ids)
    ledger.record_transitions(iteration, [Transition(t, now[t], after, "told") for t in ids])


def draw(ledger: Ledger, ids: Sequence[str], iteration: int, *outcomes: Outcome) -> None:
    ledger.record_evidence(
        Evidence(
            f"{TRAIN}/{iteration}/{task}/{at}", iteration, TRAIN, task, 1, STUDENT, Mode.PLAIN,
            "0", at, outcome, 0.0, None, 9, 3,
        )
        for task in ids
        for at, outcome in enumerate(outcomes)
    )  # fmt: skip


class Crew(SimpleNamespace):
    """A climb's ledger and settings, with draws that come out as they are told to."""

    def __init__(self, ledger: Ledger, *, live: Sequence[str] = ()) -> None:
        super().__init__(
            config=CONFIG, ledger=ledger, reserve=held_back(TASKSET, CONFIG), player=self, live=live
        )

    def play(self, plans: Sequence[Plan], iteration: int, **_: Any) -> list[list[Episode]]:
        return [[self.one(p, name) for name in p.episode_ids(iteration)] for p in plans]

    def one(self, plan: Plan, name: str) -> Episode:
        passed = plan.task.id in self.live
        verdict = Verdict(PASSED if passed else FAILED, float(passed), "told")
        return Episode(name, plan.task.id, 1, Mode.PLAIN, "", (1,), (2,), (0.0,), "", "", verdict)

    def regrade(self, pairs: Sequence[tuple[Task, Episode]]) -> list[bool]:
        return [True for _ in pairs]

    def prove(
        self, iteration: int, tasks: Sequence[Task], broken: Sequence[str] = ()
    ) -> list[tuple[Task, Proof]]:
        move(self.ledger, [t.id for t in tasks if t.id in broken], State.BROKEN, iteration)
        return [(t, Proof(t.id not in broken, "told")) for t in tasks]


def joined_at(ledger: Ledger, iteration: int) -> list[str]:
    return [t for t, at in pool.joined(ledger.db).items() if at == iteration]


def master(ledger: Ledger, iteration: int) -> None:
    """Six of the pool's eight tasks are mastered, and one of the others is solved whole."""
    ids = started(held_back(TASKSET, CONFIG))
    move(ledger, ids[:6], State.MASTERED, iteration)
    draw(ledger, ids[6:7], iteration, PASSED, PASSED)
    draw(ledger, ids[7:], iteration, PASSED, FAILED)


@pytest.mark.parametrize(
    ("now", "waited", "grows"),
    [
        (InPool(teaching=5, able=10, cold=0), WAITED, False),  # not under the half
        (InPool(teaching=4, able=10, cold=0), WAITED, True),
        (InPool(teaching=4, able=10, cold=9), WAITED, True),
        (InPool(teaching=4, able=10, cold=0), WAITED - 1, False),  # what joined is met first
        (InPool(teaching=0, able=10, cold=1), WAITED - 1, False),  # and what is cold is helped
        (InPool(teaching=0, able=10, cold=0), 1, True),  # nothing to wait for
        (InPool(teaching=0, able=0, cold=9), WAITED, False),  # that is the ladder's to help
        (InPool(teaching=0, able=0, cold=0), WAITED, True),
    ],
)
def test_the_pool_grows_when_little_of_it_still_teaches(
    now: InPool, waited: int, grows: bool
) -> None:
    assert bool(why_grow(now, 0.5, waited)) is grows


def test_what_teaches_is_untried_or_live_and_not_solved_whole(ledger: Ledger) -> None:
    assert pool.in_pool(ledger.db) == InPool(teaching=8, able=8, cold=0)
    master(ledger, 3)
    assert pool.in_pool(ledger.db) == InPool(teaching=1, able=8, cold=0)
    ledger.take_in(3, [held_back(TASKSET, CONFIG)[0].id], {"why": "told"})
    assert pool.in_pool(ledger.db) == InPool(teaching=2, able=9, cold=0)


def test_tasks_of_functions_that_are_measured_are_never_held_back() -> None:
    train, held = TASKSET.split(Split.TRAIN), TASKSET.split(Split.HELDOUT)[0]
    dev = TASKSET.split(Split.DEV)[0]
    taken = {train[0].id: held.source, train[1].id: dev.source}
    tasks = [replace(t, source=taken.get(t.id, t.source)) for t in TASKS]
    mixed = make_taskset(tasks, "micro")
    most = CONFIG.model_copy(update={"pool": CONFIG.pool.model_copy(update={"reserve": 18})})
    assert {t.id for t in held_back(mixed, most)} == {t.id for t in train[2:]}
    more = CONFIG.model_copy(update={"pool": CONFIG.pool.model_copy(update={"reserve": 19})})
    with pytest.raises(ReserveError, match="has 18 training tasks that can be held back"):
        held_back(mixed, more)
    assert all(t.split is Split.TRAIN for t in held_back(TASKSET, more))


def test_a_seeded_part_is_held_back_or_the_hardest_and_it_joins_harder_first() -> None:
    told = harder(TASKSET, t3=4, t5=2, t9=3)
    ids = [TASKS[at].id for at in (3, 9, 5)]
    hardest = CONFIG.pool.model_copy(update={"reserve": 3, "held": "hardest"})
    assert [t.id for t in held_back(told, CONFIG.model_copy(update={"pool": hardest}))] == ids
    part = held_back(told, CONFIG)
    assert [t.id for t in part] == [t.id for t in held_back(told, CONFIG)]
    assert part != held_back(told, CONFIG.model_copy(update={"seed": 1}))
    assert [difficulty(t) for t in part] == sorted(map(difficulty, part), reverse=True)


def test_more_bugs_then_more_to_change_then_more_to_read_is_harder() -> None:
    easy, features = TASKS[0], {"mutator_p": 0.02, "n_lines": 9}
    said = [
        {"n_lines": 30, "mutator_p": 0.02},
        {"function_lines": 40, "lines": 2, "mutator_p": 0.02},
        {"lines": 3},
        {"files": 2},
        {"bugs": 2},
    ]
    rising = [difficulty(replace(easy, features=f)) for f in (features, *said)]
    assert rising == sorted(rising)
    assert len(set(rising)) == len(rising)
    unlikely = difficulty(replace(easy, features={**features, "mutator_p": 0.01}))
    assert difficulty(replace(easy, features={"n_lines": 9})) < rising[0] < unlikely < rising[1]


def test_one_task_of_each_function_joins_first_and_unreached_functions_last(
    ledger: Ledger,
) -> None:
    reserve = held_back(TASKSET, CONFIG)
    twins = [replace(reserve[1], source=reserve[0].source), *reserve[2:4]]
    line = [reserve[0], *twins]
    assert next_in_line(ledger, line, 3) == [reserve[0], *reserve[2:4]]
    ledger.take_in(1, [reserve[0].id], {"why": "told"})
    assert reserve[0] not in next_in_line(ledger, line, 9)
    move(ledger, [reserve[0].id], State.COLD, 1)
    assert [t.id for t in next_in_line(ledger, line, 9)] == [
        reserve[2].id, reserve[3].id, reserve[1].id,
    ]  # fmt: skip


def test_a_thin_pool_takes_tasks_in_proves_and_cold_tests_them(ledger: Ledger) -> None:
    line = [t.id for t in held_back(TASKSET, CONFIG)]
    crew = Crew(ledger, live=line[:2])
    master(ledger, 9)
    told: list[str] = []
    grow(crew, 9, lambda i, t: crew.prove(i, t, line[2:3]), lambda _, said: told.append(said))
    assert joined_at(ledger, 9) == line[:8]
    assert "1 of the 8 tasks" in told[0]
    found = ledger.states(line)
    assert [found[t] for t in line[:8]] == [State.LIVE] * 2 + [State.BROKEN] + [State.COLD] * 5
    assert [found[t] for t in line[8:]] == [State.UNSEEN] * 4
    assert ledger.evidence_for(line[2]) == []  # nothing is drawn of a broken one
    assert len(ledger.evidence_for(line[3], [COLD])) == CONFIG.cold_start.draws
    assert sum(t.never_seeded for t in ledger.tasks()) == 1  # a quarter of 5
    ledger.commit(9, 1, "base")
    drawn = {s.task_id for at in range(99) for s in choose.train_batch(ledger.db, CONFIG, at)[0]}
    assert drawn & {*line} == {*line[:2]}


def test_a_task_that_could_not_be_proven_joins_untried_and_undrawn(ledger: Ledger) -> None:
    line = [t.id for t in held_back(TASKSET, CONFIG)]
    crew = Crew(ledger)
    master(ledger, 9)
    grow(crew, 9, lambda i, tasks: crew.prove(i, tasks[1:]), lambda *_: None)
    assert joined_at(ledger, 9) == line[:8]
    assert ledger.states(line[:2]) == {line[0]: State.UNSEEN, line[1]: State.COLD}
    assert ledger.evidence_for(line[0]) == []
    assert summarise(ledger.db)["pool"]["growths"][0]["undecided"] == 1


def test_the_pool_waits_before_it_grows_again_and_ends_with_the_reserve(ledger: Ledger) -> None:
    crew, grown = Crew(ledger), []
    master(ledger, 1)
    for iteration in range(1, 40):
        grow(crew, iteration, crew.prove, lambda *_: None)
        grown += [(iteration, len(joined_at(ledger, iteration)))]
    assert [(at, n) for at, n in grown if n] == [(REST, 8), (2 * REST, 4)]


def test_a_run_that_goes_on_grows_to_the_same_pool(ledger: Ledger) -> None:
    """A kill after the growth was committed, and the checkpoint before it."""
    line = [t.id for t in held_back(TASKSET, CONFIG)]
    master(ledger, 9)
    ledger.commit(9, 1, "base")
    before = ledger.digest(), ledger.db.execute("SELECT * FROM standings").fetchall()
    crew = Crew(ledger, live=line[:2])
    grow(crew, 10, crew.prove, lambda *_: None)
    ledger.commit(10, 1, "base")
    after = ledger.digest(), ledger.db.execute("SELECT * FROM standings").fetchall()
    assert after != before
    ledger.rollback_after(9)
    assert (ledger.digest(), ledger.db.execute("SELECT * FROM standings").fetchall()) == before
    assert not any(t.tested or t.never_seeded for t in ledger.tasks())
    grow(crew, 10, crew.prove, lambda *_: None)
    ledger.abandon()  # a kill in the middle of the iteration
    assert not pool.joined(ledger.db)
    grow(crew, 10, crew.prove, lambda *_: None)
    ledger.commit(10, 1, "base")
    assert (ledger.digest(), ledger.db.execute("SELECT * FROM standings").fetchall()) == after


def test_nothing_grows_unless_it_is_asked_for(ledger: Ledger) -> None:
    crew = Crew(ledger)
    crew.config = ClimbConfig()
    master(ledger, 9)
    grow(crew, 9, crew.prove, lambda *_: None)
    assert not pool.joined(ledger.db)
    assert held_back(TASKSET, ClimbConfig()) == []


@pytest.mark.parametrize(
    ("cold", "dealt", "marked", "wanted"),
    [(8, 0, 0, 2), (1, 0, 0, 0), (1, 1, 0, 0), (1, 2, 0, 1), (3, 8, 2, 1), (2, 8, 6, 0)],
)
def test_the_control_keeps_its_share_over_growths(
    cold: int, dealt: int, marked: int, wanted: int
) -> None:
    assert control_size(0.25, cold, dealt=dealt, marked=marked) == wanted


def test_the_summary_tells_the_growth_and_the_cold_start_stays_what_it_was(ledger: Ledger) -> None:
    start = summarise(ledger.db)
    assert start["pool"] == {"held_back": 12, "grown": 0, "left": 12, "growths": []}
    assert any("12 tasks are still held back" in text for text in closing(start).not_shown)
    line = [t.id for t in held_back(TASKSET, CONFIG)]
    crew = Crew(ledger, live=line[:2])
    master(ledger, 9)
    grow(crew, 9, lambda i, t: crew.prove(i, t, line[2:3]), lambda *_: None)
    ledger.commit(9, 1, "base")
    found = summarise(ledger.db)
    (growth,) = found["pool"].pop("growths")
    assert found["pool"] == {"held_back": 12, "grown": 8, "left": 4}
    assert growth.pop("why").startswith("1 of the 8 tasks")
    counted = {"cold": 5, "live": 2, "broken": 1, "undecided": 0, "never_seeded": 1}
    assert growth == {"iteration": 9, "tasks": 8, **counted}
    assert found["cold_start"] == start["cold_start"]
    assert found["thawed"]["of_cold"] == 5
    assert "8 that were held back (iterations 9): 5 of them" in "".join(
        closing(summarise(ledger.db)).shown
    )
    page = render(ledger.db)
    assert "Growth of the pool" in page
    assert "1 of the 8 tasks in it" in page
    assert "joined the pool in iteration 9" in task_story(ledger.path.parent, line[0])
    assert "outside the pool" in task_story(ledger.path.parent, line[-1])
    assert "pool" not in task_story(ledger.path.parent, started(crew.reserve)[0])


def test_a_pool_that_cannot_grow_or_would_never_is_refused() -> None:
    for overrides, said in (
        (["pool.reserve=9"], "would never be drawn"),
        (["pool.grow_below=0.5"], "nothing can join the pool"),
        (["pool.reserve=9", "pool.grow_below=0.5", 'seeding.on="random"'], "take out pool.reserve"),
    ):
        with pytest.raises(ConfigError, match=said):
            load_config("small", overrides)


def test_only_what_the_pool_begins_with_is_counted_as_asked_about(tmp_path: Path) -> None:
    save_taskset(TASKS, tmp_path / "micro.jsonl", "micro")
    words = [
        f'taskset="{tmp_path / "micro.jsonl"}"', 'teacher.kind="openai"',
        'teacher.endpoint="http://127.0.0.1:9"', "cold_start.never_seeded=0",
    ]  # fmt: skip
    for more, most in ((), 20), (("pool.reserve=12", "pool.grow_below=0.5"), 8):
        told = "\n".join(before_spending(load_config("small", [*words, *more]), tmp_path / "run"))
        assert f"of at most {most} tasks" in told
    rounds = [*words, "pool.reserve=12", "pool.grow_below=0.5", "seeding.later=2"]
    told = "\n".join(before_spending(load_config("small", rounds), tmp_path / "run"))
    assert "of at most 20 tasks" in told  # one that joins may be asked about
    assert "demonstrations, 2 of them later" in told


GROWS = (
    "pool.reserve=60 pool.grow_below=0.95 pool.grow_by=6 limits.steps=10 "
    "limits.checkpoint_every=3 cold_start.never_seeded=0.5"
)


@pytest.mark.slow
def test_a_climb_grows_and_kills_change_nothing(
    micro_tasks: Path, micro_student: Path, tmp_path: Path
) -> None:
    ends = (
        "toprope.ledger.store:Ledger.take_in",
        "toprope.climb.measuring.measure:cold_test",  # the checkpoint is older: it grows once more
        "toprope.ledger.store:Ledger.commit#2",  # the growth's own: it is rolled back whole
        "",
    )
    whole, killed = sit(tmp_path, micro_tasks, micro_student, "", "--", *ends, settings=GROWS)
    assert [at["status"] for at in killed["sittings"]] == [-9, -9, -9, 0]
    assert killed["left"] == whole["left"]
    with Ledger.open(tmp_path / "1") as ledger:
        found = summarise(ledger.db)["pool"]
        assert found["grown"] >= 6
        for task_id in pool.joined(ledger.db):
            assert len(ledger.evidence_for(task_id, [COLD])) >= 4
        held = {t.task_id for t in ledger.tasks() if t.split is Split.TRAIN} - {
            *pool.joined(ledger.db)
        }
        outside = {t for t in held if not pool.holds(ledger.db, t)}
        assert len(outside) == found["left"]
        assert all(ledger.evidence_for(task_id) == [] for task_id in outside)
        at = pool.joined(ledger.db)
    assert "it is held back" in why(tmp_path / "1", min(outside))
    assert f"joined the pool in iteration {min(at.values())};" in why(tmp_path / "1", min(at))
