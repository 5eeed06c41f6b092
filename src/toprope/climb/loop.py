"""The climb: measure what is cold, help it, and let reinforcement learning do the rest.

Iteration 0 measures, iteration 1 … learn, the last one measures again. An iteration ends
in one commit of the ledger; a kill at any instant leaves whole iterations, and the same
command goes on from the newest that has its checkpoint. Reads top to bottom.
"""

from __future__ import annotations

from collections.abc import Sequence

from toprope.climb import books, growing
from toprope.climb.commit import commit, restore
from toprope.climb.crew import Crew
from toprope.climb.episodes.play import Plan
from toprope.climb.help import forcing, helping
from toprope.climb.measuring import forgetting, graduation, measure
from toprope.climb.pool import choose
from toprope.climb.status import Status
from toprope.grading import Proof
from toprope.learn.step import StepReport
from toprope.ledger import queries
from toprope.ledger.rows import AFTER, AFTER_SEEDING, BEFORE, REVIEW, TRAIN
from toprope.ledger.standings import Standing
from toprope.ledger.states import MASTER_DRAWS, RETEST_DRAWS, after_proof
from toprope.terms import Episode, State, Task, TopropeError


class NothingToClimb(TopropeError):
    """No task of the taskset can be climbed."""


class Climb:
    """One run of the loop over a crew."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self.last = restore(crew)
        self.proven: set[str] = set()  # in this sitting; a proof is the same in the next
        self.elapsed_before = crew.ledger.db.execute(
            "SELECT coalesce(sum(seconds), 0) FROM seconds"
        ).fetchone()[0]

    def run(self) -> str:
        """Climb until there is no time, no step or nothing left to do; return why it ended."""
        ended = self.crew.ledger.last_note("end")
        if ended is None:
            ended = {"reason": self.climb()}
        reason = str(ended["reason"])
        self.crew.ledger.record_facts({"status": "finished", "stop_reason": reason})
        return reason

    def climb(self) -> str:
        """Do what is left to do; return why it ended."""
        if self.last < 0:
            self.cold_start()
        reason = self.why_stop()
        while not reason:
            self.iterate(self.last + 1)
            reason = self.why_stop()
        self.finish(self.last + 1, reason)
        return reason

    def cold_start(self) -> None:
        """Measure before any help: held-out, the cold test, and the protocol granted."""
        crew = self.crew
        crew.meters.iteration = 0
        self.tell(0, f"proving {len(self.tested())} tasks")
        self.prove()
        self.tell(0, f"held-out before: {len(crew.heldout)} tasks")
        settings = crew.config.evaluation
        measure.evaluate(crew, 0, BEFORE, crew.heldout, settings.before_draws)
        forgetting.draw(crew, 0)
        self.tell(0, f"cold test: {len(self.tested())} tasks x {crew.config.cold_start.draws}")
        groups = measure.cold_test(crew, 0, self.tested())
        crew.ledger.note(0, "diagnosis", books.diagnose(groups))
        self.tell(0, "the same with the protocol granted")
        measure.protocol_granted(crew, 0)
        self.close(0)

    def tested(self) -> Sequence[Task]:
        """Return the tasks that the cold test is made on."""
        return self.crew.train[: self.crew.config.cold_start.tasks]

    def prove(self) -> None:
        """Set aside tasks whose reference fails or that pass unchanged; refuse an empty rest."""
        crew = self.crew
        if not crew.train:
            raise NothingToClimb(
                f"taskset {crew.taskset.name} has no training tasks: give one that has"
            )
        proofs = self.set_aside(0, self.tested())
        if proofs and not any(proof.ok for _, proof in proofs):
            raise NothingToClimb(
                f"every task that was tested is broken (first: {proofs[0][1].why}); "
                "`toprope tasks check` names them all"
            )

    def set_aside(self, iteration: int, tasks: Sequence[Task]) -> list[tuple[Task, Proof]]:
        """Prove unseen tasks and call the unsound ones broken; return all with their proofs."""
        proofs = measure.prove_all(self.crew, tasks)
        self.proven.update(task.id for task, _ in proofs)
        self.crew.ledger.record_transitions(
            iteration,
            [
                after_proof(
                    task.id,
                    State.UNSEEN,
                    reference_passes=proof.ok or "reference" not in proof.why,
                    unchanged_fails=proof.ok or "reference" in proof.why,
                )
                for task, proof in proofs
            ],
        )
        return proofs

    def iterate(self, iteration: int) -> None:
        """Grow a thin pool, help the cold, choose, sample, grade, record, move, learn, evaluate."""
        crew = self.crew
        crew.meters.iteration = iteration
        growing.grow(crew, iteration, self.set_aside, self.tell)
        seeded = self.help(iteration)
        report, groups = None, list[list[Episode]]()
        if not seeded:
            plans = self.choose(iteration)
            self.tell(iteration, f"sampling {sum(p.draws for p in plans)} episodes")
            drawn = crew.play(plans, iteration)
            groups = books.record(crew.ledger, crew.player, plans, drawn, iteration=iteration)
            moves = books.moves_after(crew.ledger, TRAIN, [plan.task.id for plan in plans])
            crew.ledger.record_transitions(iteration, moves)
            self.tell(iteration, "learning")
            report = crew.learner.reinforce(
                [g for p, g in zip(plans, groups, strict=True) if p.purpose == TRAIN],
                step=self.rl_steps(),
            )
            crew.version += report is not None and not report.skipped
        dev = self.evaluate_dev(iteration)
        self.close(iteration, groups=groups, report=report, dev=dev, keep=seeded)

    def help(self, iteration: int) -> bool:
        """Give the cold tasks the help that is due; return whether RL waits for it.

        Held-out is opened once between the last seed and the first RL step.
        """
        crew = self.crew
        self.tell(iteration, "looking at the cold tasks")
        seeded = helping.help_cold(crew, iteration, self.tell)
        if seeded:
            helping.look_again(crew, iteration, self.tell)
        elif not self.rl_steps() and crew.ladder.waiting(crew.cold()):
            return True
        query = "SELECT 1 FROM evidence WHERE purpose = ? LIMIT 1"
        if not crew.ledger.db.execute(query, [AFTER_SEEDING]).fetchone():
            self.tell(iteration, f"held-out after seeding: {len(crew.heldout)} tasks")
            draws = crew.config.evaluation.seeded_draws
            measure.evaluate(crew, iteration, AFTER_SEEDING, crew.heldout, draws)
            forgetting.draw_seeded(crew, iteration)
        if not seeded:
            forcing.force(crew, iteration, self.tell)
        return seeded

    def choose(self, iteration: int) -> list[Plan]:
        """Return the groups to draw: live and unseen tasks, and now and then a review.

        A task that was solved whole the last time gets the draws that can call it mastered.
        """
        crew = self.crew
        chosen, reviews = self.sound_batch(iteration)
        size = crew.config.climbing.group
        long = max(size, MASTER_DRAWS)
        tasks = crew.by_id
        plans = [Plan(tasks[one.task_id], TRAIN, long if one.solved else size) for one in chosen]
        return plans + [Plan(tasks[one.task_id], REVIEW, RETEST_DRAWS) for one in reviews]

    def sound_batch(self, iteration: int) -> tuple[list[Standing], list[Standing]]:
        """Return what `choose.train_batch` does, chosen anew until none of it is broken.

        The cold test proved its own tasks; what is met here for the first time was not, and a
        task that passes unchanged would be paid for doing nothing.
        """
        crew = self.crew
        while True:
            chosen, reviews = choose.train_batch(crew.ledger.db, crew.config, iteration)
            states = crew.ledger.states(one.task_id for one in chosen)
            unseen = (one.task_id for one in chosen if states[one.task_id] is State.UNSEEN)
            new = [crew.by_id[task_id] for task_id in unseen if task_id not in self.proven]
            if not new or all(proof.ok for _, proof in self.set_aside(iteration, new)):
                return chosen, reviews

    def rl_steps(self) -> int:
        """Return how many RL steps were taken before this iteration."""
        query = "SELECT count(*) FROM meters WHERE phase = 'train' AND iteration < ?"
        row = self.crew.ledger.db.execute(query, [self.crew.meters.iteration]).fetchone()
        return int(row[0])

    def evaluate_dev(self, iteration: int) -> float | None:
        """Return the dev pass rate where it is due."""
        every = self.crew.config.evaluation.dev_every
        if not every or iteration % every or not self.crew.dev:
            return None
        self.tell(iteration, "dev")
        return measure.evaluate_dev(self.crew, iteration)

    def finish(self, iteration: int, reason: str) -> None:
        """Measure held-out a last time, the frozen base's draws, and judge graduation."""
        crew = self.crew
        crew.meters.iteration = iteration
        self.tell(iteration, f"held-out after: {len(crew.heldout)} tasks")
        measure.evaluate(crew, iteration, AFTER, crew.heldout, crew.config.evaluation.after_draws)
        forgetting.draw(crew, iteration)
        self.tell(iteration, "the frozen base, given the same draws")
        measure.frozen_base(crew, iteration)
        graduation.judge(crew, iteration)
        crew.ledger.note(iteration, "end", {"reason": reason})
        self.close(iteration, keep=True)

    def close(
        self,
        iteration: int,
        *,
        groups: Sequence[Sequence[Episode]] = (),
        report: StepReport | None = None,
        dev: float | None = None,
        keep: bool = False,
    ) -> None:
        """Checkpoint if it is due, commit, and tell how it went."""
        status = commit(self.crew, iteration, groups=groups, report=report, dev=dev, keep=keep)
        self.last = iteration
        self.crew.watch(self.timed(status))

    def spent(self) -> float:
        """Return the run's wall-clock seconds over all its sittings."""
        return float(self.elapsed_before + self.crew.meters.since_start())

    def flops(self) -> float:
        """Return the committed FLOPs that `limits.flops` is a limit of."""
        counted = self.crew.config.limits.count_teacher
        return queries.flops_spent(self.crew.ledger.db, with_teacher=counted)

    def why_stop(self) -> str:
        """Return why the climbing ends here, or nothing while it goes on."""
        limits = self.crew.config.limits
        if self.last >= limits.steps:
            return f"{limits.steps} iterations were asked for"
        if limits.minutes and self.spent() > 60 * (limits.minutes - limits.reserve_minutes):
            return f"the {limits.minutes:g} minutes that were given are used"
        if limits.flops and self.flops() >= limits.flops:
            whose = "student and teacher" if limits.count_teacher else "student"
            return f"the {limits.flops:.3g} {whose} FLOPs that were given are used"
        now = self.crew.ledger.counts()
        if not now[State.LIVE] and not now[State.UNSEEN] and not now[State.COLD]:
            return "every task is mastered, parked or broken"
        return ""

    def tell(self, iteration: int, doing: str) -> None:
        """Say what is being done now."""
        self.crew.watch(self.timed(Status(iteration, doing)))

    def timed(self, status: Status) -> Status:
        """Return the status with the clock filled in."""
        minutes = self.crew.config.limits.minutes
        left = 60 * minutes - self.spent() if minutes else None
        return status.at(self.spent(), left)
