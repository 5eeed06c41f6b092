"""A file written tensor by tensor is what the library's own reader reads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from toprope.policy.store import sha256_of
from toprope.policy.tensorfile import Later, write_tensors


def test_every_kind_comes_back_bit_for_bit(tmp_path: Path) -> None:
    torch.manual_seed(0)
    wide = torch.randn(3, 5)
    tensors = {
        "a.odd": torch.randn(7).to(torch.bfloat16),
        "b.half": torch.randn(2, 3).half(),
        "c.turned": torch.randn(4, 6).t(),
        "d.steps": torch.tensor(12),
        "e.empty": torch.zeros(0, 4),
    }
    later = {"z.later": Later((3, 5), torch.float32, lambda: wide * 2)}
    digest = write_tensors(tmp_path / "x.safetensors", {**tensors, **later})
    found = load_file(tmp_path / "x.safetensors")
    expected = {**tensors, "z.later": wide * 2}
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert digest == sha256_of(tmp_path / "x.safetensors")
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_a_tensor_is_made_when_its_turn_comes_and_not_before(tmp_path: Path) -> None:
    path, sizes = tmp_path / "x.safetensors", []

    def make() -> torch.Tensor:
        sizes.append(path.stat().st_size)
        return torch.zeros(1 << 20)

    made = {str(n): Later((1 << 20,), torch.float32, make) for n in range(3)}
    write_tensors(path, made)
    assert sizes == sorted(sizes)
    assert sizes[-1] >= 2 << 22


def test_what_was_announced_otherwise_is_refused(tmp_path: Path) -> None:
    wrong = {"w": Later((2, 2), torch.float32, lambda: torch.zeros(2, 3))}
    with pytest.raises(ValueError, match="w was announced as"):
        write_tensors(tmp_path / "x.safetensors", wrong)
