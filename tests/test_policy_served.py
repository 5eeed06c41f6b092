"""A server's draws are the student's own: exact ids, honest log-probabilities, or none at all."""

from __future__ import annotations

import random
import socket
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from micro_world import make_tokenizer
from served_parts import BASE, SPOILT, Engine, Kept, Served, serving
from toprope.harness import lines
from toprope.policy.adapters import LowRankLinear, add_adapters
from toprope.policy.asks import Ask
from toprope.policy.guide import Guide
from toprope.policy.load import load_model
from toprope.policy.peft_folder import NoAdapters
from toprope.policy.sampler import TorchSampler
from toprope.policy.served import Place, ServedSampler
from toprope.policy.vllm_api import KEY_VARIABLE, Address, SamplerGone, SamplerUnfit
from toprope.terms import Completion, InfraError, TopropeError

TOKENIZER = make_tokenizer()
CLOSE = 2e-4  # two fp32 computations of one log-probability, adapters merged or beside


@pytest.fixture(scope="module")
def engine(micro_student: Path) -> Engine:
    torch.set_num_threads(1)
    return Engine(micro_student)


@pytest.fixture
def server(engine: Engine) -> Iterator[Served]:
    for name in list(engine.paths):
        engine.unload(name)
    with serving(engine) as served:
        yield served


def adapted(folder: Path, *, seed: int = 1) -> Any:
    """The student with adapters that change something."""
    model = load_model(folder, dtype="float32")
    add_adapters(model, 4, seed=0)
    move(model, seed)
    return model


def move(model: Any, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, LowRankLinear):
            module.high.data.normal_(0, 0.05, generator=generator)


def sampler_of(
    model: Any,
    server: Served | str,
    folder: Path,
    *,
    kept: Kept | None = None,
    base: bool = False,
    patience_s: float = 60.0,
    could_continue: Any = lines.could_continue,
) -> ServedSampler:
    guide = Guide(TOKENIZER, could_continue, lines.STOP, len(TOKENIZER))
    inside = TorchSampler(model, guide, seed=7, max_tokens=6, base=base)
    url = server if isinstance(server, str) else server.url
    address = Address(url, at_once=8, patience_s=patience_s, back_off_s=0.01)
    return ServedSampler(inside, address, Place(folder, kept or Kept()))


def prompts() -> list[Ask]:
    rng = random.Random(3)
    texts = ["".join(rng.choices("abcdjkltuv\n|123", k=14)) + "\nhow" for _ in range(4)]
    return [
        Ask(tuple(TOKENIZER.encode(text)), tuple(f"e{at}/{n}" for n in range(5)))
        for at, text in enumerate(texts)
    ]


def drafted() -> list[Ask]:
    return [
        Ask(
            tuple(TOKENIZER.encode(f"1|{a}\n2|k\n3|t\nhow")),
            tuple(f"d{a}/{n}" for n in range(12)),
            draft_ids=tuple(TOKENIZER.encode(f"2|k\n3|{a}")),
            held=1,
        )
        for a in "abc"
    ]


def plain_logprobs(model: Any, ask: Ask, completion: Completion) -> list[float]:
    ids = torch.tensor([[*ask.prompt_ids, *completion.ids]])
    model.set_attn_implementation("sdpa")
    with torch.inference_mode():
        table = torch.log_softmax(model(ids).logits[0].float(), -1)
    start = len(ask.prompt_ids)
    return [float(table[start - 1 + n, i]) for n, i in enumerate(completion.ids)]


def require_honest(model: Any, asks: list[Ask], found: list[Completion]) -> None:
    owner = {episode: ask for ask in asks for episode in ask.episode_ids}
    assert [c.episode_id for c in found] == list(owner)
    for completion in found:
        own = plain_logprobs(model, owner[completion.episode_id], completion)
        assert completion.logprobs == pytest.approx(own, abs=CLOSE)
        assert len(completion.ids) > 0


def test_log_probabilities_are_those_of_the_adapted_student(
    micro_student: Path, server: Served, tmp_path: Path
) -> None:
    model, asks = adapted(micro_student), prompts()
    found = sampler_of(model, server, tmp_path).sample(asks, version=3)
    require_honest(model, asks, found)
    assert {c.stop for c in found} <= {"stop", "length", "malformed"}
    assert len({c.ids for c in found}) > 5  # every episode has a seed of its own
    assert {name.split("-")[2] for name in server.engine.paths} == {"v000003"}


def test_an_episode_draws_the_same_alone_and_among_others(
    micro_student: Path, server: Served, tmp_path: Path
) -> None:
    model, asks = adapted(micro_student), prompts()
    together = sampler_of(model, server, tmp_path).sample(asks)
    last = Ask(asks[-1].prompt_ids, asks[-1].episode_ids[-1:])
    assert sampler_of(model, server, tmp_path).sample([last]) == together[-1:]


