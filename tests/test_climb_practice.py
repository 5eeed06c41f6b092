"""Rungs 1 to 4 in whole climbs of the micro world: each alone thaws what RL alone does not."""

from __future__ import annotations

import gzip
import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest

from help_world import helped_by, write_helpable, write_tasks
from micro_world import make_tokenizer
from sittings import sit
from toprope.climb.run import climb
from toprope.climb.training.learner import group_row
from toprope.climb.why import why
from toprope.harness import lines, rewrite
from toprope.harness.encode import answer_ids, prompt_ids
from toprope.harness.lines import express
from toprope.ladder.hint import TIERS, hint_text
from toprope.learn.packing import pack
from toprope.ledger import accounts, queries
from toprope.ledger.rows import BESIDE, HELPED, SELF
from toprope.ledger.store import Ledger
from toprope.ledger.uses import looks_after, rung_uses
from toprope.report.ladder import rung_rows, rung_table
from toprope.sandbox import Sandbox, open_sandbox
from toprope.tasks import Taskset, load_taskset
from toprope.terms import Episode, Mode, Outcome, State, Verdict

pytestmark = pytest.mark.slow  # trains students of its own, and climbs with each of them

PRACTISED = ("1", "2", "3", "4")


@dataclass(frozen=True)
class World:
    taskset: Path
    student: Path
    sandbox: Sandbox
    folder: Path

    def climb(self, name: str, *overrides: str) -> Path:
        """Climb once under a name, and return the run's folder."""
        run = self.folder / name
        if not run.exists():
            climb(helped_by(self.taskset, self.student, *overrides), run, sandbox=self.sandbox)
        return run

    def alone(self, rung: str, *overrides: str) -> Path:
        """Climb with one rung above more samples."""
        teacher = [] if rung in "34" else ['teacher.kind="none"']
        limits = ("limits.steps=16",)
        return self.climb(rung, f"ladder.rungs=[0, {rung}]", *limits, *teacher, *overrides)

    def tasks(self) -> Taskset:
        return load_taskset(self.taskset)


@pytest.fixture(scope="module")
def world(tmp_path_factory: Any) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("help")
    sandbox = open_sandbox(workers=2)
    student = write_helpable(folder / "student")
    every = World(write_tasks(folder / "all.jsonl"), student, sandbox, folder)
    with Ledger.open(every.climb("all", "limits.steps=0", 'teacher.kind="none"')) as ledger:
        solved = {task for task, state in ledger.states().items() if state is not State.COLD}
    # The cold tier: a draw depends on nothing but its name, so these are cold in every climb.
    yield World(write_tasks(folder / "cold.jsonl", without=solved), student, sandbox, folder)
    sandbox.close()


def episodes(run: Path) -> list[Episode]:
    found = []
    for shard in sorted((run / "episodes").glob("*.gz")):
        for line in gzip.decompress(shard.read_bytes()).splitlines():
            row = json.loads(line)
            row["verdict"] = Verdict(**{**row["verdict"], "outcome": row["verdict"]["outcome"]})
            for name in ("prompt_ids", "sampled_ids", "logprobs"):
                row[name] = tuple(row[name])
            found.append(Episode(**{f.name: row[f.name] for f in fields(Episode)}))
    return found


def seeded_cold(ledger: Ledger) -> set[str]:
    """The tasks found cold that rungs may help."""
    cold = accounts.first_cold(ledger.transitions())
    return {row.task_id for row in ledger.tasks() if row.task_id in cold and not row.never_seeded}


def freed(run: Path) -> tuple[int, int]:
    """How many of the cold tasks that may be helped have thawed, of how many."""
    with Ledger.open(run) as ledger:
        helped = seeded_cold(ledger)
        return len(helped & set(accounts.thaws(ledger.transitions()))), len(helped)


def test_reinforcement_alone_leaves_the_tasks_cold(world: World) -> None:
    run = world.climb("none", "ladder.rungs=[0]", "limits.steps=16", 'teacher.kind="none"')
    thawed, cold = freed(run)
    assert cold >= 12
    assert thawed <= 2
    assert accounts_of(run)["by_rung"].keys() == {"0"}


