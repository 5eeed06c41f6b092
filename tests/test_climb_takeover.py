"""A teacher goes on from a student's turns: what is replayed, learned from, paid and booked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from teacher_parts import chat_server
from test_climb_turns import TOKENIZER, Breaking, Kept, Scripted, mending
from toprope.climb.episodes.play import Plan
from toprope.climb.episodes.turndeeds import Deeds
from toprope.climb.episodes.turnplay import Begun, TurnPlayer
from toprope.climb.episodes.underway import UnderWay
from toprope.climb.help.takingover import Taken, states_to_finish, taken_successes
from toprope.climb.meters import Meters, Shape
from toprope.grading import Grader
from toprope.harness.turns import TURN_DIALECTS, TurnLimits
from toprope.harness.turns.retell import finishing
from toprope.harness.turns.spell import told_plainly
from toprope.harness.turns.state import unpacked
from toprope.harness.turns.stream import laid_out
from toprope.harness.turns.template import Template
from toprope.ladder.rung import Practice
from toprope.sandbox import Sandbox, SandboxError, open_sandbox
from toprope.teacher import Budget, BudgetExhausted, Price
from toprope.teacher.live import LiveTeacher
from toprope.teacher.openai import Endpoint
from toprope.terms import Episode, Mode, Observed, Outcome, Task, Verdict
from turn_world import PATH, tasks

TASK = tasks(train=1)[0]
LINES = TURN_DIALECTS["lines"]
VIEW = f"view {PATH}"
FAR = len(TASK.files[PATH].split("\n"))  # a line that is not beside the bug
WRONG = f"edit {PATH} {FAR} {FAR}\nb\nend"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    opened = open_sandbox(workers=2)
    yield opened
    opened.close()


def player(sandbox: Any, script: list[str], kept: Kept, longest: int = 16) -> TurnPlayer:
    limits = TurnLimits(turns=8)
    return TurnPlayer(
        Template(TOKENIZER), LINES, Deeds(LINES, sandbox, kept, limits, retries=1),
        Scripted(script), Grader(sandbox), kept, Meters(), Shape(1, 1, 1, 1), 500, longest,
    )  # fmt: skip


def knowing(task: Task) -> Callable[[Sequence[UnderWay]], list[str | None]]:
    """Finishes by the reference, told from the state at the first question."""
    left: dict[str, list[str]] = {}

    def speak(running: Sequence[UnderWay]) -> list[str | None]:
        for one in running:
            if one.id not in left:
                told = finishing("lines", task, unpacked(task, one.files), fix(task))
                assert told is not None
                left[one.id] = told
        return [left[one.id].pop(0) for one in running]

    return speak


def fix(task: Task) -> str:
    _, edit, _ = mending(task)
    return f"{edit.split(' ')[2]}|{edit.split(chr(10))[1]}"


def failed(actor: TurnPlayer) -> Episode:
    (episode,) = actor.play([Plan(TASK, "beside", 1)], iteration=1, version=0)[0]
    assert episode.verdict.outcome is Outcome.FAILED
    return episode


def test_a_teacher_goes_on_from_the_students_own_state_and_its_turns_alone_are_own(
    sandbox: Sandbox,
) -> None:
    kept = Kept()
    actor = player(sandbox, [VIEW, WRONG, "submit"], kept)
    episode = failed(actor)
    actor.deeds.sandbox = Breaking(sandbox, [SandboxError("x")] * 9)  # type: ignore[assignment]
    (one,) = actor.handed_over([Begun("help/1/t/0", TASK, episode, 2)])
    assert one is not None  # and nothing was done anew
    assert unpacked(TASK, one.files)[PATH].endswith("\nb")
    actor.deeds.sandbox = sandbox
    (done,) = actor.finish([one], knowing(TASK), version=3, mode=Mode.TAKEN, rung="5")
    assert done.verdict.outcome is Outcome.PASSED
    assert (done.id, done.mode, done.rung, done.version) == ("help/1/t/0", Mode.TAKEN, "5", 3)
    assert "edit" in TOKENIZER.decode(done.sampled_ids)
    assert "b\nend" not in TOKENIZER.decode(done.sampled_ids)  # the student's edit
    whole = laid_out(done.sampled_ids, done.logprobs, done.observed)
    students = laid_out(episode.sampled_ids, episode.logprobs, episode.observed)
    handed = episode_length(episode, 2)
    assert whole.ids[:handed] == students.ids[:handed]
    assert not any(whole.own[:handed])
    assert sum(whole.own) == len(done.sampled_ids)
    assert actor.regrade([(TASK, done)]) == [True]


def episode_length(episode: Episode, turns: int) -> int:
    """Tokens after the prompt of an episode's first turns, with what was shown after them."""
    seen = episode.observed[:turns]
    return seen[-1].after + sum(len(one.ids) for one in seen)


