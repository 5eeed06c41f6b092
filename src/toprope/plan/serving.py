"""Decoding on a pool: chips per replica, sequences per replica, seconds.

A step takes a constant per layer, the bytes it reads, the FLOPs it does and the traffic of
its collectives, added: what measured steps show (`rates.toml`). It must not know training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, inf, log, sqrt
from statistics import NormalDist

from toprope.plan.machine import Machine
from toprope.plan.memory import RESERVE, cache, cache_bytes, weights
from toprope.plan.shapes import Shape
from toprope.plan.workload import WEIGHT_BYTES, Workload

RESOURCES = ("FLOPs", "bandwidth", "capacity", "link", "latency", "environment", "reliability")

# Chips that one layer's matrices are cut over: more is hardly seen, and heads run out.
WIDEST = 16


@dataclass(frozen=True, slots=True)
class Spent:
    """A phase on a machine: seconds by the resource they are spent on, and how it was done.

    `why_not` says why no time is enough; then there are no seconds.
    """

    name: str
    terms: dict[str, float]
    how: str = ""
    why_not: str = ""

    @property
    def seconds(self) -> float:
        """All its seconds; infinite if it cannot be done."""
        return inf if self.why_not else sum(self.terms.values())

    @property
    def binds(self) -> str:
        """The resource that takes most of the time."""
        if self.why_not or not self.terms:
            return self.why_not.split(":")[0] or "nothing"
        return max(self.terms, key=lambda name: self.terms[name])

    def times(self, factor: float) -> Spent:
        """Return the same, so many times."""
        terms = {name: seconds * factor for name, seconds in self.terms.items()}
        return Spent(self.name, terms, self.how, self.why_not)


def step(
    shape: Shape, machine: Machine, chips: int, batch: float, context: float, precision: str
) -> dict[str, float]:
    """Seconds of one decode step of `batch` sequences on a replica, by resource.

    Experts and caches spread over all its chips, what every token passes over one domain. A
    dense model larger than a domain is cut by layers: its parts work on different sequences,
    which helps to hold it and does not make a token faster.
    """
    native = machine.precision(precision)
    stored = WEIGHT_BYTES[precision]
    within = min(chips, machine.domain, WIDEST)
    spread = chips if shape.is_moe else within
    batch = batch * spread / chips
    routed = 0.0
    if shape.experts:
        touched = 1 - (1 - shape.active_experts / shape.experts) ** batch
        routed = shape.routed_parameters * touched
    body = (shape.body_parameters + shape.head_parameters) * stored / within
    cached = batch * shape.kv_values_read(context) * cache_bytes(precision)
    read = body + (routed * stored + cached) / spread
    flops = batch * (2.0 * shape.parameters_active + shape.attention_flops(context))
    moe = shape.moe_layers
    terms = {
        "latency": machine.layer_moe_s * moe + machine.layer_dense_s * (shape.layers - moe),
        "bandwidth": read / (machine.bandwidth * machine.decode_bandwidth),
        "FLOPs": flops / (spread * machine.peaks[native] * machine.decode_flops),
        "link": _traffic(shape, machine, chips, batch),
    }
    slower = machine.slower.get("decode", 1.0)
    return {name: seconds * slower for name, seconds in terms.items()}


def _traffic(shape: Shape, machine: Machine, chips: int, batch: float) -> float:
    """Seconds a step's collectives move bytes: all-reduces within, experts' tokens across.

    `batch` is what the chips that work together see. A token goes to experts and back, once
    for a group of chips at most.
    """
    within = min(chips, machine.domain, WIDEST)
    seconds = 0.0
    if within > 1:
        groups = chips / within if shape.is_moe else 1.0
        reduced = 4 * (within - 1) / within * shape.hidden * 2.0
        seconds += shape.layers * batch / groups * reduced / machine.link
    if shape.is_moe and chips > within:
        rate = machine.link if chips <= machine.domain else machine.out
        crossings = 2.0 * min(shape.active_experts, chips / within) * shape.moe_layers
        seconds += batch / chips * crossings * shape.hidden * 2.0 / rate
    return seconds


def replicas(machine: Machine, chips: int, *, experts: bool) -> Iterator[int]:
    """Yield the sizes of replica that a pool allows: powers of two, and a whole domain.

    Experts spread over a domain or up to 64 of them; every layer of a dense model is cut over
    `WIDEST` chips at most, and its layers over 8 such groups.
    """
    unit = machine.domain if experts else min(machine.domain, WIDEST)
    size = 1
    while size < unit and size <= chips:
        yield size
        size *= 2
    groups = 1
    while groups * unit <= chips and groups <= (64 if experts else 8):
        yield groups * unit
        groups *= 2


def room(shape: Shape, machine: Machine, chips: int, context: float, precision: str) -> float:
    """How many sequences of `context` tokens a replica's memory holds beside the weights.

    What every token passes is held once per group of `WIDEST` chips at most.
    """
    groups = chips / min(chips, machine.domain, WIDEST)
    copied = (shape.body_parameters + shape.head_parameters) * WEIGHT_BYTES[precision]
    held = weights(shape, precision) + (groups - 1) * copied * shape.is_moe
    free = chips * (machine.usable() - RESERVE) - held
    return free / cache(shape, context, precision)


def decode(work: Workload, machine: Machine, chips: int) -> Spent:
    """Return the decoding of one iteration's episodes (or all requests) on a pool, at its best."""
    best: Spent | None = None
    for size in replicas(machine, chips, experts=work.shape.is_moe):
        found = _decode_on(work, machine, chips, size)
        if best is None or found.seconds < best.seconds:
            best = found
    if best is None or not best.why_not:
        return best or Spent("decode", {}, why_not="capacity: there is no chip")
    return best


