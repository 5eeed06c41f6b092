"""What a large run costs: reads go by the tasks concerned, and the page stays small."""

from __future__ import annotations

from pathlib import Path

from toprope.climb import books
from toprope.climb.help.coldtasks import cold_tasks
from toprope.ledger.accounts import share_at
from toprope.ledger.rows import COLD, STUDENT, TRAIN, Evidence, Meter, TaskRow
from toprope.ledger.states import Transition, after_cold_test
from toprope.ledger.store import Ledger
from toprope.report.page import write_report
from toprope.report.thin import merged, thinned
from toprope.terms import Mode, Outcome, Split, State

MINE = [f"mine{i}" for i in range(4)]


def draws(ids: list[str], iteration: int, purpose: str = TRAIN) -> list[Evidence]:
    return [
        Evidence(
            f"{purpose}/{iteration}/{task}/{at}", iteration, purpose, task, iteration, STUDENT,
            Mode.PLAIN, "", at, Outcome.FAILED, 0.0, None, 9, 3, 0, 4,
        )
        for task in ids
        for at in range(16)
    ]  # fmt: skip


def a_run(path: Path, others: int) -> Ledger:
    """Four cold tasks in iteration 0, and two iterations of draws on all the others."""
    ids = [f"other{i}" for i in range(others)]
    ledger = Ledger.open(path, create=True)
    ledger.register_tasks(TaskRow(t, Split.TRAIN, None, t, i) for i, t in enumerate([*MINE, *ids]))
    ledger.record_evidence(draws(MINE, 0, COLD))
    tested = ledger.plain_draws(purposes=[COLD], task_ids=MINE)
    ledger.record_transitions(0, [after_cold_test(t, tested[t]) for t in MINE])
    ledger.commit(0, 0, "base")
    for at in (1, 2):
        ledger.record_evidence(draws(ids, at))
        ledger.record_meters([Meter(at, "train", trained_tokens=1)])
        ledger.commit(at, at, "base")
    return ledger


def steps(path: Path, others: int) -> int:
    """The steps that SQLite takes for one iteration on a few of the tasks."""
    taken = [0]

    def count() -> int:
        taken[0] += 1
        return 0

    with a_run(path, others) as ledger:
        ledger.db.set_progress_handler(count, 10)
        assert len(cold_tasks(ledger.db, dict.fromkeys(MINE))) == len(MINE)
        ledger.record_evidence(draws(MINE, 3))
        ledger.record_transitions(3, books.moves_after(ledger, TRAIN, MINE))
        share_at(ledger.db, 3)
        assert ledger.counts()[State.UNSEEN] == others
        ledger.commit(3, 3, "base")
        ledger.rollback_after(2)
        return taken[0]


def test_an_iteration_takes_no_more_steps_in_a_run_thirty_times_as_large(tmp_path: Path) -> None:
    assert steps(tmp_path / "large", 1200) < 1.5 * steps(tmp_path / "small", 40)


def test_narrowed_reads_are_those_of_the_whole_tables(tmp_path: Path) -> None:
    with a_run(tmp_path / "ledger.sqlite", 30) as ledger:
        some = ["mine1", "other7", "other20"]
        every, now = ledger.plain_draws(), ledger.states()
        assert ledger.plain_draws(task_ids=some) == {t: every[t] for t in some}
        assert ledger.states(some) == {t: now[t] for t in some}


def test_the_page_of_a_long_run_stays_small_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    ids = [f"t{i:04d}" for i in range(700)]
    with Ledger.open(tmp_path / "ledger.sqlite", create=True) as ledger:
        ledger.register_tasks(TaskRow(t, Split.TRAIN, None, t, i) for i, t in enumerate(ids))
        ledger.record_transitions(
            0, [Transition(t, State.UNSEEN, State.LIVE, "1 of 8") for t in ids]
        )
        for at in range(900):
            ledger.record_evidence(draws([ids[at % len(ids)]], at)[:2])
            ledger.note(at, "quiet", {"reason": "nothing_cold"})
        ledger.db.executemany(
            "INSERT INTO commits VALUES (?, 0, 'base')", [(i,) for i in range(899)]
        )
        ledger.commit(899, 0, "base")
    page = write_report(tmp_path).read_text()
    assert "600 of 700 training tasks whose state changed, at random" in page
    assert "after 400 of 900 iterations" in page
    assert "180 windows as 90 bars" in page
    assert len(page) < 700_000


def test_thinned_values_keep_both_ends() -> None:
    assert thinned([3, 4, 5], 3) == [3, 4, 5]
    assert thinned(list(range(11)), 3) == [0, 5, 10]
    assert len(set(thinned(list(range(100_000)), 400))) == 400


def test_windows_put_together_show_the_highest_share() -> None:
    windows = [{"first": i, "last": i, "share": s} for i, s in enumerate([0.0, 0.4, 0.1, 0.0, 0.2])]
    assert merged(windows, 5) == windows
    assert merged(windows, 3) == [
        {"first": 0, "last": 1, "share": 0.4},
        {"first": 2, "last": 3, "share": 0.1},
        {"first": 4, "last": 4, "share": 0.2},
    ]
    assert merged([]) == []
