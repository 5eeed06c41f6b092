"""Carries out what the ladder decides: pilots, practice and demonstrations, with their cost."""

from __future__ import annotations

import time
from collections.abc import Callable

from toprope.climb import books
from toprope.climb.crew import Crew
from toprope.climb.help import retelling
from toprope.climb.help.practice import practise
from toprope.climb.help.replay import replay
from toprope.climb.help.rounds import ROUND, later_round
from toprope.climb.measuring import measure
from toprope.climb.pool import choose
from toprope.ladder.ladder import DEMONSTRATION
from toprope.ladder.rung import Help
from toprope.ledger.queries import TAUGHT
from toprope.ledger.rows import FORM, FRESH, SELF, RungUse, Seed, TeacherCall
from toprope.ledger.states import parked
from toprope.terms import State

Tell = Callable[[int, str], None]
ASKED = "asked"  # the note of an iteration in which demonstrations were asked for
ENDED = "teacher_ended"  # the note of why the teacher gives no more: budget or unreachable
DEMONSTRATED = "demonstration"
RECORDED, REFERENCE = "recorded", "reference"
REPLAYED = "replayed"  # the kind of a seed that some run paid for before
KINDS = {
    "none": SELF, "recorded": RECORDED, "reference": REFERENCE, "openai": FRESH, "llama": FRESH,
    "form": FORM,
}  # fmt: skip


def help_cold(crew: Crew, iteration: int, tell: Tell) -> bool:
    """Give every help that is due; return whether demonstrations changed the policy."""
    cold = crew.cold()
    practised = {rung.number for rung in crew.ladder.practised}
    diagnosis = crew.ledger.last_note("diagnosis") or {}
    malformed = diagnosis.get("malformed", 0) / max(1, sum(diagnosis.values()))
    seeded = asked = False
    given = list[Help]()
    with crew.meters.phase("teacher"):
        offered = crew.ladder.help(cold, iteration=iteration, malformed_share=malformed)
    for help_ in offered:
        _book_calls(crew, iteration, help_)
        if help_.demonstrations:
            tell(iteration, f"imitating {len(help_.demonstrations)} demonstrations")
            seeded = _imitate(crew, iteration, help_)
        elif help_.pilots:
            measure.pilot(crew, iteration, help_.pilots, crew.config.seeding.pilot_draws)
        elif help_.rung in practised:
            given.append(help_)
        asked = asked or bool(help_.attempts)
    if given:
        tell(iteration, f"helping {sum(len(help_.practice) for help_ in given)} tasks")
        practise(crew, iteration, given, KINDS[crew.config.teacher.kind])
    if crew.teacher is not None and (crew.teacher.ended or asked):
        crew.ledger.note(iteration, ENDED, crew.teacher.ended)
    park(crew, iteration)
    if not _taught(crew, iteration):
        crew.ledger.note(iteration, "quiet", {"reason": quiet_reason(crew)})
    return seeded


def demonstrate(crew: Crew, iteration: int, help_: Help) -> None:
    """Book and imitate demonstrations of tasks that no rung has chosen."""
    _book_calls(crew, iteration, help_)
    if help_.demonstrations:
        _imitate(crew, iteration, help_)


def quiet_reason(crew: Crew) -> str:
    """Return why no teacher was asked.

    nothing_cold, parked, no_teacher, budget, unreachable, later or exhausted. The budget is that
    of the teacher, or of demonstrations.
    """
    now = crew.ledger.counts()
    if not now[State.COLD] and not now[State.PARKED]:
        return "nothing_cold"
    if not now[State.COLD]:
        return "parked"
    if crew.teacher is None:
        return "no_teacher"
    ended = crew.ledger.last_note(ENDED)
    if ended:
        return str(ended)
    if crew.distiller is not None and not crew.distiller.may_read():
        return "budget"
    used = crew.ledger.db.execute(
        "SELECT count(*) FROM seeds WHERE rung = ?", [DEMONSTRATION]
    ).fetchone()[0]
    wanted = crew.config.seeding.demonstrations
    if wanted and used >= wanted:
        return "budget"
    kept = later_round(crew.ledger.db, crew.config)
    asked = kept.asked if kept is not None else ()
    open_ = any(not c.never_seeded and c.task.id not in asked for c in crew.cold())
    return "later" if kept is not None and open_ else "exhausted"


