"""Episodes over turns: token-exact, ended by name, lost only by us, done once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tiny_models import tiny_model
from toprope.climb.config import ConfigError, load_config
from toprope.climb.episodes.journal import Unkept
from toprope.climb.episodes.play import Plan
from toprope.climb.episodes.turndeeds import Deeds, TurnsFail
from toprope.climb.episodes.turnplay import Told, TurnPlayer
from toprope.climb.episodes.underway import UnderWay
from toprope.climb.meters import Meters, Shape
from toprope.climb.training.learner import Learner, group_row
from toprope.grading import Grader
from toprope.harness.turns import TURN_DIALECTS, TurnLimits
from toprope.harness.turns.retell import retold
from toprope.harness.turns.stream import laid_out
from toprope.harness.turns.template import Template
from toprope.learn.step import StepReport
from toprope.policy.asks import Ask, Work
from toprope.sandbox import Sandbox, SandboxError, WorkerDied, open_sandbox
from toprope.terms import Completion, Episode, Mode, Observed, Outcome, Task, Verdict
from turn_world import (
    PATH,
    tasks,
    turn_tokenizer,
)

TOKENIZER = turn_tokenizer()
END = TOKENIZER.eos_token_id


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    opened = open_sandbox(workers=2)
    yield opened
    opened.close()


def ids(text: str) -> tuple[int, ...]:
    return tuple(TOKENIZER.encode(text, add_special_tokens=False))


@dataclass
class Scripted:
    """A sampler that says what is written, and remembers what it was asked."""

    script: list[str]
    stop: str = "stop"
    work: Work = field(default_factory=Work)
    asked: list[Ask] = field(default_factory=list)

    def sample(
        self, asks: Any, *, version: int = 0, temperature: float = 1.0, constrain: bool = False
    ) -> list[Completion]:
        self.asked += asks
        return [self._say(name) for ask in asks for name in ask.episode_ids]

    def _say(self, name: str) -> Completion:
        turn = int(name.rpartition("#")[2])
        last = turn == len(self.script) - 1
        stop = self.stop if last else "stop"
        if stop == "lost":
            return Completion(name, (), (), "lost")
        said = (*ids(self.script[turn]), *([END] if stop == "stop" else []))
        return Completion(name, said, (-0.5,) * len(said), stop)


def player(
    sandbox: Any, sampler: Any, limits: TurnLimits | None = None, *, context: int = 400
) -> TurnPlayer:
    dialect = TURN_DIALECTS["lines"]
    limits = limits or TurnLimits()
    return TurnPlayer(
        Template(TOKENIZER), dialect, Deeds(dialect, sandbox, Unkept(), limits, retries=1),
        sampler, Grader(sandbox), Unkept(), Meters(), Shape(1, 1, 1, 1), context, 16,
    )  # fmt: skip


def mending(task: Task) -> list[str]:
    """The turns of the reference fix."""
    after = task.solution[PATH].split("\n")
    at = next(i for i, line in enumerate(task.files[PATH].split("\n")) if line != after[i])
    told = retold("lines", task, f"{at + 1}|{after[at]}")
    assert told is not None
    return told


def played(
    sandbox: Any, script: list[str], limits: TurnLimits | None = None, **more: Any
) -> Episode:
    stop, context = more.get("stop", "stop"), more.get("context", 400)
    task = tasks(train=1)[0]
    actor = player(sandbox, Scripted(script, stop), limits, context=context)
    return actor.play([Plan(task, "train", 1)], iteration=1, version=0)[0][0]


def test_own_tokens_stay_as_they_were_sampled_and_prompts_are_only_added_to(
    sandbox: Sandbox,
) -> None:
    task = tasks(train=1)[0]
    look, edit, submit = mending(task)
    sampler = Scripted([look, edit, submit])
    unusual = tuple(i for letter in "edit" for i in ids(letter))  # one token, as it is encoded
    plain, sampler._say = sampler._say, lambda name: plain(name)  # type: ignore[method-assign]

    def spelt(name: str) -> Completion:
        done = plain(name)
        if not name.endswith("#1"):
            return done
        said = (*unusual, *done.ids[1:])
        return Completion(name, said, (-0.25,) * len(said), "stop")

    sampler._say = spelt  # type: ignore[method-assign]
    actor = player(sandbox, sampler)
    (episode,) = actor.play([Plan(task, "train", 1)], iteration=1, version=0)[0]
    assert episode.verdict.outcome is Outcome.PASSED
    assert episode.stop == "submitted"
    first = len(ids(look)) + 1
    assert episode.sampled_ids[first : first + 4] == unusual
    assert ids(TOKENIZER.decode(unusual)) == ids("edit") != unusual
    laid = laid_out(episode.sampled_ids, episode.logprobs, episode.observed)
    whole = episode.prompt_ids + laid.ids
    for earlier, later in zip(sampler.asked, sampler.asked[1:], strict=False):
        assert later.prompt_ids[: len(earlier.prompt_ids)] == earlier.prompt_ids
    assert whole[: len(sampler.asked[-1].prompt_ids)] == sampler.asked[-1].prompt_ids
    shown = "\n".join(
        [PATH, *(f"{n:5} {c}" for n, c in enumerate(task.files[PATH].split("\n"), 1))]
    )
    assert episode.observed[0] == Observed(first, ids(shown))
    assert actor.regrade([(task, episode)]) == [True]


def test_a_group_that_begins_alike_is_one_ask(sandbox: Sandbox) -> None:
    task = tasks(train=1)[0]
    sampler = Scripted(mending(task))
    player(sandbox, sampler).play([Plan(task, "train", 4)], iteration=1, version=0)
    assert [len(ask.episode_ids) for ask in sampler.asked] == [4, 4, 4]
    assert sampler.asked[0].episode_ids[0] == f"train/1/{task.id}/0#0"


def test_common_numbers_name_turns_too(sandbox: Sandbox) -> None:
    task = tasks(train=1)[0]
    sampler = Scripted(["submit"])
    actor = player(sandbox, sampler)
    (group,) = actor.play([Plan(task, "eval", 1, common=True)], iteration=1, version=0)
    assert sampler.asked[0].numbers == (f"common/{task.id}/0#0",)
    assert group[0].verdict.outcome is Outcome.FAILED  # nothing was changed


VIEW = f"view {PATH}"


@pytest.mark.parametrize(
    ("script", "limits", "more", "end", "outcome"),
    [
        ([VIEW] * 3, TurnLimits(turns=3), {}, "turns", Outcome.LIMIT),
        ([VIEW] * 3, TurnLimits(tokens=10), {}, "tokens", Outcome.LIMIT),
        ([VIEW] * 9, TurnLimits(), {"context": 80}, "context", Outcome.LIMIT),
        ([VIEW], TurnLimits(), {"context": 20}, "context", Outcome.LIMIT),
        ([VIEW], TurnLimits(seconds=0.0), {}, "seconds", Outcome.TIMEOUT),
        (["now"] * 3, TurnLimits(unreadable=3), {}, "malformed", Outcome.MALFORMED),
        ([VIEW], TurnLimits(), {"stop": "malformed"}, "malformed", Outcome.MALFORMED),
        ([VIEW, VIEW], TurnLimits(), {"stop": "lost"}, "lost", Outcome.INFRA),
    ],
)
def test_what_runs_out_ends_an_episode_with_its_own_outcome(
    sandbox: Sandbox, script: list[str], limits: TurnLimits, more: dict[str, Any], end: str,
    outcome: Outcome,
) -> None:  # fmt: skip
    episode = played(sandbox, script, limits, **more)
    assert (episode.stop, episode.verdict.outcome) == (end, outcome)
    assert episode.verdict.reward == 0
    assert episode.changes is None
    laid = laid_out(episode.sampled_ids, episode.logprobs, episode.observed)
    assert len(episode.prompt_ids + laid.ids) <= more.get("context", 400)


def test_a_mended_file_that_was_not_handed_in_is_no_success(sandbox: Sandbox) -> None:
    look, edit, _ = mending(tasks(train=1)[0])
    assert played(sandbox, [look, edit], TurnLimits(turns=2)).verdict.reward == 0


def test_a_turn_that_is_cut_off_does_nothing_and_is_told_so(sandbox: Sandbox) -> None:
    look, edit, _ = mending(tasks(train=1)[0])
    episode = played(sandbox, [look, edit], TurnLimits(turns=2), stop="length")
    assert "Your answer was cut off after" in episode.text
    assert "SetLines" not in episode.text


def test_a_long_observation_is_cut_in_the_middle(sandbox: Sandbox) -> None:
    episode = played(sandbox, [VIEW, "submit"], TurnLimits(observation=8))
    assert "characters left out" in episode.text
    assert "\nprog\n" in episode.text


@dataclass
class Breaking:
    """A sandbox whose next sessions fail."""

    real: Sandbox
    faults: list[Exception]

    @property
    def workers(self) -> int:
        return 1

    def open(self, start: Any) -> Any:
        if self.faults:
            raise self.faults.pop(0)
        return self.real.open(start)

    def run(self, job: Any) -> Any:
        return self.real.run(job)


def test_a_fault_of_ours_is_tried_again_and_then_lost_and_masked(sandbox: Sandbox) -> None:
    script = mending(tasks(train=1)[0])[1:]  # a look needs no room
    once = played(Breaking(sandbox, [SandboxError("x")]), script)
    assert once.verdict.outcome is Outcome.PASSED
    lost = played(Breaking(sandbox, [SandboxError("x"), SandboxError("x")]), script)
    assert (lost.stop, lost.verdict.outcome) == ("lost", Outcome.INFRA)
    assert group_row([once, lost]) is None


def test_who_ends_the_worker_twice_has_failed(sandbox: Sandbox) -> None:
    died = Breaking(sandbox, [WorkerDied("x"), WorkerDied("x")])
    assert played(died, mending(tasks(train=1)[0])[1:]).verdict.outcome is Outcome.FAILED


def test_where_nothing_can_be_done_the_climb_is_stopped(sandbox: Sandbox) -> None:
    broken = Breaking(sandbox, [SandboxError("x")] * 40)
    actor = player(broken, Scripted([f"edit {PATH} 1 1\na\nend"]))
    plans = [Plan(task, "train", 1) for task in tasks(train=20) if task.split == "train"]
    with pytest.raises(TurnsFail, match="sandbox probe"):
        actor.play(plans, iteration=1, version=0)


class Kept(dict[str, Any]):
    def journal_get(self, keys: Any) -> dict[str, Any]:
        return {key: json.loads(self[key]) for key in keys if key in self}

    def journal_put(self, answers: Any) -> None:
        self.update({key: json.dumps(value) for key, value in answers.items()})


def test_a_turn_that_was_done_is_not_done_again(sandbox: Sandbox) -> None:
    task, kept, dialect = tasks(train=1)[0], Kept(), TURN_DIALECTS["lines"]
    edit = mending(task)[1]

    def once(sandbox: Any) -> Any:
        one = UnderWay(task, "e", "e", (1,))
        one.say((2, 3))
        return Deeds(dialect, sandbox, kept, TurnLimits()).done([(one, edit)])[0]

    first = once(sandbox)
    assert first.files
    closed = Breaking(sandbox, [SandboxError("x")] * 9)
    assert once(closed) == first
    assert len(closed.faults) == 9  # nobody knocked


def test_a_replay_that_comes_to_other_files_is_dropped(sandbox: Sandbox) -> None:
    task = tasks(train=1)[0]
    look, edit, submit = mending(task)
    action = f"{edit.split(' ')[2]}|{edit.split(chr(10))[1]}"
    actor = player(sandbox, Scripted([]))
    good, other = actor.replay(
        [Told("a", task, action, (look, edit, submit)), Told("b", task, action, (look, submit))]
    )
    assert other is None
    assert good is not None
    assert TOKENIZER.decode(good.sampled[0]) == f"{look}<eos>{edit}<eos>{submit}<eos>"
    assert len(good.observed) == 2


def test_group_rows_learn_from_own_tokens_alone() -> None:
    def one(reward: float, said: tuple[int, ...], *observed: Observed) -> Episode:
        verdict = Verdict(Outcome.PASSED if reward else Outcome.FAILED, reward, "")
        chances = tuple(-0.1 * n for n in range(1, len(said) + 1))
        return Episode(
            "e", "t", 0, Mode.PLAIN, "", (1, 2), said, chances, "", "", verdict, observed
        )

    row = group_row([one(1.0, (3, 4, 5), Observed(2, (8, 9))), one(0.0, (3,))])
    assert row is not None
    assert row.completions == ((3, 4, 8, 9, 5), (3,))
    assert row.own == ((True, True, False, False, True), (True,))
    assert row.sampler_logprobs is not None
    assert row.sampler_logprobs[0] == pytest.approx((-0.1, -0.2, 0.0, 0.0, -0.3))
    single = group_row([one(1.0, (3, 4)), one(0.0, (3,))])
    assert single is not None
    assert single.own is None  # answers of one turn are packed as they always were


def test_a_tokens_weight_in_the_loss_is_by_the_most_that_an_episode_may_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = []

    def learn(*_: Any, token_limit: int, **__: Any) -> StepReport:
        limits.append(token_limit)
        return StepReport(0.0, 0.0, 0, 0)

    monkeypatch.setattr("toprope.climb.training.learner.learn_groups", learn)
    verdicts = [Verdict(Outcome.PASSED, 1.0, ""), Verdict(Outcome.FAILED, 0.0, "")]
    group = [
        Episode("e", "t", 0, Mode.PLAIN, "", (1,), (2,), (-0.5,), "", "", verdict)
        for verdict in verdicts
    ]
    for turns in ("turns.tokens=77", 'turns.dialect=""'):
        config = load_config("default", ['turns.dialect="lines"', turns])
        learner = Learner(tiny_model("llama"), TOKENIZER, config, Meters(), Shape(1, 1, 1, 1))
        learner.reinforce([group], step=0)
    assert limits == [77, config.student.max_tokens]


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("ladder.rungs=[0, 3, 6]", "rung 3 helps answers of one turn"),
        ("cold_start.granted_tasks=2", "set cold_start.granted_tasks to 0"),
        ('student.sampler="vllm"', "set student.sampler to 'torch'"),
        ("student.max_tokens=4096", "leaves nothing of turns.context"),
    ],
)
def test_settings_that_turns_contradict_are_refused(setting: str, told: str) -> None:
    endpoint = ['student.endpoint="http://127.0.0.1:1"'] if "vllm" in setting else []
    with pytest.raises(ConfigError, match=told):
        load_config("default", ['turns.dialect="blocks"', setting, *endpoint])


def test_turns_grant_no_protocol_unless_asked() -> None:
    assert load_config("default", ['turns.dialect="bash"']).cold_start.granted_tasks == 0
