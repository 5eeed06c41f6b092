import json

import pytest
import typer

from toprope.cli import doctor
from toprope.cli.doctor import Finding
from toprope.sandbox import Walls


def run(capsys, checks, monkeypatch, as_json=False):
    monkeypatch.setattr(doctor, "CHECKS", checks)
    with pytest.raises(typer.Exit) as end:
        doctor.command(as_json=as_json)
    return end.value.exit_code, capsys.readouterr().out


def well():
    return Finding("cores", True, "2")


def missing():
    return Finding("sandbox", False, "missing: network", "sysctl this=1")


def optional():
    return Finding("live teacher", False, "not installed", "pip install it", needed=False)


def test_all_well_is_0(capsys, monkeypatch):
    code, out = run(capsys, (well,), monkeypatch)
    assert (code, out) == (0, "✓ cores: 2\n")


def test_something_needed_is_1_and_shows_the_exact_fix(capsys, monkeypatch):
    code, out = run(capsys, (well, missing), monkeypatch)
    assert code == 1
    assert "✗ sandbox: missing: network\n    fix: sysctl this=1\n" in out


def test_something_optional_is_shown_with_its_fix_but_stays_0(capsys, monkeypatch):
    code, out = run(capsys, (well, optional), monkeypatch)
    assert code == 0
    assert "✗ live teacher (optional): not installed\n    fix: pip install it\n" in out


def test_json_holds_the_same(capsys, monkeypatch):
    code, out = run(capsys, (well, missing), monkeypatch, as_json=True)
    document = json.loads(out)
    assert code == 1
    assert document["ok"] is False
    assert [each["what"] for each in document["findings"]] == ["cores", "sandbox"]


def test_missing_walls_are_named_with_the_way_to_raise_them(monkeypatch):
    walls = Walls("unsafe-local", False, (), ("network", "files"), "sysctl kernel.x=1")
    monkeypatch.setattr(doctor, "probe", lambda: walls)
    finding = doctor.check_sandbox()
    assert (finding.ok, finding.needed, finding.fix) == (False, True, "sysctl kernel.x=1")
    assert finding.detail == "missing: network, files"


def test_a_student_that_is_not_here_is_no_obstacle(tmp_path, monkeypatch):
    monkeypatch.setenv("TOPROPE_CACHE", str(tmp_path))
    finding = doctor.check_student()
    assert (finding.ok, finding.needed) == (False, False)
    assert "toprope models fetch qwen2.5-coder-0.5b-instruct" in finding.fix


def test_the_real_checks_all_answer_here(monkeypatch, tmp_path):
    monkeypatch.setenv("TOPROPE_CACHE", str(tmp_path))
    findings = [check() for check in doctor.CHECKS]
    assert all(finding.detail for finding in findings)
    assert all(finding.ok or finding.fix for finding in findings)
    by_name = {finding.what: finding for finding in findings}
    assert by_name["Python"].ok
    assert by_name["torch"].ok
