"""How long the tests of a bug may take."""

from __future__ import annotations

import pytest

from toprope.forge.repository.trial import with_room
from toprope.terms import Suite

SUITE = Suite({}, ("t.py",), timeout_s=2.3)


@pytest.mark.parametrize(("cpu_s", "allowed_s"), [(0.1, 2.3), (0.7, 2.3), (0.8, 6.0), (1.9, 10.0)])
def test_a_bug_that_makes_tests_slow_gets_a_limit_far_beyond_its_own_run(cpu_s, allowed_s):
    assert with_room(SUITE, cpu_s).timeout_s == allowed_s
