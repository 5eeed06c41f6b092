"""The verbs around a climb, over one micro run: climb, export, show, report, eval."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import micro_world
from toprope.cli.main import main
from toprope.climb.config import to_toml
from toprope.climb.pastrun import PastRun
from toprope.harness import lines
from toprope.ledger.store import Ledger
from toprope.tasks import load_taskset

SMALL = (
    "cold_start.tasks=8",
    "cold_start.granted_tasks=2",
    "seeding.demonstrations=4",
    "seeding.pilot_tasks=8",
    "climbing.tasks=4",
    "evaluation.heldout_tasks=8",
    "evaluation.before_draws=2",
    "evaluation.seeded_draws=2",
    "evaluation.after_draws=2",
    "evaluation.frozen_base_draws=0",
    "evaluation.dev_every=1",
    "limits.steps=2",
    "limits.checkpoint_every=1",
)


def toprope(*words: object) -> int:
    """Run a command line in this process and return its exit code."""
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verbs")
    taskset = micro_world.write_taskset(folder / "micro.jsonl")
    student = micro_world.write_student(folder / "student", steps=30)
    config = micro_world.settings(taskset, student, *SMALL)
    (folder / "micro.toml").write_text(to_toml(config))
    with (folder / "said.txt").open("w") as said, contextlib.redirect_stdout(said):
        assert toprope("climb", folder / "micro.toml", "--run", folder / "run") == 0
    return folder


@pytest.fixture(scope="module")
def run(world):
    return world / "run"


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("export") / "climbed"
    assert toprope("export", run, out) == 0
    return out


def logits(folder: Path, text: str) -> torch.Tensor:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        found: torch.Tensor = model(**tokenizer(text, return_tensors="pt")).logits
    return found


def test_a_climb_ends_in_words_a_summary_and_a_report(world, run):
    said = (world / "said.txt").read_text()
    assert said.index("Held-out pass rate:") < said.index("Shown:") < said.index("Not shown:")
    assert "answer key" in said  # the reference teacher supports no claim
    summary = json.loads((run / "summary.json").read_text())
    assert summary["status"] == "finished"
    assert summary["walls"]["isolated"] is True
    assert summary["walls"]["missing"] == []
    assert "answer key" in (run / "report.html").read_text()


def test_every_file_of_a_run_and_every_key_of_its_summary_is_documented(run):
    page = (Path(__file__).parents[1] / "docs" / "run-directory.md").read_text()
    for file in run.iterdir():
        if not file.name.startswith("."):
            assert f"`{file.name}{'/' if file.is_dir() else ''}`" in page, file.name
    for key in json.loads((run / "summary.json").read_text()):
        assert key == "schema" or f"`{key}`" in page, key


def test_a_climb_without_walls_ends_in_a_red_line(world, tmp_path, capsys):
    words = ["climb", world / "micro.toml", "--run", tmp_path / "run", "--unsafe-local"]
    quick = ["limits.steps=0", "cold_start.tasks=2", "evaluation.heldout_tasks=2"]
    assert toprope(*words, *(word for each in quick for word in ("--set", each))) == 0
    assert "unsafe: untrusted code ran without isolation" in capsys.readouterr().err
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["walls"]["missing"]


def test_plain_transformers_loads_an_export_with_the_checkpoints_logits(run, exported):
    checkpoint = PastRun.open(run).checkpoint()
    prompt = "1|a\n2|J\n3|t\nnow"
    assert torch.equal(logits(exported, prompt), logits(checkpoint, prompt))
    assert not torch.equal(logits(exported, prompt), logits(run.parent / "student", prompt))


def test_an_export_carries_the_harness_and_the_runs_numbers(run, exported):
    harness = json.loads((exported / "harness.json").read_text())
    assert harness["dialect"] == lines.DIALECT
    assert harness["prompt"][0]["content"] == lines.SYSTEM
    assert harness["limits"]["max_tokens"] == PastRun.open(run).config.student.max_tokens
    card = (exported / "README.md").read_text()
    after = json.loads((run / "summary.json").read_text())["heldout"]["after"]["mid"]["pass@1"]
    row = next(line for line in card.splitlines() if line.startswith("| mid"))
    assert f"{100 * after:.1f} %" in row.split("|")[4]
    assert "checkpoint `step-" in card


def test_an_export_of_an_older_checkpoint_does_not_claim_the_last_evaluation(run, tmp_path):
    oldest = min(child.name for child in (run / "checkpoints").iterdir())
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    with Ledger.open(copy) as ledger:
        ledger.db.execute("UPDATE evidence SET version = version + 1 WHERE purpose = 'eval:after'")
    assert toprope("export", copy, tmp_path / "out", "--checkpoint", oldest) == 0
    card = (tmp_path / "out" / "README.md").read_text()
    row = next(line for line in card.splitlines() if line.startswith("| mid"))
    assert row.split("|")[4].strip() == "–"
    assert "Gain by reinforcement" not in card


@pytest.mark.parametrize(
    ("which", "told"), [("step-000099", "take one of step-"), ("nonsense", "last, best")]
)
def test_a_checkpoint_that_is_not_there_is_named(run, tmp_path, capsys, which, told):
    assert toprope("export", run, tmp_path / "out", "--checkpoint", which) == 1
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_altered_checkpoint_is_not_exported(run, tmp_path, capsys):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    weights = PastRun.open(copy).checkpoint() / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    assert toprope("export", copy, tmp_path / "out") == 1
    assert "was altered" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_best_checkpoint_is_the_one_with_the_highest_dev_rate(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    past = PastRun.open(copy)
    oldest = min(int(f.name[5:]) for f in (copy / "checkpoints").iterdir())
    with Ledger.open(copy) as ledger:
        ledger.db.execute("UPDATE notes SET value = '0.1' WHERE key = 'dev_rate'")
        ledger.db.execute(
            "UPDATE notes SET value = '0.9' WHERE key = 'dev_rate' AND iteration = ?", [oldest]
        )
    assert past.checkpoint("best").name == f"step-{oldest:06d}"
    assert past.checkpoint("last").name > past.checkpoint("best").name


def test_a_folder_without_a_run_is_an_expected_failure(tmp_path, capsys):
    for words in (["export", tmp_path, tmp_path / "out"], ["report", tmp_path]):
        assert toprope(*words) == 1
    assert capsys.readouterr().err.count("error: ") == 2


def test_show_tells_a_task_and_an_episode(run, capsys):
    with Ledger.open(run) as ledger:
        task = next(iter(ledger.states()))
        episode = ledger.evidence_for(task)[0].episode_id
    assert toprope("show", task, "--run", run) == 0
    assert f"Task {task}, train" in capsys.readouterr().out
    assert toprope("show", episode, "--run", run) == 0
    assert "What it wrote:" in capsys.readouterr().out
    assert toprope("show", task[:-1], "--run", run) == 1
    assert "did you mean micro/train-" in capsys.readouterr().err


def test_ladder_and_why_tell_what_helped_and_what_comes_next(run, capsys):
    assert toprope("ladder", run, "--json") == 0
    samples, seeds = json.loads(capsys.readouterr().out)
    assert (samples["rung"], seeds["rung"], seeds["answer_key"]) == ("0", "6", True)
    assert seeds["tasks"] == seeds["uses"] > 0
    assert toprope("ladder", run) == 0
    assert "6 demonstration" in capsys.readouterr().out
    with Ledger.open(run) as ledger:
        helped = ledger.db.execute("SELECT task_id FROM rung_uses").fetchone()[0]
    assert toprope("why", helped, "--run", run) == 0
    assert "its last help was rung 6 (demonstration)" in capsys.readouterr().out
    assert toprope("why", helped[:-1], "--run", run) == 1
    assert "did you mean micro/train-" in capsys.readouterr().err


def test_report_writes_the_page_again_or_says_the_words(world, run, capsys):
    (run / "report.html").unlink()
    assert toprope("report", run) == 0
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    assert (run / "report.html").stat().st_size > 10_000
    assert toprope("report", run, "--words") == 0
    assert capsys.readouterr().out.strip() in (world / "said.txt").read_text()


def test_eval_compares_a_runs_base_with_its_last_checkpoint(world, run, capsys):
    words = ["eval", run, "--taskset", world / "micro.jsonl", "--draws", 2, "--limit", 8]
    assert toprope(*words, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [s["name"].split()[0] for s in found["subjects"]] == ["base", "run"]
    assert found["isolated"] is True
    first, second = found["subjects"]
    assert first["gain"] is None
    gain = second["tiers"]["mid"]["pass@1"] - first["tiers"]["mid"]["pass@1"]
    assert second["gain"]["mid"]["gain"] == pytest.approx(gain)
    assert sum(first["outcomes"].values()) == first["tiers"]["all"]["samples"] == 16
    assert toprope(*words) == 0
    told = capsys.readouterr().out
    assert "8 heldout tasks of micro" in told
    assert "− the first" in told


def test_an_export_scores_exactly_as_its_checkpoint(world, run, exported, capsys):
    taskset = world / "micro.jsonl"
    subjects = [PastRun.open(run).checkpoint(), exported]
    words = ["--taskset", taskset, "--split", "train", "--draws", 8, "--limit", 16, "--json"]
    assert toprope("eval", *subjects, *words) == 0
    checkpoint, export = json.loads(capsys.readouterr().out)["subjects"]
    assert export["tiers"] == checkpoint["tiers"]
    assert export["outcomes"] == checkpoint["outcomes"]
    assert export["gain"]["all"]["gain"] == 0.0


def test_eval_draws_the_runs_own_heldout_tasks(run):
    from toprope.climb.comparing.evaluate import Evaluation

    config = PastRun.open(run).config
    limit = config.evaluation.heldout_tasks
    asked = Evaluation(load_taskset(config.taskset), limit=limit, seed=config.seed)
    with Ledger.open(run) as ledger:
        drawn = ledger.db.execute(
            "SELECT DISTINCT task_id FROM evidence WHERE purpose = 'eval:after'"
        )
        measured = {task_id for (task_id,) in drawn}
    assert {task.id for task in asked.tasks()} == measured