def test_drafts_are_left_where_the_in_process_sampler_leaves_them(
    micro_student: Path, server: Served, tmp_path: Path
) -> None:
    model, asks = adapted(micro_student), drafted()
    served = sampler_of(model, server, tmp_path, could_continue=lambda text: True)
    ours, theirs = served.inside.sample(asks), served.sample(asks)
    require_honest(model, asks, theirs)
    assert [c.copied for c in theirs] == [c.copied for c in ours]
    assert len({c.copied for c in theirs}) > 1
    owners = [ask for ask in asks for _ in ask.episode_ids]
    for c, ask in zip(theirs, owners, strict=True):
        assert c.ids[: c.copied] == ask.draft_ids[: c.copied]
        assert c.copied == len(ask.draft_ids) or c.ids[c.copied] != ask.draft_ids[c.copied]


def test_greedy_answers_are_the_in_process_sampler_s(
    micro_student: Path, server: Served, tmp_path: Path
) -> None:
    model = adapted(micro_student)
    for asks in (prompts(), drafted()):
        served = sampler_of(model, server, tmp_path)
        ours = served.inside.sample(asks, temperature=0)
        theirs = served.sample(asks, temperature=0)
        assert [(c.ids, c.stop, c.copied) for c in theirs] == [
            (c.ids, c.stop, c.copied) for c in ours
        ]


def test_departures_have_the_student_s_distribution(
    micro_student: Path, server: Served, tmp_path: Path
) -> None:
    """What is drawn where a draft is left is every other token as often as it should be."""
    model = adapted(micro_student)
    prompt = tuple(TOKENIZER.encode("1|A\n2|k\n3|t\nhow1|"))
    many = Ask(prompt, tuple(f"m/{n}" for n in range(600)), tuple(TOKENIZER.encode("a")))
    found = sampler_of(model, server, tmp_path, could_continue=lambda text: False).sample([many])
    chances = torch.softmax(
        server.engine.logits(next(iter(server.engine.paths)), list(prompt))[-1], -1
    )
    firsts = torch.bincount(torch.tensor([c.ids[0] for c in found]), minlength=len(chances))
    expected = chances * len(found)
    common = expected > 5
    square = ((firsts[common] - expected[common]) ** 2 / expected[common]).sum()
    assert common.sum() > 3
    assert square < 3 * common.sum()  # seeds are fixed: this is one number, not a gamble


def test_a_step_s_adapter_replaces_the_one_before(
    micro_student: Path, server: Served, tmp_path: Path
) -> None:
    model, asks = adapted(micro_student), prompts()
    served = sampler_of(model, server, tmp_path)
    served.sample(asks, version=1)
    (first,) = server.engine.paths
    move(model, seed=2)
    require_honest(model, asks, served.sample(asks, version=2))
    (second,) = server.engine.paths
    assert first != second
    assert [place.name for place in tmp_path.iterdir()] == [second]


def test_every_episode_is_told_of_as_it_arrives_and_again_where_it_was_kept(
    micro_student: Path, server: Served, tmp_path: Path
) -> None:
    model, asks, kept = adapted(micro_student), prompts(), Kept()
    there: list[list[bool]] = []
    for _ in range(2):
        told: list[Completion] = []
        kept_then: list[bool] = []

        def ended(one: Completion, told: Any = told, kept_then: Any = kept_then) -> None:
            told.append(one)
            kept_then.append(any(key.split(":")[1] == one.episode_id for key in kept.answers))

        sampler = sampler_of(model, server, tmp_path, kept=kept)
        found = sampler.sample(asks, version=1, ended=ended)
        assert sorted(c.episode_id for c in told) == sorted(c.episode_id for c in found)
        assert {c.episode_id: c for c in told} == {c.episode_id: c for c in found}
        there.append(kept_then)
    assert all(map(all, there))  # what may be graded is kept before


def test_weights_that_changed_under_one_version_are_never_taken_for_each_other(
    micro_student: Path, server: Served, tmp_path: Path
) -> None:
    model, asks = adapted(micro_student), prompts()
    served = sampler_of(model, server, tmp_path)
    before = served.sample(asks, version=1)
    move(model, seed=2)
    after = served.sample(asks, version=1)
    require_honest(model, asks, after)
    assert [c.logprobs for c in before] != [c.logprobs for c in after]


def test_the_base_is_sampled_without_an_adapter(
    micro_student: Path, server: Served, tmp_path: Path
) -> None:
    model, asks = adapted(micro_student), prompts()
    found = sampler_of(model, server, tmp_path, base=True).sample(asks)
    require_honest(load_model(micro_student, dtype="float32"), asks, found)
    assert {body["model"] for body in server.asked} == {BASE}


@pytest.mark.parametrize("fault", [*SPOILT, "500", "503", "429", "cut short", "forgets"])
@pytest.mark.parametrize(
    "asks",
    [
        pytest.param(prompts(), id="plain"),
        pytest.param(drafted(), id="drafted", marks=pytest.mark.slow),
    ],
)
def test_what_goes_wrong_once_changes_nothing(
    fault: str, asks: list[Ask], micro_student: Path, server: Served, tmp_path: Path
) -> None:
    model = adapted(micro_student)
    whole = sampler_of(model, server, tmp_path).sample(asks)
    server.faults.extend(["", "", *[fault, "", ""] * 3])
    asked = len(server.asked)
    again = sampler_of(model, server, tmp_path).sample(asks)
    assert not server.faults
    assert len(server.asked) > asked
    assert again == whole


