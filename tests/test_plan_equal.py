"""How many of one chip equal another, what fits, and what people say: from the same numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from toprope.plan.chipfile import load_chips
from toprope.plan.claims import SENTENCES, UnknownClaim, claims
from toprope.plan.counts import SAME, whole_count
from toprope.plan.equal import equal, flops_only
from toprope.plan.fit import fit
from toprope.plan.lag import years_behind
from toprope.plan.machine import machine
from toprope.plan.money import UnknownRegion, hourly, matched_ratio, tariff
from toprope.plan.phases import phases
from toprope.plan.pool import Pool
from toprope.plan.rates import load_rates, slower_than_predicted
from toprope.plan.serving import decode
from toprope.plan.shapes import find_shape
from toprope.plan.workload import presets

CHIPS = load_chips()
US = tariff("us")


def test_a_chip_equals_itself():
    found = whole_count(Pool(64, CHIPS["h100"]), CHIPS["h100"], presets()["sft-32b"])
    assert found.least == found.usual == found.most
    assert 62 <= found.usual <= 64  # times within 3 % are the same


def test_flops_alone_are_a_mode_and_not_the_answer():
    fast = Pool(64, CHIPS["b200"])
    assert flops_only(fast, CHIPS["h20"], "bf16").typ == pytest.approx(64 * 2250 / 148)
    answer = equal(fast, CHIPS["h20"], presets()["rl-32b"], US)
    assert answer.by_flops.typ == pytest.approx(973, abs=1)
    assert answer.whole.usual < 0.8 * answer.by_flops.typ
    decoded = next(count for count in answer.phases if count.name == "decode")
    trained = next(count for count in answer.phases if count.name == "train")
    assert decoded.usual * 2 < trained.usual  # an H20 reads far better than it computes


@pytest.mark.parametrize("name", ["pretrain", "rl", "distill", "serve"])
@pytest.mark.parametrize(
    ("fast", "slow"), [("b200", "h100"), ("h100", "ascend-910c"), ("gb200", "mi300x")]
)
def test_counts_are_ordered_and_the_count_is_enough_and_the_least(name, fast, slow):
    pool, work = Pool(256, CHIPS[fast]), presets()[name]
    answer = equal(pool, CHIPS[slow], work, US)
    target = {p.name: p.seconds for p in phases(answer.work, machine(pool.chip), pool.count)}
    for count in answer.phases:
        if count.usual is None:
            assert count.floor > 1
            continue
        assert (count.least or 0) <= count.usual
        assert count.most is None or count.usual <= count.most
        late = machine(CHIPS[slow])

        def taken(n: int, late=late, name=count.name) -> float:
            return next(p.seconds for p in phases(answer.work, late, n) if p.name == name)

        assert taken(count.usual) <= target[count.name] * SAME * (1 + 1e-9)
        if count.usual > 1:
            assert taken(count.usual - 1) > target[count.name] * SAME


def test_what_no_number_makes_up_for_is_told():
    answer = equal(Pool(256, CHIPS["b200"]), CHIPS["h20"], presets()["rl-32b"], US)
    assert answer.whole.usual is None
    assert answer.slow_estimate is None
    told = " ".join(answer.not_carried)
    assert "all of it: no number of chips (latency)" in told
    assert "no units for FP4" in told


def test_a_wider_domain_is_told_as_what_more_chips_do_not_buy():
    answer = equal(Pool(72, CHIPS["gb200"]), CHIPS["h100"], presets()["serve-671b"], US)
    told = " ".join(answer.not_carried)
    assert "72 chips of the fast kind share one fast link, 8" in told


def test_a_faster_environment_makes_chips_count_more():
    answer = equal(Pool(64, CHIPS["h100"]), CHIPS["ascend-910c"], presets()["rl-32b"], US)
    assert answer.whole.binds == "environment"
    assert any("FP8" in change.what for change in answer.changes)


def test_chips_that_were_measured_are_predicted_within_the_band_of_their_maker():
    """Tokens a second of DeepSeek-V3, sources in rates.toml, at 20 tokens/s a user."""
    work = replace(presets()["serve-671b"], precision="fp8")
    measured = {"h100": (96, 2789), "h800": (144, 1850), "gb200": (48, 9087)}
    measured["ascend-910c"] = (160, 1943)
    for key, (chips, per_chip) in measured.items():
        at = work.requests * work.sampled_tokens / chips / per_chip  # seconds
        band, rows = slower_than_predicted("decode", key)
        ends = [machine(CHIPS[key], slower={"decode": f / band.typ}) for f in (band.min, band.max)]
        quick, late = (decode(work, here, chips).seconds for here in ends)
        assert rows
        assert quick <= at * 1.08
        assert at <= late * 1.08


def test_rows_of_measurements_name_chips_and_sources():
    for row in load_rates().carries:
        assert row.chip in CHIPS
        assert row.slower > 0
        assert row.source
    assert slower_than_predicted("decode", "mi300x")[1] == ()


def test_money_is_compared_contract_by_contract():
    h100, b200 = (hourly(CHIPS[key], US, "rent").dollars for key in ("h100", "b200"))
    ratio = matched_ratio(h100, b200)
    assert ratio.max / ratio.min < 1.2  # 3.8 if the cheapest met the dearest


def test_a_chip_without_rent_is_bought_and_pays_its_power():
    dear, cheap = (hourly(CHIPS["ascend-910c"], tariff(t)) for t in ("us", "china-subsidised"))
    assert dear.basis == "buy"
    by_hand = 28000 * 1.5 / (4 * 8760 * 0.8) + 1.3 * 0.091
    assert dear.dollars.typ == pytest.approx(by_hand)
    assert cheap.dollars.typ < dear.dollars.typ


def test_a_tariff_is_a_region_or_a_number():
    assert tariff("0.12").typ == 0.12
    with pytest.raises(UnknownRegion, match="did you mean 'china'"):
        tariff("chna")


def test_a_model_that_does_not_fit_says_how_many_would_hold_it():
    work = presets()["serve-671b"]
    (short,) = fit(work, Pool(8, CHIPS["h100"]))
    assert short.verdict == "does not fit"
    assert short.spare.max < 0
    assert short.needed.typ == 10
    assert short.sequences.typ == 0
    (fits,) = fit(work, Pool(8, CHIPS["b200"]))
    assert fits.verdict == "fits"
    assert fits.sequences.typ > 1000


def test_lora_fits_where_all_weights_do_not():
    full = fit(replace(presets()["sft-32b"]), Pool(8, CHIPS["h100"]))[0]
    lora = fit(replace(presets()["sft-32b"], method="lora"), Pool(8, CHIPS["h100"]))[0]
    assert (full.verdict, lora.verdict) == ("does not fit", "fits")


def test_every_claim_has_evidence_with_its_resource():
    found = claims(CHIPS, US)
    assert {claim.key for claim in found} == set(SENTENCES)
    for claim in found:
        assert claim.evidence
        assert all(one.binds and one.words for one in claim.evidence)
    verdicts = {claim.key: claim.verdict for claim in found}
    assert verdicts["electricity"] == "breaks"
    assert verdicts["far-behind"] == "breaks"
    assert verdicts["count"] == verdicts["models"] == "holds in part"


def test_a_verdict_follows_from_the_numbers():
    """A 910C given away makes cheap electricity enough."""
    cheap = dict(CHIPS)
    for key in ("ascend-910c", "ascend-910b", "h20"):
        buy = CHIPS[key].buy
        cheap[key] = replace(CHIPS[key], buy=replace(buy, range=buy.range / 100))
    (found,) = claims(cheap, US, ("electricity",))
    assert found.verdict == "holds"


def test_an_unknown_claim_names_the_nearest():
    with pytest.raises(UnknownClaim, match="did you mean 'electricity'"):
        claims(CHIPS, US, ("electrcity",))


def test_years_behind_count_from_the_first_chip_that_matches():
    lags = {lag.resource: lag for lag in years_behind(CHIPS["ascend-910c"], CHIPS)}
    assert lags["bandwidth"].first.key == "h100"
    assert lags["bandwidth"].years == pytest.approx(25 / 12)
    assert lags["memory of a domain"].first is None


def test_the_decode_batch_shares_one_reading_of_the_weights():
    """Twice the episodes on one pool take less than twice the time while memory binds."""
    work = replace(presets()["distill"], shape=find_shape("qwen2.5-32b"), spread=0.0)
    here = machine(CHIPS["h100"])
    few, many = (decode(replace(work, episodes=n), here, 64).seconds for n in (128, 256))
    assert few < many < 1.7 * few
