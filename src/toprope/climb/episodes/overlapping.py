"""Whether episodes are graded while others are sampled: the rule, and its reason.

It decides when grading is done, and never what comes of it.
"""

from __future__ import annotations

from toprope.climb.config import ClimbConfig
from toprope.policy.device import find_device


def overlaps(config: ClimbConfig, threads: int, cores: int) -> bool:
    """Return whether grading overlaps, with `threads` of the sampler on `cores` of this process.

    By itself it does where sampling computes elsewhere, or leaves a core to each grader. On
    cores that are all busy the graders would take from the sampler what they give.
    """
    if config.limits.overlap != "auto":
        return config.limits.overlap == "on"
    if config.student.sampler != "torch" or find_device(config.student.device).type != "cpu":
        return True
    return threads + config.limits.sandbox_workers <= cores
