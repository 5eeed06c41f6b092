"""`toprope sampler test` says what a server is, or what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from served_parts import Engine, serving
from toprope.cli.main import FAILED, OK, main


def test_a_server_is_told_of_and_one_that_answers_wrongly_is_refused(
    micro_student: Path, micro_tasks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    given = [f'taskset="{micro_tasks}"', f'student.model="{micro_student}"']
    given += ["student.lora_rank=4", 'student.dtype="float32"', 'student.dialect="lines"']
    with serving(Engine(micro_student)) as server:
        words = ["sampler", "test", server.url, *(w for g in given for w in ("--set", g))]
        with pytest.raises(SystemExit) as ended:
            main(words)
        told = capsys.readouterr().out
        assert ended.value.code == OK
        assert "vLLM 0, model micro" in told
        assert "mean 1.0000" in told
        server.always = "another model"
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == FAILED
        assert "micro-other" in capsys.readouterr().err
