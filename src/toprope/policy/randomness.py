"""Randomness as a counter: what an episode draws depends on its id, not on the batch.

The uniforms of an episode come from Philox keyed by (seed, episode id), in order of
position, so a resumed or differently batched run draws the same numbers.
"""

from __future__ import annotations

import hashlib

import numpy as np


def episode_uniforms(seed: int, episode_id: str, count: int) -> np.ndarray:
    """Return `count` uniforms in [0, 1), float64, for positions 0 … count-1 of an episode."""
    digest = hashlib.sha256(f"{seed}:{episode_id}".encode()).digest()
    key = np.frombuffer(digest[:16], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).random(count)
