"""The chip table loads, and the loader refuses the figures that usually mislead."""

from __future__ import annotations

import pytest

from toprope.plan.chipfile import load_chips
from toprope.plan.chips import Chip, ChipError, UnknownChip, find_chip

SOUND = {
    "name": '"A box"',
    "released": '"2024-01"',
    "status": '"shipped"',
    "source": '"https://example.org/box"',
    "bf16": '{ typ = 100, unit = "TFLOP/s", accumulate = "fp32", dense = true }',
    "memory": '{ typ = 24, unit = "GB" }',
    "bandwidth": '{ min = 0.8, typ = 0.9, max = 1.0, unit = "TB/s" }',
    "tdp": '{ typ = 350, unit = "W" }',
}


def loaded(tmp_path, **changes: str | None) -> Chip:
    fields = {name: value for name, value in {**SOUND, **changes}.items() if value is not None}
    path = tmp_path / "own.toml"
    path.write_text("[chip.box]\n" + "\n".join(f"{k} = {v}" for k, v in fields.items()))
    return load_chips([path])["box"]


def test_a_chip_of_ones_own_takes_ten_lines(tmp_path):
    chip = loaded(tmp_path)
    assert len(SOUND) + 1 <= 10
    assert chip.peak("bf16").typ == 100e12
    assert chip.peak("fp8") is None
    assert chip.bandwidth.range.min == 0.8e12
    assert 350 < chip.power.range.typ < 1000
    assert chip.power.status == "assumed"


def test_shipped_chips_hold_what_is_published():
    chips = load_chips()
    h100, h800 = chips["h100"], chips["h800"]
    assert h100.peak("bf16").typ == 989e12
    assert h100.link.rate.range.typ == 450e9  # 900 both ways
    assert (h800.link.rate.range.typ, h800.link.domain) == (200e9, 8)
    assert chips["ascend-910b"].peak("bf16").min < 256e12 < chips["ascend-910b"].peak("bf16").max
    assert chips["ascend-950pr"].bandwidth.range.typ == 1.4e12  # shipped, 1.6 announced
    assert chips["ascend-950dt"].status == "announced"
    assert chips["rtx-4090"].peak("bf16").typ == 165e12
    for chip in chips.values():
        for peak in chip.peaks.values():
            assert "http" in peak.rate.source


PEAK = '{{ typ = {}, unit = "TFLOP/s", accumulate = "{}", dense = {} }}'


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"bf16": '{ typ = 100, unit = "TFLOP/s", accumulate = "fp32" }'}, "dense = true"),
        ({"bf16": PEAK.format(100, "fp32", "false")}, "sparse rate"),
        ({"bf16": PEAK.format(100, "fp16", "true")}, "accumulate"),
        ({"fp8": PEAK.format(400, "fp32", "true")}, "fp8 is 4.00 times bf16"),
        ({"link": '{ typ = 900, unit = "GB/s", domain = 8 }'}, "direction"),
        ({"link": '{ typ = 900, unit = "GB/s", direction = "one way" }'}, "domain"),
        ({"rent": '{ typ = 2, unit = "$/h" }'}, "date"),
        ({"memory": '{ typ = 24, unit = "GB", status = "announced" }'}, "chip of its own"),
        ({"source": None}, "no source"),
        ({"source": '"nvidia"'}, r"not in \[sources\]"),
        ({"memory": '{ typ = 24, unit = "GB/s" }'}, "GiB"),
        ({"memory": '{ min = 30, typ = 24, unit = "GB" }'}, "least, typical, greatest"),
        ({"memory": '{ typ = "24", unit = "GB" }'}, "not a number"),
        ({"memory": "24"}, r"memory: write \{ typ = 24"),
        ({"memory": None}, "memory is missing"),
        ({"bandwith": '{ typ = 1, unit = "TB/s" }'}, "bandwidth"),
        ({"tdp": None}, "power is missing"),
        ({"released": '"soon"'}, "year and month"),
    ],
)
def test_figures_that_mislead_are_refused(tmp_path, changes, told):
    with pytest.raises(ChipError, match=told):
        loaded(tmp_path, **changes)


def test_a_ratio_that_is_so_may_say_why(tmp_path):
    odd = PEAK.format(100, "fp32", "true").replace("}", ', ratio = "not native" }')
    assert loaded(tmp_path, fp8=odd).peak("fp8").typ == 100e12


def test_names_are_found_whatever_their_case_and_else_the_nearest_is_named():
    chips = load_chips()
    assert find_chip("h100 SXM", chips).key == "h100"
    assert find_chip("ascend910c", chips).key == "ascend-910c"
    with pytest.raises(UnknownChip, match="did you mean 'B200'"):
        find_chip("B20", chips)


def test_what_nobody_documents_gets_that_answer():
    with pytest.raises(UnknownChip, match="nobody documents an Ascend 750"):
        find_chip("Ascend 750", load_chips())
