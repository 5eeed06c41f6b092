"""Decoding on a pool: chips per replica, sequences per replica, seconds.

A step takes a constant per layer, the bytes it reads, the FLOPs it does and the traffic of
its collectives, added, with the constants that `decode.py` fits. It must not know training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import exp, inf, log, log2, sqrt
from statistics import NormalDist

from toprope.plan.decode import cache_ways
from toprope.plan.machine import Machine
from toprope.plan.memory import RESERVE, cache, cache_bytes, weights
from toprope.plan.shapes import Shape
from toprope.plan.workload import WEIGHT_BYTES, Workload

RESOURCES = ("FLOPs", "bandwidth", "capacity", "link", "latency", "environment", "reliability")

# Domains whose experts one token may choose: DeepSeek-V3's limit, for the network's sake.
MOST_DOMAINS = 4
# Sequences beyond which no replica is asked to hold more.
_CROWD = float(1 << 24)
# Chips that one layer's matrices are cut over: more is hardly seen, and heads run out.
WIDEST = 16


@dataclass(frozen=True, slots=True)
class Cut:
    """A replica: its chips, and over how many of them attention is cut."""

    chips: int
    tensor: int

    @property
    def copies(self) -> float:
        """Copies of attention, each with sequences of its own; of a dense model, its parts."""
        return self.chips / self.tensor


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
    shape: Shape, machine: Machine, cut: Cut, batch: float, context: float, precision: str
) -> dict[str, float]:
    """Seconds of one decode step of `batch` sequences on a replica, by resource.

    A dense model larger than one cut is split by layers: its parts work on different
    sequences, which helps to hold it and does not make a token faster.
    """
    native = machine.precision(precision)
    stored = WEIGHT_BYTES[precision]
    spread = cut.chips if shape.is_moe else cut.tensor
    batch = batch * spread / cut.chips
    routed = 0.0
    if shape.experts:
        touched = 1 - (1 - shape.active_experts / shape.experts) ** batch
        routed = shape.routed_parameters * touched
    k, band = machine.decode, machine.bandwidth
    body = (shape.body_parameters + shape.head_parameters) * stored / cut.tensor
    own = batch * cut.tensor / spread  # sequences of one copy of attention
    cached = own * shape.kv_values_read(context) * cache_bytes(precision)
    cached /= min(cut.tensor, cache_ways(shape))
    read = k["body"] * body + k["experts"] * routed * stored / spread + k["cache"] * cached
    flops = batch * (2.0 * shape.parameters_active + shape.attention_flops(context))
    terms = {
        "latency": _constant(shape, k, cut.tensor, own),
        "bandwidth": read / band * (k["fp4"] if precision == "fp4" else 1.0),
        "FLOPs": k["flops"] * flops / (spread * machine.peaks[native]),
        "link": _traffic(shape, machine, cut, batch, own, precision),
    }
    slower = machine.slower.get("decode", 1.0)
    slower *= machine.decode_moe if shape.is_moe else machine.decode_dense
    return {name: seconds * slower for name, seconds in terms.items()}


def _constant(shape: Shape, k: Mapping[str, float], tensor: int, batch: float) -> float:
    """Seconds of a step that depend neither on bytes nor on FLOPs: layers, hops, host."""
    layers = k["layers"] * shape.layers + k["moe_layers"] * shape.moe_layers
    layers += k["mla_layers"] * shape.layers * (shape.attention == "mla")
    layers += k["linear_layers"] * shape.linear_layers
    layers += k["indexed_layers"] * shape.layers * (shape.sparse_top > 0)
    hops = k["hops"] * 2 * shape.layers * log2(tensor)
    return layers + hops + k["step"] + k["sequences"] * batch


def _traffic(
    shape: Shape, machine: Machine, cut: Cut, batch: float, own: float, precision: str
) -> float:
    """Seconds a step's collectives move bytes: all-reduces of a copy, experts' tokens across.

    A token goes to its experts and back, once for a copy at most within the domain and once
    for a domain beyond it.
    """
    reduced = 4 * (cut.tensor - 1) / cut.tensor * shape.hidden * 2.0
    seconds = machine.decode["link"] * shape.layers * own * reduced / machine.link
    if not shape.is_moe or cut.chips == cut.tensor:
        return seconds
    # A token goes out in the weights' precision and comes back in 16 bits.
    token = shape.moe_layers * shape.hidden * (WEIGHT_BYTES[precision] + 2.0) * batch / cut.chips
    near = min(cut.chips, machine.domain) / cut.tensor
    seconds += min(shape.active_experts, near) * token / machine.link
    domains = cut.chips / machine.domain
    if domains > 1:
        seconds += min(shape.active_experts, domains, MOST_DOMAINS) * token / machine.out
    return seconds


def cuts(machine: Machine, chips: int, shape: Shape) -> Iterator[Cut]:
    """Yield the replicas that a pool allows: powers of two, a whole domain, several.

    Experts spread over a domain or up to 64 of them while attention is cut over a few chips
    or none; every layer of a dense model is cut over `WIDEST` chips at most, and its layers
    over 8 such groups.
    """
    most = min(machine.domain, WIDEST)
    unit = machine.domain if shape.is_moe else most
    sizes, size = [], 1
    while size < unit and size <= chips:
        sizes.append(size)
        size *= 2
    groups = 1
    while groups * unit <= chips and groups <= (64 if shape.is_moe else 8):
        sizes.append(groups * unit)
        groups *= 2
    for size in sizes:
        widths = {min(size, most)} | ({1, min(size, most, 8)} if shape.is_moe else set())
        yield from (Cut(size, width) for width in sorted(widths))


def room(shape: Shape, machine: Machine, cut: Cut, context: float, precision: str) -> float:
    """How many sequences of `context` tokens a replica's memory holds beside the weights.

    Each copy of attention holds what every token passes; a cache that cannot be cut lies on
    every chip of its copy.
    """
    copied = (shape.body_parameters + shape.head_parameters) * WEIGHT_BYTES[precision]
    held = weights(shape, precision) + (cut.copies - 1) * copied * shape.is_moe
    free = cut.chips * (machine.usable() - RESERVE) - held
    times = cut.tensor / min(cut.tensor, cache_ways(shape))
    return free / (times * cache(shape, context, precision))


def decode(work: Workload, machine: Machine, chips: int) -> Spent:
    """Return the decoding of one iteration's episodes (or all requests) on a pool, at its best."""
    found = [_decode_on(work, machine, chips, cut) for cut in cuts(machine, chips, work.shape)]
    # Where none will do, the nearest to doing it says why: it held the model, and was too slow.
    return min(found, key=lambda spent: (spent.seconds, spent.why_not.startswith("capacity")))


