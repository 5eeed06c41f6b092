"""Advantages of a group: what each episode's reward says against its siblings."""

from __future__ import annotations

from collections.abc import Sequence


def rloo(rewards_G: Sequence[float]) -> list[float]:
    """Return leave-one-out advantages, A_i = G/(G-1) * (r_i - mean(r)).

    Equal to r_i minus the mean of the others (Ahmadian et al. 2024, "Back to Basics"),
    with no division by a standard deviation. A group whose rewards are exactly equal gets
    zeros, whatever rounding the mean would do.

    Raises:
        ValueError: fewer than two rewards; one episode has nothing to be compared with.
    """
    G = len(rewards_G)
    if G < 2:
        raise ValueError(f"a group needs at least 2 episodes for an advantage, got {G}")
    if all(reward == rewards_G[0] for reward in rewards_G):
        return [0.0] * G
    mean = sum(rewards_G) / G
    return [G / (G - 1) * (reward - mean) for reward in rewards_G]