def accounts_of(run: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((run / "summary.json").read_text())
    thawed: dict[str, Any] = summary["thawed"]
    return thawed


@pytest.mark.parametrize("rung", PRACTISED)
def test_each_rung_alone_thaws_tasks(world: World, rung: str) -> None:
    run = world.alone(rung)
    thawed, cold = freed(run)
    assert cold >= 12
    assert thawed >= 5
    with Ledger.open(run) as ledger:
        uses = rung_uses(ledger.db)
        looks = looks_after(ledger.db, uses)
        control = {row.task_id for row in ledger.tasks() if row.never_seeded}
        thaws = accounts.thaws(ledger.transitions())
    assert {use.rung for use in uses} == {rung}
    assert not control & {use.task_id for use in uses}
    assert accounts_of(run)["by_rung"][rung]["thawed"] > 0
    # left at the first thaw, and each use with the plain draws before and after it
    assert all(use.iteration < thaws.get(use.task_id, 99) for use in uses)
    assert all(use.before_n > 0 and use.seconds is not None for use in uses)
    assert sum(look is not None for look in looks) > len(looks) * 0.8


def test_a_helped_success_is_graded_twice_and_is_no_evidence(world: World) -> None:
    for rung in PRACTISED[1:]:
        with Ledger.open(world.alone(rung)) as ledger:
            helped = queries.evidence(ledger.db, purposes=[HELPED])
            beside = queries.evidence(ledger.db, purposes=[BESIDE])
            chunks = ledger.plain_draws()
        modes = {"2": Mode.RETRIED, "3": Mode.HINTED, "4": Mode.PREFIXED}
        assert {(row.mode, row.rung) for row in helped} == {(modes[rung], rung)}
        assert {row.mode for row in beside} == {Mode.PLAIN}
        passed = [row for row in helped if row.outcome is Outcome.PASSED]
        assert passed
        assert all(row.reverified for row in passed)
        plain = sum(chunk.draws for task in chunks.values() for chunk in task)
        with Ledger.open(world.alone(rung)) as ledger:
            rows = [r for r in queries.evidence(ledger.db) if r.mode is Mode.PLAIN]
        training = [r for r in rows if r.policy == "student" and not r.purpose.startswith("eval")]
        assert plain == len(training)


def test_a_hint_stands_in_the_prompt_and_in_no_loss(world: World) -> None:
    run, tokenizer, tasks = world.alone("3"), make_tokenizer(), world.tasks()
    groups = by_group(run, Mode.HINTED)
    with Ledger.open(run) as ledger:
        setting = {(u.iteration, u.task_id): u.setting for u in rung_uses(ledger.db)}
        seeds = ledger.db.execute("SELECT iteration, task_id, kind, tokens, place FROM seeds")
        shown = {(i, t): (kind, tokens, place) for i, t, kind, tokens, place in seeds}
    assert set(setting.values()) <= set(TIERS)
    for (iteration, task_id), group in groups.items():
        task = tasks.by_id(task_id)
        action = express(task, {**task.files, **task.solution})
        assert action is not None
        hint = hint_text(task, action, setting[iteration, task_id])
        prompt = prompt_ids(tokenizer, lines, task, shown=hint)
        extra = len(prompt) - len(prompt_ids(tokenizer, lines, task))
        assert all(episode.prompt_ids == prompt for episode in group)
        assert shown[iteration, task_id] == ("reference", extra * len(group), "prompt")
    check_masks(groups)


def test_a_prefix_is_the_beginning_of_the_answer_and_in_no_loss(world: World) -> None:
    run, tokenizer, tasks = world.alone("4"), make_tokenizer(), world.tasks()
    groups = by_group(run, Mode.PREFIXED)
    lengths = set()
    with Ledger.open(run) as ledger:
        setting = {(u.iteration, u.task_id): u.setting for u in rung_uses(ledger.db)}
    for (iteration, task_id), group in groups.items():
        task = tasks.by_id(task_id)
        action = express(task, {**task.files, **task.solution})
        assert action is not None
        keep = int(setting[iteration, task_id].partition("/")[0])
        lengths.add(keep)
        begun = answer_ids(tokenizer, lines, task, action)[:keep]
        for episode in group:
            assert episode.prompt_ids == prompt_ids(tokenizer, lines, task) + begun
            whole = tokenizer.decode(begun + episode.sampled_ids, skip_special_tokens=True)
            assert episode.text == whole.split("\n")[0]
    assert lengths == {1, 2} or lengths == {1}
    assert any(told.startswith("0/") for told in setting.values())  # withdrawn to nothing
    check_masks(groups)


def by_group(run: Path, mode: Mode) -> dict[tuple[int, str], list[Episode]]:
    """The helped groups of a run, by iteration and task."""
    found: dict[tuple[int, str], list[Episode]] = {}
    for episode in episodes(run):
        if episode.mode == mode:
            iteration = int(episode.id.split("/")[1])
            found.setdefault((iteration, episode.task_id), []).append(episode)
    assert found
    return found


def check_masks(groups: dict[tuple[int, str], list[Episode]]) -> None:
    """Every prediction that carries loss is of a token that the student sampled itself."""
    rows = [row for row in map(group_row, groups.values()) if row is not None]
    assert rows
    for row in rows:
        packed = pack([row])
        assert int(packed.source_T.min()) == len(row.prompt_ids) - 1  # the first own token's
        own = {token for completion in row.completions for token in completion}
        assert set(packed.target_T.tolist()) <= own
        assert row.own_tokens == sum(map(len, row.completions))


def test_retries_are_imitated_by_their_own_tokens_and_cost_no_teacher(world: World) -> None:
    run, tasks, tokenizer = world.alone("2"), world.tasks(), make_tokenizer()
    drawn = {episode.id: episode for episode in episodes(run)}
    with Ledger.open(run) as ledger:
        seeds = ledger.db.execute("SELECT task_id, attempt_id, kind, tokens FROM seeds").fetchall()
    assert seeds
    for task_id, attempt, kind, tokens in seeds:
        episode = drawn[attempt]
        assert (kind, episode.mode, episode.verdict.outcome) == (SELF, Mode.RETRIED, "passed")
        assert tokens == 2 * len(episode.sampled_ids)  # two epochs
        told = tokenizer.decode(episode.prompt_ids)
        assert "fai" in told  # the feedback was there, and what is imitated is on a plain prompt
        assert len(prompt_ids(tokenizer, lines, tasks.by_id(task_id))) < len(episode.prompt_ids)
    summary = json.loads((run / "summary.json").read_text())
    assert summary["teacher"]["tokens"] == summary["teacher"]["calls"] == 0
    assert {window["share"] for window in summary["teacher"]["share_by_window"]} == {0.0}


def test_hint_and_prefix_tokens_are_teacher_share(world: World) -> None:
    for rung in ("3", "4"):
        summary = json.loads((world.alone(rung) / "summary.json").read_text())
        first = summary["teacher"]["share_by_window"][0]
        with Ledger.open(world.alone(rung)) as ledger:
            shown, trained = (
                ledger.db.execute(f"SELECT sum({what}) FROM {table} WHERE iteration < 5").fetchone()
                for what, table in (("tokens", "seeds"), ("trained_tokens", "meters"))
            )
        assert first["tokens"] == shown[0] > 0
        assert first["share"] == pytest.approx(shown[0] / (shown[0] + trained[0]))


def test_rungs_that_can_do_nothing_give_up_and_the_task_is_parked(world: World) -> None:
    run = world.climb(
        "hopeless", "ladder.rungs=[0, 2, 3]", "climbing.learning_rate=1e-9",
        "seeding.learning_rate=1e-9", "ladder.patience=2", "ladder.tasks=24", "limits.steps=9",
    )  # fmt: skip
    with Ledger.open(run) as ledger:
        helped = seeded_cold(ledger)
        uses = rung_uses(ledger.db)
        parked = {c.task_id: c.reason for c in ledger.transitions() if c.after is State.PARKED}
        thawed = set(accounts.thaws(ledger.transitions()))
    order = {t: [u.rung for u in uses if u.task_id == t] for t in helped}
    assert set(parked) >= helped - thawed
    assert set(parked.values()) == {"every allowed rung has been tried"}
    assert all(order[t] == ["2", "2", "3", "3"] for t in helped - thawed)
    task = sorted(helped - thawed)[0]
    said = why(run, task)
    assert "is parked since iteration" in said
    assert "its last help was rung 3" in said
    assert "for no allowed rung can help it" in said


def test_what_each_rung_cost_and_freed(world: World) -> None:
    rows = {row["rung"]: row for row in rung_rows(world.alone("4"))}
    assert rows.keys() == {"0", "4"}
    row = rows["4"]
    assert row["answer_key"]
    assert row["thawed"] == accounts_of(world.alone("4"))["by_rung"]["4"]["thawed"]
    assert row["derived_tokens"] > 0 == row["teacher_tokens"]
    assert row["derived_tokens_per_thaw"] == row["derived_tokens"] / row["thawed"]
    before, after = row["plain_before"], row["plain_after"]
    assert before["ci95"][0] <= before["rate"] <= before["ci95"][1] < 0.15
    assert after["rate"] > before["rate"]
    assert rows["0"]["seconds"] is None
    table = rung_table(list(rows.values()))
    assert "4 prefix" in table
    assert "no claim rests on it" in table


def test_why_a_task_stands_where_it_does(world: World) -> None:
    run = world.alone("1")
    with Ledger.open(run) as ledger:
        now = ledger.states()
        control = next(row.task_id for row in ledger.tasks() if row.never_seeded)
        held = next(row.task_id for row in ledger.tasks() if row.split == "heldout")
    mastered = next(t for t, state in now.items() if state in (State.MASTERED, State.LIVE))
    assert f"{mastered} is {now[mastered]} since iteration" in why(run, mastered)
    assert "never helped or learned" in why(run, held)
    if now[control] is State.COLD:
        assert "it is the control" in why(run, control)


KILLS = (
    "toprope.climb.help.practice:_draw_plain",
    "toprope.climb.help.practice:_draw_helped",
    "toprope.climb.help.practice:_reinforce",
    "toprope.climb.help.practice:_imitate#2",
    "toprope.climb.help.practice:_book#2",
    "toprope.climb.commit:_checkpoint",
    "toprope.climb.help.practice:_reinforce#3",
)
HELPED_BY_ALL = (
    "ladder.rungs=[0,1,2,3,4] seeding.demonstrations=0 limits.steps=7 climbing.learning_rate=2e-3"
)


@pytest.mark.parametrize(
    ("dialect", "patience"), [("lines", 1), pytest.param("rewrite", 2, marks=pytest.mark.slow)]
)
def test_a_rung_half_done_is_done_again_to_the_bit(
    world: World, tmp_path: Path, dialect: str, patience: int
) -> None:
    settings = f'{HELPED_BY_ALL} student.dialect="{dialect}" ladder.patience={patience}'
    ends = ("", "--", *KILLS, "")
    whole, killed = sit(tmp_path, world.taskset, world.student, *ends, settings=settings)
    statuses = [at["status"] for at in killed["sittings"]]
    assert statuses == [*[-signal.SIGKILL] * len(KILLS), 0]
    assert killed["left"] == whole["left"]
    with Ledger.open(tmp_path / "0") as ledger:
        given = {use.rung for use in rung_uses(ledger.db)}
    assert given >= ({"1", "2", "3", "4"} if dialect == "lines" else {"4"})


def test_in_rewrite_a_prefix_follows_the_draft_and_then_leaves_it(world: World) -> None:
    """The begun answer is a beginning of what is graded, whether it still copies or not."""
    run = world.climb(
        "rewrite", "ladder.rungs=[0, 4]", 'student.dialect="rewrite"', "limits.steps=8"
    )
    tokenizer, tasks = make_tokenizer(), world.tasks()
    groups = by_group(run, Mode.PREFIXED)
    for (_, task_id), group in groups.items():
        task = tasks.by_id(task_id)
        action = express(task, {**task.files, **task.solution})
        assert action is not None
        answer = answer_ids(tokenizer, rewrite, task, action)
        plain = prompt_ids(tokenizer, rewrite, task)
        for episode in group:
            begun = episode.prompt_ids[len(plain) :]
            assert episode.prompt_ids[: len(plain)] == plain
            assert answer[: len(begun)] == begun
            assert 0 < len(begun) < len(answer)
            assert episode.text.startswith(tokenizer.decode(begun))