def test_what_a_teacher_says_in_vain_is_read_and_not_learned(sandbox: Sandbox) -> None:
    actor = player(sandbox, [VIEW, "submit"], Kept())
    episode = failed(actor)
    (one,) = actor.handed_over([Begun("n", TASK, episode, 1)])
    assert one is not None
    _, edit, submit = mending(TASK)
    long = f"edit {PATH} 1 4\n" + "a\n" * 12 + "end"
    said = ["how now", VIEW, VIEW, long, edit, submit]
    script = iter(said)
    (done,) = actor.finish([one], lambda _: [next(script)], version=0, mode=Mode.TAKEN, rung="5")
    assert done.verdict.outcome is Outcome.PASSED
    learned = [*Template(TOKENIZER).answer(VIEW), *Template(TOKENIZER).answer(edit)]
    assert list(done.sampled_ids) == [*learned, *Template(TOKENIZER).answer(submit)]
    assert "Your answer was cut off" in done.text


def test_a_teacher_that_falls_silent_is_no_evidence(sandbox: Sandbox) -> None:
    actor = player(sandbox, [VIEW, "submit"], Kept())
    (one,) = actor.handed_over([Begun("n", TASK, failed(actor), 1)])
    assert one is not None
    (done,) = actor.finish([one], lambda _: [None], version=0, mode=Mode.TAKEN, rung="5")
    assert (done.stop, done.verdict.outcome) == ("silent", Outcome.INFRA)


def test_a_state_that_does_not_come_again_is_dropped(sandbox: Sandbox) -> None:
    actor = player(sandbox, [VIEW, WRONG, "submit"], Kept())
    episode = failed(actor)
    seen = episode.observed[0]
    other = Observed(seen.after, (*seen.ids[:-1], seen.ids[-1] + 1))
    changed = Episode(
        **{
            name: getattr(episode, name)
            for name in Episode.__slots__
            if name not in ("observed", "id")
        },
        id="other",
        observed=(other, *episode.observed[1:]),
    )
    assert actor.handed_over([Begun("n", TASK, changed, 2)]) == [None]


def ended(outcome: Outcome, *said: int, draw: int = 0) -> Episode:
    verdict = Verdict(outcome, float(outcome is Outcome.PASSED), "")
    seen = (Observed(1, (9,)), Observed(2, (9,)))
    return Episode(
        f"e{draw}",
        TASK.id,
        0,
        Mode.PLAIN,
        "",
        (1,),
        said,
        (0.0,) * len(said),
        "",
        "",
        verdict,
        seen,
    )


def test_the_first_two_distinct_failures_of_the_student_are_gone_on_from() -> None:
    group = [
        ended(Outcome.PASSED, 2, 3, 4), ended(Outcome.INFRA, 2, 3, 5),
        ended(Outcome.LIMIT, 2, 3, 6), ended(Outcome.LIMIT, 2, 3, 6),
        ended(Outcome.MALFORMED, 2, 3, 7),
        ended(Outcome.FAILED, 2, 3, 8),
    ]  # fmt: skip
    practice = Practice(TASK, Mode.TAKEN, share=Fraction(1, 5))
    begun = states_to_finish(practice, group, 4, 12)
    assert [one.episode.sampled_ids[-1] for one in begun] == [6, 7]
    assert [one.turns for one in begun] == [2, 2]
    assert [one.name for one in begun] == [f"help/4/{TASK.id}/{draw}" for draw in (0, 1)]


