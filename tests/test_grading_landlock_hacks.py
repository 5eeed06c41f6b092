"""The attempts to be paid for nothing, behind Landlock rules."""

from __future__ import annotations

import pytest

from test_grading_hacks import *  # noqa: F403
from test_grading_landlock import sandbox  # noqa: F401

pytestmark = pytest.mark.slow
