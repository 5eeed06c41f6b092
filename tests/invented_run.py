"""An invented run directory for the report's tests: plausible, deterministic, and no evidence."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

from toprope.ledger import rows
from toprope.ledger.rows import Evidence, Meter, RungUse, Seed, TaskRow, TeacherCall
from toprope.ledger.states import (
    Transition,
    after_cold_test,
    after_draws,
    after_pilot,
    after_review,
)
from toprope.ledger.store import Ledger
from toprope.terms import Mode, Outcome, Split, State, Tier

TIERS = (Tier.NEAR, Tier.MID, Tier.FAR, Tier.FAR)


class InventedRun:
    """Tasks with a hidden ability that training raises, recorded as a climb would."""

    def __init__(self, ledger: Ledger, *, tasks: int, iterations: int, teacher: str) -> None:
        self.ledger, self.teacher, self.last = ledger, teacher, iterations
        self.dice = random.Random(5)
        self.train = [f"attrs-{i:03d}" for i in range(tasks)]
        self.dev = [f"dev-{i:02d}" for i in range(tasks // 8)]
        self.held = [f"held-{i:03d}" for i in range(tasks // 3)]
        self.hardness = {t: self.dice.random() for t in (*self.train, *self.dev, *self.held)}

    def register(self) -> None:
        def row(task: str, i: int, split: Split, tier: Tier | None = None) -> TaskRow:
            return TaskRow(task, split, tier, f"{split}-f{i // 2}", i, mutator_p=0.006)

        known = [row(t, i, Split.TRAIN) for i, t in enumerate(self.train)]
        known += [row(t, i, Split.DEV) for i, t in enumerate(self.dev)]
        known += [row(t, i, Split.HELDOUT, TIERS[i % 4]) for i, t in enumerate(self.held)]
        self.ledger.register_tasks(known)
        self.ledger.record_meta(
            seed=5,
            student="smollm2-135m-instruct",
            teacher=self.teacher,
            taskset={"name": "default", "hash": "ab12" * 16},
            window=5,
        )

    def chance(self, task: str, iteration: int) -> float:
        """Nothing before seeding, then rising; far tasks lag behind."""
        if iteration == 0:
            return 0.15 if self.hardness[task] < 0.04 else 0.0
        lag = 0.35 if self.hardness[task] > 0.5 else 0.0
        return max(0.0, min(1.0, 0.25 + 0.9 * iteration / self.last - self.hardness[task] - lag))

    def draw(self, purpose: str, tasks: list[str], iteration: int, n: int, **changes) -> None:
        policy, mode = changes.get("policy", rows.STUDENT), changes.get("mode", Mode.PLAIN)
        at = 0 if policy == rows.BASE else iteration
        ease = 0.6 if purpose.startswith("eval") else 1.0
        found = []
        for task in tasks:
            for i in range(n):
                passed = self.dice.random() < ease * self.chance(task, at)
                bad = Outcome.MALFORMED if iteration == 0 else Outcome.FAILED
                outcome = Outcome.PASSED if passed else bad
                if self.dice.random() < 0.001 and purpose != rows.COLD:  # there it is made up for
                    outcome = Outcome.INFRA
                found.append(
                    Evidence(
                        f"{purpose}/{iteration}/{task}/{i}/{policy}/{mode}",
                        iteration,
                        purpose,
                        task,
                        at,
                        policy,
                        mode,
                        "0",
                        i,
                        outcome,
                        float(passed),
                        None,
                        210,
                        15,
                    )
                )
        self.ledger.record_evidence(found)
        phase = "eval" if purpose.startswith("eval") else "sample"
        total = len(found)
        self.ledger.record_meters(
            [Meter(iteration, phase, 60 * total, 15 * total, 0, 1.6e10 * total, total)]
        )
        self.ledger.record_seconds(iteration, {phase: total / 90, "grade": total / 600})

    def cold_test(self) -> None:
        tested = self.train[: len(self.train) * 2 // 3]
        self.ledger.mark_tested(tested)
        self.draw(rows.COLD, tested, 0, 16)
        self.draw(rows.GRANTED, tested[::6], 0, 16, mode=Mode.GRANTED)
        self.draw(rows.BEFORE, self.held, 0, 4)
        draws = self.ledger.plain_draws(purposes=[rows.COLD])
        self.ledger.record_transitions(0, [after_cold_test(t, draws[t]) for t in tested])
        broken = [Transition(self.train[-1], State.UNSEEN, State.BROKEN, "the reference fix fails")]
        self.ledger.record_transitions(0, broken)
        cold = self.standing(State.COLD)
        self.ledger.mark_never_seeded(cold[::4])
        malformed = len(cold) * 9 // 10
        told = {"malformed": malformed, "near": 3, "far": len(cold) - malformed - 3, "infra": 0}
        self.ledger.note(0, "diagnosis", told)
        self.ledger.commit(0, 0, "step-000000")

    def seed(self) -> None:
        seeded = [t for i, t in enumerate(self.standing(State.COLD)) if i % 4][:60]
        calls = [
            TeacherCall(
                f"{t}/{i}", t, "6", 320, 90, 0.0, Outcome.PASSED if i % 2 else Outcome.FAILED, False
            )
            for t in seeded
            for i in range(4)
        ]
        self.ledger.record_teacher_calls(calls)
        for kind in ("recorded", "replayed"):
            self.ledger.record_seeds(Seed(1, 0, t, "6", f"{t}/1", kind, 16) for t in seeded)
        self.ledger.record_rung_uses(RungUse(1, t, "6", 410, 0, 0, 16) for t in seeded)
        trained = 32 * len(seeded)
        self.ledger.record_meters(
            [
                Meter(1, "seed", 9 * trained, 0, trained, 9e13),
                Meter(1, "teacher", 410 * len(calls), 0, 0, 9e14),
            ]
        )
        self.ledger.record_seconds(1, {"seed": 110.0})
        self.draw(rows.AFTER_SEEDING, self.held, 1, 4)
        self.ledger.commit(1, 1, "step-000001")

    def climb(self, iteration: int) -> None:
        live = self.standing(State.LIVE) + self.standing(State.UNSEEN)[:-1]
        chosen = self.dice.sample(live, min(16, len(live)))
        self.draw(rows.TRAIN, chosen, iteration, 16)
        asleep = self.standing(State.COLD)
        piloted = asleep if iteration in (2, 4, 8, 16, 24, 32) else []
        self.draw(rows.PILOT, piloted, iteration, 8)
        self.draw(rows.FROZEN_BASE, piloted, iteration, 8, policy=rows.BASE)
        mastered = self.standing(State.MASTERED)[:6]
        self.draw(rows.REVIEW, mastered, iteration, 8)
        states, draws = self.ledger.states(), self.ledger.plain_draws(since=0)
        reviews = self.ledger.plain_draws(purposes=[rows.REVIEW])
        moves = [after_pilot(t, states[t], draws.get(t, [])) for t in piloted]
        moves += [after_draws(t, states[t], draws.get(t, [])) for t in chosen]
        moves += [after_review(t, states[t], reviews.get(t, [])) for t in mastered]
        if iteration == self.last * 3 // 4:
            moves += [
                Transition(t, State.COLD, State.PARKED, "every allowed rung has been tried")
                for t in asleep[-9:]
                if t not in {m.task_id for m in moves if m}
            ]
        self.ledger.record_transitions(iteration, moves)
        self.ledger.record_meters([Meter(iteration, "train", 9000, 0, 1500, 7e12)])
        self.ledger.record_seconds(iteration, {"train": 5.0, "other": 0.6})
        self.ledger.note(iteration, "quiet", {"reason": "exhausted"})
        if iteration % 5 == 0:
            self.draw(rows.dev_purpose(iteration), self.dev, iteration, 4)
        if iteration == self.last:
            self.draw(rows.AFTER, self.held, iteration, 8)
            unmet = {"nothing_is_cold": False, "no_regression": True, "fork": None}
            self.ledger.note(iteration, "graduation", {"graduated": False, "criteria": unmet})
        self.ledger.commit(iteration, iteration, f"step-{iteration:06d}")

    def standing(self, state: State) -> list[str]:
        return [task for task, found in self.ledger.states().items() if found is state]


def invent_run(
    folder: Path,
    *,
    tasks: int = 96,
    iterations: int = 20,
    teacher: str = "recorded",
    isolated: bool = True,
) -> Path:
    """A finished run under `folder`, with a ledger and one shard of episodes."""
    folder.mkdir(parents=True, exist_ok=True)
    walls = {
        "level": "namespaces" if isolated else "unsafe-local",
        "isolated": isolated,
        "standing": ["files", "network", "memory"] if isolated else [],
        "missing": [] if isolated else ["files", "network"],
        "fix": "",
    }
    with Ledger.open(folder / "ledger.sqlite", create=True) as ledger:
        run = InventedRun(ledger, tasks=tasks, iterations=iterations, teacher=teacher)
        run.register()
        run.cold_test()
        run.seed()
        for iteration in range(2, iterations + 1):
            run.climb(iteration)
        ledger.record_facts(
            {
                "run": "invented",
                "status": "finished",
                "stop_reason": "time limit",
                "device": {"name": "cpu", "cores": 2},
                "versions": {"toprope": "0.1.0"},
                "peak_rss_gb": 3.2,
                "walls": walls,
            }
        )
        write_episodes(folder, ledger)
    return folder


def write_episodes(folder: Path, ledger: Ledger) -> None:
    (folder / "episodes").mkdir()
    with gzip.open(folder / "episodes" / "iteration-000000.jsonl.gz", "wt") as shard:
        for task in ledger.tasks()[:300]:
            for row in ledger.evidence_for(task.task_id)[:40]:
                verdict = {
                    "outcome": row.outcome,
                    "reward": row.reward,
                    "why": "as invented",
                    "passed": [],
                    "failed": ["c07"],
                    "level": "exact",
                }
                episode = {
                    "id": row.episode_id,
                    "task_id": row.task_id,
                    "version": row.version,
                    "mode": row.mode,
                    "rung": row.rung,
                    "prompt_ids": [1, 2, 3],
                    "sampled_ids": [4, 5],
                    "logprobs": [-0.5, -1.0],
                    "text": "7|return a - b",
                    "stop": "stop",
                    "verdict": verdict,
                }
                shard.write(json.dumps(episode) + "\n")