def _decode_on(work: Workload, machine: Machine, chips: int, cut: Cut) -> Spent:
    shape, precision = work.shape, work.precision
    holds = room(shape, machine, cut, work.length, precision)
    if holds < 1:
        why = f"capacity: {chips:,} chips do not hold the weights and one cache"
        return Spent("decode", {}, why_not=why)
    copies = chips // cut.chips
    middle = work.prompt_tokens + (work.length - work.prompt_tokens) / 2
    wanted = max(1.0, (work.episodes or work.requests) / copies)
    batch = min(wanted, holds)
    if work.speed:
        fast = min(batch, _batch_at_speed(shape, machine, cut, middle, precision, work.speed))
        if fast < 1:
            why = f"latency: one user alone does not get {work.speed:g} tokens/s"
            return Spent("decode", {}, why_not=why)
        batch = fast
    terms = step(shape, machine, cut, batch, middle, precision)
    if holds <= batch < wanted:
        terms = _with_capacity(terms, shape, batch / wanted, batch, precision)
    steps = wanted / batch * work.sampled
    spent = {name: seconds * steps for name, seconds in terms.items()}
    if work.spread and not work.overlapped:
        alone = sum(step(shape, machine, cut, max(1.0, batch / 20), middle, precision).values())
        spent["latency"] += (longest(work) - 1) * work.sampled * alone
    each = f"{batch:,.0f} sequences" if batch >= 2 else "one sequence"
    how = f"{copies:,} x {cut.chips} chips, {each} each"
    return Spent("decode", spent, how)


def _with_capacity(
    terms: dict[str, float], shape: Shape, kept: float, batch: float, precision: str
) -> dict[str, float]:
    """Book to capacity what a larger batch would have shared: weights read and the constant.

    `kept` is the batch over the one that was wanted.
    """
    cached = batch * cache(shape, 1, precision)
    read = weights(shape, precision) / (weights(shape, precision) + cached)
    moved = {
        "latency": terms["latency"] * (1 - kept),
        "bandwidth": terms["bandwidth"] * (1 - kept) * read,
    }
    left = {name: seconds - moved.get(name, 0.0) for name, seconds in terms.items()}
    return {**left, "capacity": sum(moved.values())}


@lru_cache(maxsize=4096)
def _batch_at_speed(
    shape: Shape, machine: Machine, cut: Cut, context: float, precision: str, speed: float
) -> float:
    """The most sequences, at least one, whose steps are still as fast as a user wants; else 0."""

    def fast(batch: float) -> bool:
        return sum(step(shape, machine, cut, batch, context, precision).values()) <= 1 / speed

    if not fast(1.0):
        return 0.0
    low, high = 1.0, 2.0
    while fast(high):
        if high >= _CROWD:
            return high
        low, high = high, high * 2
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
