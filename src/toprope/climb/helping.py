"""Carries out what the ladder decides: pilots and demonstrations, booked with their cost."""

from __future__ import annotations

from collections.abc import Callable

from toprope.climb import choose, measure
from toprope.climb.crew import Crew
from toprope.harness.encode import answer_ids
from toprope.ladder.rung import Help
from toprope.ledger.rows import Meter, RungUse, Seed, TeacherCall
from toprope.terms import Attempt, State

Tell = Callable[[int, str], None]
ASKED = "asked"  # the note of an iteration in which a teacher was asked
ENDED = "teacher_ended"  # the note of why the teacher gives no more: budget or unreachable
REPLAYED = "replayed"  # the kind of a seed that some run paid for before
_KINDS = {"recorded": "recorded", "reference": "reference", "openai": "fresh", "llama": "fresh"}


def help_cold(crew: Crew, iteration: int, tell: Tell) -> bool:
    """Give every help that is due; return whether demonstrations changed the policy."""
    cold = crew.cold()
    diagnosis = crew.ledger.last_note("diagnosis") or {}
    malformed = diagnosis.get("malformed", 0) / max(1, sum(diagnosis.values()))
    seeded = asked = False
    for help_ in crew.ladder.help(cold, iteration=iteration, malformed_share=malformed):
        _book_calls(crew, iteration, help_)
        if help_.demonstrations:
            tell(iteration, f"imitating {len(help_.demonstrations)} demonstrations")
            _imitate(crew, iteration, help_)
            seeded = True
        elif help_.pilots:
            measure.pilot(crew, iteration, help_.pilots, crew.config.seeding.pilot_draws)
        asked = asked or bool(help_.attempts)
    if crew.teacher is not None and (crew.teacher.ended or asked):
        crew.ledger.note(iteration, ENDED, crew.teacher.ended)
    if not seeded:
        crew.ledger.note(iteration, "quiet", {"reason": quiet_reason(crew)})
    return seeded


def quiet_reason(crew: Crew) -> str:
    """Return why the teacher was not asked: nothing_cold, parked, budget, unreachable, exhausted.

    The budget is that of the teacher, or of demonstrations.
    """
    now = crew.ledger.counts()
    if not now[State.COLD] and not now[State.PARKED]:
        return "nothing_cold"
    if not now[State.COLD]:
        return "parked"
    ended = crew.ledger.last_note(ENDED)
    if ended:
        return str(ended)
    used = crew.ledger.db.execute("SELECT count(*) FROM seeds").fetchone()[0]
    wanted = crew.config.seeding.demonstrations
    return "budget" if wanted and used >= wanted else "exhausted"


def look_again(crew: Crew, iteration: int) -> None:
    """Re-pilot a random part of the cold tasks: what thawed, seeded or not, is the yield."""
    settings = crew.config.seeding
    cold = [c.task for c in crew.cold()]
    part = choose.random_part(cold, settings.pilot_tasks, crew.config.seed, f"look {iteration}")
    if part:
        measure.pilot(crew, iteration, part, settings.pilot_draws)
    before = crew.ledger.db.execute(
        "SELECT task_id, teacher_tokens, student_tokens, before_s, before_n FROM rung_uses "
        "WHERE iteration = ?",
        [iteration],
    ).fetchall()
    looked = {task.id for task in part}
    uses = []
    for task_id, teacher, student, before_s, before_n in before:
        if task_id in looked:
            after = crew.plain_rate(task_id)
            uses.append(
                RungUse(
                    iteration, task_id, "6", teacher, student,
                    before_s, before_n, after.successes, after.draws,
                )
            )  # fmt: skip
    crew.ledger.record_rung_uses(uses)


def _imitate(crew: Crew, iteration: int, help_: Help) -> None:
    """Learn from demonstrations and book every token that came from the teacher."""
    kind = _KINDS[crew.config.teacher.kind]
    paid_before = {attempt.id for attempt in help_.attempts if attempt.cached}
    spent: dict[str, int] = {}
    own: dict[str, int] = {}
    seeds = []
    player = crew.player
    for demo in help_.demonstrations:
        tokens = len(answer_ids(player.tokenizer, player.dialect, demo.task, demo.action))
        own[demo.task.id] = own.get(demo.task.id, 0) + tokens * crew.config.seeding.epochs
        spent[demo.task.id] = demo.teacher_tokens
        seeds.append(
            Seed(
                iteration, 0, demo.task.id, help_.rung, demo.attempt_id,
                REPLAYED if demo.attempt_id in paid_before else kind,
                tokens * crew.config.seeding.epochs,
            )
        )  # fmt: skip
    uses = []
    for task_id, tokens in spent.items():
        rate = crew.plain_rate(task_id)
        uses.append(
            RungUse(
                iteration, task_id, help_.rung, tokens, own[task_id], rate.successes, rate.draws
            )
        )
    crew.learner.imitate(help_.demonstrations, seed=crew.config.seed)
    crew.version += 1
    crew.ledger.record_seeds(seeds)
    crew.ledger.record_rung_uses(uses)


def _book_calls(crew: Crew, iteration: int, help_: Help) -> None:
    """Book what the teacher was asked, at its price as if it had been asked live."""
    if help_.attempts:
        crew.ledger.note(iteration, ASKED, help_.rung)
    live = _KINDS[crew.config.teacher.kind] == "fresh"
    crew.ledger.record_teacher_calls(
        TeacherCall(
            a.id, a.task_id, help_.rung, a.prompt_tokens, a.completion_tokens,
            a.cost_usd, a.outcome, live and not a.cached,
        )
        for a in help_.attempts
    )  # fmt: skip
    _meter(crew, help_.attempts)


def _meter(crew: Crew, attempts: tuple[Attempt, ...]) -> None:
    tokens = sum(a.prompt_tokens + a.completion_tokens for a in attempts)
    if tokens and crew.config.teacher.kind != "reference":
        size = float(crew.ledger.facts().get("teacher_parameters") or 0)
        row = Meter(crew.meters.iteration, "teacher", flops=2 * size * tokens)
        crew.ledger.record_meters([row])