def test_verified_successes_alone_are_imitated_and_each_once() -> None:
    won = ended(Outcome.PASSED, 2, 3, 4)
    taken = Taken(Practice(TASK, Mode.TAKEN), episodes=[won, won, ended(Outcome.FAILED, 2, 3, 5)])
    taken.teacher_tokens = 7
    (demo,) = taken_successes(taken)
    assert demo.turns is not None
    assert demo.turns.own == (True, False, True, False, True)
    assert (demo.prompt_ids, demo.teacher_tokens, demo.attempt_id) == ((1,), 7, "e0")


@pytest.mark.parametrize(
    ("dialect", "message", "plain"),
    [
        ("lines", "I look.\nview a.py 3 9\nThen\ntest", "view a.py 3 9\ntest"),
        ("lines", "So:\nedit a.py 2 3\n    x\nend\nThat is it.", "edit a.py 2 3\n    x\nend"),
        ("lines", "done", "submit"),
        ("lines", "nothing to do", "nothing to do"),
        (
            "blocks",
            "Fix:\na.py\n<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE\nok",
            "a.py\n<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE",
        ),
        ("bash", "I list.\n```sh\nls -l\n```\nDone.", "```bash\nls -l\n```"),
        (
            "bash",
            "```bash\necho COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT now\n```",
            "```bash\necho COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT\n```",
        ),
    ],
)
def test_a_teachers_turn_is_told_by_its_actions_alone(
    dialect: str, message: str, plain: str
) -> None:
    assert told_plainly(TURN_DIALECTS[dialect], message) == plain


def test_finishing_mends_what_the_student_broke_and_only_that() -> None:
    start = TASK.start()
    assert finishing("lines", TASK, start, fix(TASK)) == mending(TASK)
    mended = {**start, PATH: TASK.solution[PATH]}
    assert finishing("lines", TASK, mended, fix(TASK)) == ["submit"]
    broken = {**start, PATH: start[PATH].rsplit("\n", 1)[0] + "\nb"}
    told = finishing("lines", TASK, broken, fix(TASK))
    assert told is not None
    assert [one.split(" ")[0] for one in told] == ["view", "edit", "edit", "submit"]
    ungraded = {**start, "made.txt": "x"}
    assert finishing("lines", TASK, ungraded, fix(TASK)) == mending(TASK)
    two = replace(TASK, files={**TASK.files, "other.txt": "x\ny"}, editable=(PATH, "other.txt"))
    also = finishing("lines", two, {**two.start(), "other.txt": "x\nz"}, fix(TASK))
    assert also is not None
    assert also[1] == "edit other.txt 2 2\ny\nend"
    assert finishing("lines", TASK, {"checker.py": start["checker.py"]}, fix(TASK)) is None


def test_a_turn_of_a_teacher_is_paid_once_and_never_beyond_its_budget() -> None:
    talk = [{"role": "user", "content": "mend"}]
    kept: dict[str, Any] = {}
    with chat_server(lambda body: "view a") as server:

        def process() -> LiveTeacher:
            found = LiveTeacher(
                Endpoint(server.url, tries=1),
                "tutor",
                budget=Budget(calls=1),
                price=Price(1.0, 1.0),
            )
            found.keep_in(kept)
            return found

        first = process().say("help/1/t/0#1", talk, 0)
        again = process()
        assert again.say("help/1/t/0#1", talk, 0) == first
        assert first is not None
        assert first.text == "view a"
        assert first.cost_usd > 0
        with pytest.raises(BudgetExhausted):
            again.say("help/1/t/0#2", talk, 0)
        assert again.ended == "budget"
    assert len(server.asked) == 1
    assert server.asked[0]["temperature"] == 0
    assert json.dumps(kept)  # JSON values, for a journal


def test_an_endpoint_that_gives_no_turn_is_left_alone_and_costs_no_evidence() -> None:
    talk = [{"role": "user", "content": "mend"}]
    with chat_server(lambda body: "view a", ["400", *["500"] * 9]) as server:
        found = LiveTeacher(Endpoint(server.url, tries=1, sleep=lambda s: None), "tutor")
        assert found.say("a#0", talk, 0) is None
        assert found.ended == ""  # a refusal of one talk says nothing of the next
        assert [found.say(f"b#{n}", talk, 1) for n in range(4)] == [None] * 4
        assert found.ended == "unreachable"
    assert len(server.asked) == 3