@pytest.mark.parametrize("fault", SPOILT)
def test_answers_that_stay_wrong_are_never_sampled_from(
    fault: str, micro_student: Path, server: Served, tmp_path: Path
) -> None:
    server.always = fault
    kept = Kept()
    with pytest.raises(InfraError):
        sampler_of(adapted(micro_student), server, tmp_path, kept=kept).sample(prompts())
    assert not kept.answers


def test_one_episode_that_stays_wrong_is_lost_and_the_others_are_not(
    micro_student: Path, server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, asks, kept = adapted(micro_student), prompts(), Kept()
    whole = sampler_of(model, server, tmp_path).sample(asks)
    doomed = server.asked[-1]["seed"]
    compute = server.engine.complete

    def complete(body: dict[str, Any]) -> dict[str, Any]:
        answer = compute(body)
        if body["seed"] == doomed:
            del answer["choices"][0]["token_ids"]
        return answer

    monkeypatch.setattr(server.engine, "complete", complete)
    found = sampler_of(model, server, tmp_path, kept=kept).sample(asks)
    lost = [c for c in found if c.stop == "lost"]
    assert len(lost) == 1
    assert lost[0].ids == ()
    assert [c for c in found if c.stop != "lost"] == [
        c for c in whole if c.episode_id != lost[0].episode_id
    ]
    assert len(kept.answers) == len(found) - 1  # what was lost is asked again another time


def test_what_arrived_before_the_end_is_not_asked_again(
    micro_student: Path, server: Served, tmp_path: Path
) -> None:
    model, asks, kept = adapted(micro_student), prompts(), Kept()
    whole = sampler_of(model, server, tmp_path).sample(asks)
    server.faults.extend([""] * 9)
    server.always = "400"
    with pytest.raises(SamplerUnfit):
        sampler_of(model, server, tmp_path, kept=kept).sample(asks)
    assert 0 < len(kept.answers) < len(whole)
    server.always = ""
    done, asked = len(kept.answers), len(server.asked)
    assert sampler_of(model, server, tmp_path, kept=kept).sample(asks) == whole
    probes = [body for body in server.asked[asked:] if "prompt_logprobs" in body]
    assert len(server.asked) - asked - len(probes) == len(whole) - done
    asked = len(server.asked)
    assert sampler_of(model, server, tmp_path, kept=kept).sample(asks) == whole
    assert len(server.asked) == asked


def test_no_server_is_said_with_its_address_and_without_the_key(
    micro_student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "secret-of-mine")
    with socket.socket() as held:  # bound and never listening: nobody else gets the port
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(SamplerGone, match="no usable answer") as told:
            sampler_of(adapted(micro_student), url, tmp_path, patience_s=0.2).sample(prompts())
    assert url in str(told.value)
    assert "go on" in str(told.value)
    shown = "".join(traceback.format_exception(told.value))
    assert "secret-of-mine" not in shown


def test_a_server_of_another_model_is_refused(
    micro_student: Path, server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = server.engine.logits
    monkeypatch.setattr(server.engine, "logits", lambda name, ids: -compute(name, ids))
    with pytest.raises(SamplerUnfit, match="is not the student"):
        sampler_of(adapted(micro_student), server, tmp_path).sample(prompts())


def test_a_server_that_tells_what_it_was_left_to_draw_from_is_refused(
    micro_student: Path, server: Served, tmp_path: Path
) -> None:
    server.always = "processed"
    with pytest.raises(SamplerUnfit, match="raw_logprobs"):
        sampler_of(adapted(micro_student), server, tmp_path).sample(prompts())


@pytest.mark.parametrize("status", ["400", "401"])
def test_a_refusal_is_told_at_once(
    status: str, micro_student: Path, server: Served, tmp_path: Path
) -> None:
    server.always = status
    with pytest.raises(SamplerUnfit, match="refused"):
        sampler_of(adapted(micro_student), server, tmp_path).sample(prompts())


def test_what_a_server_cannot_do_is_done_here_or_refused(
    micro_student: Path, server: Served, tmp_path: Path
) -> None:
    served = sampler_of(adapted(micro_student), server, tmp_path)
    forced = served.sample(prompts(), constrain=True)
    assert {c.stop for c in forced} <= {"stop", "length"}
    assert served.work.positions > 0
    with pytest.raises(TopropeError, match="temperature 1"):
        served.sample(prompts(), temperature=0.5)
    whole = load_model(micro_student, dtype="float32")
    with pytest.raises(NoAdapters, match="lora_rank"):
        sampler_of(whole, server, tmp_path).sample(prompts())
    assert not server.asked