def _decode_on(work: Workload, machine: Machine, chips: int, size: int) -> Spent:
    shape, precision = work.shape, work.precision
    holds = room(shape, machine, size, work.length, precision)
    if holds < 1:
        why = f"capacity: {chips:,} chips do not hold the weights and one cache"
        return Spent("decode", {}, why_not=why)
    copies = chips // size
    middle = work.prompt_tokens + (work.length - work.prompt_tokens) / 2
    wanted = max(1.0, (work.episodes or work.requests) / copies)
    batch = min(wanted, holds)
    if work.speed:
        fast = _batch_at_speed(work, machine, size, middle, batch)
        if fast < 1:
            why = f"latency: one user alone does not get {work.speed:g} tokens/s"
            return Spent("decode", {}, why_not=why)
        batch = fast
    terms = step(shape, machine, size, batch, middle, precision)
    terms = _with_capacity(terms, shape, machine, size, batch, wanted, holds, precision)
    steps = wanted / batch * work.sampled
    spent = {name: seconds * steps for name, seconds in terms.items()}
    if work.spread and not work.overlapped:
        alone = sum(step(shape, machine, size, max(1.0, batch / 20), middle, precision).values())
        spent["latency"] += (longest(work) - 1) * work.sampled * alone
    each = f"{batch:,.0f} sequences" if batch >= 2 else "one sequence"
    how = f"{copies:,} x {size} chips, {each} each"
    return Spent("decode", spent, how)


def _with_capacity(
    terms: dict[str, float],
    shape: Shape,
    machine: Machine,
    size: int,
    batch: float,
    wanted: float,
    holds: float,
    precision: str,
) -> dict[str, float]:
    """Book to capacity what a larger batch would have shared: weights read and the constant."""
    if holds > batch or wanted <= batch:
        return {**terms, "capacity": 0.0}
    short = 1 - batch / wanted
    cached = batch * cache(shape, 1, precision)
    read = weights(shape, precision) / (weights(shape, precision) + cached)
    moved = {"latency": terms["latency"] * short, "bandwidth": terms["bandwidth"] * short * read}
    kept = {name: seconds - moved.get(name, 0.0) for name, seconds in terms.items()}
    return {**kept, "capacity": sum(moved.values())}


def _batch_at_speed(
    work: Workload, machine: Machine, size: int, context: float, most: float
) -> float:
    """The most sequences, at least one, whose steps are still as fast as a user wants; else 0."""

    def fast(batch: float) -> bool:
        terms = step(work.shape, machine, size, batch, context, work.precision)
        return sum(terms.values()) <= 1 / work.speed

    if not fast(1.0):
        return 0.0
    low, high = 1.0, most
    if fast(high):
        return high
    while high - low > 0.01 * low:
        middle = (low + high) / 2
        low, high = (middle, high) if fast(middle) else (low, middle)
    return low


def longest(work: Workload) -> float:
    """How many times the mean the longest episode of an iteration is, lengths being lognormal.

    The expected greatest normal score of K is Phi^-1((K - .375) / (K + .25)) (Blom 1958); the
    context cuts what would be longer.
    """
    if work.episodes < 2 or not work.spread:
        return 1.0
    s = sqrt(log(1 + work.spread**2))
    score = NormalDist().inv_cdf((work.episodes - 0.375) / (work.episodes + 0.25))
    return max(1.0, min(exp(s * score - s * s / 2), work.context / work.length))
