"""The texts of the forgetting suite: what ships, what a user brings, and what a model reads."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from micro_world import make_tokenizer, short_settings
from tiny_models import FAMILIES, plain_logprobs, tiny_model
from toprope.climb.measuring import forgetting
from toprope.climb.meters import Meters, Shape
from toprope.climb.run import climb
from toprope.climb.settings import Evaluation
from toprope.climb.texts import DEFAULT, Texts, TextsError, load_texts
from toprope.ledger.forgetting import FEWEST_OF_KIND, FEWEST_TEXTS, measured
from toprope.ledger.store import Ledger
from toprope.policy import nexttoken
from toprope.policy.nexttoken import Reading, foresee
from toprope.policy.supported import require_supported


def test_the_shipped_suite_is_the_default_and_large_enough_to_be_judged():
    assert Evaluation().forgetting == DEFAULT
    suite = load_texts(DEFAULT)
    kinds = [text.kind for text in suite.texts]
    assert len(kinds) >= FEWEST_TEXTS
    assert min(kinds.count(kind) for kind in kinds) >= FEWEST_OF_KIND
    assert len({text.text for text in suite.texts}) == len(kinds)


def test_it_is_switched_off_by_an_empty_name():
    assert load_texts("") is None


def test_paragraphs_of_a_plain_file_are_its_texts(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("one\ntwo\n\n\nthree\r\n\r\nfour\n")
    assert [text.text for text in load_texts(str(path)).texts] == ["one\ntwo", "three", "four"]


def test_another_text_makes_another_digest(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"text": "a"}\n{"text": "b", "question": "c", "kind": "k", "id": "i"}\n')
    first = load_texts(str(path))
    assert [(t.id, t.kind, t.question) for t in first.texts] == [
        ("text-001", "text", ""),
        ("i", "k", "c"),
    ]
    path.write_text('{"text": "a"}\n{"text": "b", "question": "d", "kind": "k", "id": "i"}\n')
    assert load_texts(str(path)).hash != first.hash


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (b'{"text": "a"}\n{"text": \n', "line 2: not JSON"),
        (b'{"text": "a"}\n\n{"words": "a"}\n', "line 3: no text"),
        (b'{"text": "a", "knid": "b"}\n', "line 1: no such field: knid"),
        (b'{"text": "a", "kind": 3}\n', "line 1: kind must be a string"),
        (b'{"text": "a", "id": "x"}\n{"text": "b", "id": "x"}\n', "that of line 1 too"),
        (b'{"text": "a"}\n{"text": "\xff"}\n', "line 2: not UTF-8"),
        (b"\n", "holds no text"),
    ],
)
def test_a_fault_in_a_file_is_told_with_file_and_line(tmp_path, written, told):
    path = tmp_path / "mine.jsonl"
    path.write_bytes(written)
    with pytest.raises(TextsError, match=told) as refused:
        load_texts(str(path))
    assert str(path) in str(refused.value)


def test_a_missing_file_is_told_with_what_to_name_instead(tmp_path):
    with pytest.raises(TextsError, match="cannot read"):
        load_texts(str(tmp_path / "none.txt"))


def readings():
    order = torch.Generator().manual_seed(1)
    lengths = [(9, 1), (4, 2), (9, 6), (12, 1), (3, 3), (5, 1)]
    return [
        Reading(tuple(torch.randint(0, 64, (n,), generator=order).tolist()), given)
        for n, given in lengths
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_foreseen_is_what_ordinary_passes_say_text_by_text(family, monkeypatch):
    model = tiny_model(family)
    require_supported(model)
    monkeypatch.setattr(nexttoken, "CHUNK", 7)
    monkeypatch.setattr(nexttoken, "MOST_POSITIONS", 24)  # several texts a pass, several passes
    asked = readings()
    # Texts of the model's own choosing, so that something is right.
    asked += [Reading(_greedy(model, one.ids[:3], 5), 2) for one in asked if len(one.ids) > 4]
    found, work = foresee(model, asked)
    for one, told in zip(asked, found, strict=True):
        if one.given == len(one.ids):
            assert told.tokens == 0
            continue
        logprobs = plain_logprobs(model, one.ids[: one.given], one.ids[one.given :])
        assert told.nats == pytest.approx(float(logprobs.detach().sum()), abs=1e-4)
        assert told.tokens == len(one.ids) - one.given
        assert told.right == sum(
            _greedy(model, one.ids[:at], 1)[-1] == one.ids[at]
            for at in range(one.given, len(one.ids))
        )
    assert 0 < sum(told.right for told in found) < sum(told.tokens for told in found)
    assert work.logits == sum(told.tokens for told in found)
    assert work.tokens == sum(len(one.ids) for one in asked if one.given < len(one.ids))
    assert work.positions >= work.tokens


def _greedy(model, ids, count):
    for _ in range(count):
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
        ids = (*ids, int(logits.argmax()))
    return ids


def crew_of(model, tokenizer, ledger, suite, version=0):
    meters = Meters()
    learner = SimpleNamespace(model=model, tokenizer=tokenizer, shape=Shape.of(model))
    return SimpleNamespace(
        suite=suite, learner=learner, meters=meters, ledger=ledger, version=version
    )


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "mine.jsonl"
    rows = [{"text": text} for text in ("abcabc", "jkl", "tuvxyz")]
    rows.append({"text": "abc", "question": "now", "kind": "answers"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_texts(str(path))


def test_a_draw_is_noted_and_booked_as_evaluation(suite, tmp_path):
    tokenizer = make_tokenizer()
    model = tiny_model("llama", vocabulary=len(tokenizer))
    with Ledger.open(tmp_path / "ledger.sqlite", create=True) as ledger:
        crew = crew_of(model, tokenizer, ledger, suite)
        forgetting.draw(crew, 0)
        rows, seconds = crew.meters.drain()
        assert [(row.phase, row.processed_tokens) for row in rows] == [("eval", 6 + 3 + 6 + 6)]
        assert rows[0].flops > 2 * Shape.of(model).body * 21
        assert "eval" in seconds
        with torch.no_grad():
            model.lm_head.weight.mul_(-1)  # what was likeliest is not any more
        forgetting.draw(crew_of(model, tokenizer, ledger, suite, version=2), 3)
        found = measured(ledger.db)
    assert found["suite"] == suite.hash
    assert (found["texts"], found["tokens"]) == (4, 5 + 2 + 5 + 3)
    assert found["by_kind"]["answers"]["texts"] == 1
    assert found["nats_after"] != found["nats_before"]


def test_between_seeds_and_rl_it_is_drawn_once_and_only_where_something_was_seeded(suite, tmp_path):
    tokenizer = make_tokenizer()
    model = tiny_model("llama", vocabulary=len(tokenizer))
    with Ledger.open(tmp_path / "ledger.sqlite", create=True) as ledger:
        crew = crew_of(model, tokenizer, ledger, suite)
        forgetting.draw(crew, 0)
        forgetting.draw_seeded(crew, 1)
        crew.version = 1
        forgetting.draw_seeded(crew, 2)
        forgetting.draw_seeded(crew, 3)
        looks = measured(ledger.db)["looks"]
    assert [look["iteration"] for look in looks] == [2]


def test_without_a_suite_nothing_is_drawn():
    forgetting.draw(SimpleNamespace(suite=None), 0)


def test_a_long_text_is_cut(suite):
    tokenizer = make_tokenizer()
    text = suite.texts[0]
    long = Texts((type(text)("x", "text", "a" * 2000),), "h")
    assert [len(one.ids) for one in forgetting.read(long, tokenizer)] == [forgetting.LONGEST]


@pytest.mark.slow
def test_a_climb_draws_it_at_the_base_after_seeding_and_at_the_end(
    micro_tasks, micro_student, tmp_path
):
    path = tmp_path / "mine.txt"
    path.write_text("\n\n".join(f"1|{a}\n2|{b}\n3|t" for a in "abcde" for b in "jklmpq"))
    config = short_settings(micro_tasks, micro_student, f'evaluation.forgetting="{path}"')
    found = climb(config, tmp_path / "run")
    suite = found["forgetting"]
    assert suite["texts"] == 30
    looks = suite["looks"]
    assert len(looks) == 2
    assert 0 < looks[0]["version"] < looks[1]["version"]
    assert looks[1]["difference"] == suite["difference"] != 0  # the student did learn
    assert "fixed texts the share foreseen" in found["graduation"]["reasons"]["no_forgetting"]