def park(crew: Crew, iteration: int) -> None:
    """Park the cold tasks that every allowed rung has given up on, where there are such rungs.

    A ladder that only gives demonstrations has no more to say of a task than the pilots do.
    """
    if not crew.ladder.practised:
        return
    cold, allowed = crew.cold(), crew.ladder.numbers
    now = crew.ledger.states(one.task.id for one in cold)
    crew.ledger.record_transitions(
        iteration,
        [
            parked(one.task.id, State.COLD, rungs_allowed=allowed, rungs_tried=allowed)
            for one in cold
            if now[one.task.id] is State.COLD
            and one.pilots
            and not one.never_seeded
            and crew.ladder.exhausted(one)
        ],
    )


def _taught(crew: Crew, iteration: int) -> bool:
    """Return whether a teacher's tokens entered this iteration."""
    query = f"SELECT 1 FROM seeds WHERE iteration = ? AND {TAUGHT} LIMIT 1"
    return crew.ledger.db.execute(query, [iteration]).fetchone() is not None


def look_again(crew: Crew, iteration: int, tell: Tell) -> None:
    """Re-pilot a random part of the cold tasks: what thawed, seeded or not, is the yield.

    What they were solved with is replayed where the settings say so.
    """
    settings = crew.config.seeding
    cold = [c.task for c in crew.cold()]
    part = choose.random_part(cold, settings.pilot_tasks, crew.config.seed, f"look {iteration}")
    if part:
        tell(iteration, f"what the seeds thawed: {len(part)} cold tasks, drawn again")
        groups = measure.pilot(crew, iteration, part, settings.pilot_draws)
        replay(crew, iteration, groups)


def _imitate(crew: Crew, iteration: int, help_: Help) -> bool:
    """Learn from demonstrations and book every token that came from the teacher.

    Returns whether there was anything to learn from.
    """
    demonstrations = retelling.as_done(crew, iteration, help_.demonstrations)
    if not demonstrations:
        return False
    kind = KINDS[crew.config.teacher.kind]
    paid_before = {attempt.id for attempt in help_.attempts if attempt.cached}
    spent: dict[str, int] = {}
    own: dict[str, int] = {}
    seeds = []
    began, version = time.monotonic(), crew.version
    for demo in demonstrations:
        tokens = crew.learner.own_tokens(demo)
        own[demo.task.id] = own.get(demo.task.id, 0) + tokens * crew.config.seeding.epochs
        spent[demo.task.id] = demo.teacher_tokens
        seeds.append(
            Seed(
                iteration, 0, demo.task.id, help_.rung, demo.attempt_id,
                REPLAYED if demo.attempt_id in paid_before else kind,
                tokens * crew.config.seeding.epochs,
            )
        )  # fmt: skip
    rates = {task_id: crew.plain_rate(task_id) for task_id in spent}
    crew.learner.imitate(demonstrations, seed=crew.config.seed)
    crew.version += 1
    crew.ledger.record_seeds(seeds)
    each = (time.monotonic() - began) / len(spent)
    crew.ledger.record_rung_uses(
        RungUse(
            iteration, task_id, help_.rung, tokens, own[task_id], rates[task_id].successes,
            rates[task_id].draws, DEMONSTRATED, version, seconds=each,
        )
        for task_id, tokens in spent.items()
    )  # fmt: skip
    return True


def _book_calls(crew: Crew, iteration: int, help_: Help) -> None:
    """Book what the teacher was asked, at its price as if it had been asked live."""
    if help_.attempts and help_.rung == DEMONSTRATION:
        crew.ledger.note(iteration, ASKED, help_.rung)
        if crew.config.seeding.later:
            crew.ledger.note(iteration, ROUND, sorted({a.task_id for a in help_.attempts}))
    live = KINDS[crew.config.teacher.kind] == FRESH
    crew.ledger.record_teacher_calls(
        TeacherCall(
            a.id, a.task_id, help_.rung, a.prompt_tokens, a.completion_tokens,
            a.cost_usd, a.outcome, live and not a.cached,
        )
        for a in help_.attempts
    )  # fmt: skip
    tokens = sum(a.prompt_tokens + a.completion_tokens for a in help_.attempts)
    books.meter_teacher(crew.ledger, crew.meters.iteration, tokens)
