"""The phases of a workload on so many of one machine: seconds by resource.

Roll-out is prefill, decode and environment; then log-probabilities or the teacher, training,
weight sync. It must not know prices or ranges; a corner at a time.
"""

from __future__ import annotations

from math import sqrt

from toprope.plan import flops
from toprope.plan.chips import Chip
from toprope.plan.machine import Machine
from toprope.plan.memory import serving_chips, training_chips, weights
from toprope.plan.pool import Corner, against
from toprope.plan.rates import load_rates
from toprope.plan.serving import Spent, decode, longest
from toprope.plan.shapes import Shape
from toprope.plan.workload import WEIGHT_BYTES, Workload

# The collectives of training are part of the share that is reached on the H100, so only what a
# chip has worse or better than it counts: FLOP/s, link and network of that chip.
_REFERENCE = (989e12, 450e9, 50e9)
# Chips that may work on one sequence: 8 on each layer, 16 stages of layers.
_PER_SEQUENCE = 8 * 16


def phases(work: Workload, machine: Machine, chips: int) -> list[Spent]:
    """Return every phase of the whole workload, all iterations, in their order."""
    if work.kind in ("pretrain", "sft"):
        return [_train(work, machine, chips)]
    if work.kind == "serve":
        return [_prefill(work, machine, chips, work.requests), decode(work, machine, chips)]
    found = [
        _prefill(work, machine, chips, work.episodes),
        decode(work, machine, chips),
        _environment(work),
        *([_second_look(work, machine, chips)] if work.looks_again or work.teacher else []),
        _train(work, machine, chips).times(1 / work.iterations),
        _sync(work, machine, chips),
    ]
    return [spent.times(work.iterations) for spent in found if spent.why_not or spent.seconds > 0]


def _prefill(work: Workload, machine: Machine, chips: int, episodes: float) -> Spent:
    kept = work.length - work.prefilled - work.sampled
    work_flops = episodes * flops.forward(work.shape, work.prefilled, start=max(kept, 0.0))
    return _forward("prefill", work.shape, work_flops, work, machine, chips)


def _second_look(work: Workload, machine: Machine, chips: int) -> Spent:
    """The trainer's own log-probabilities, or the teacher's: one forward over every token."""
    if work.teacher is not None:
        total = work.episodes * flops.forward(work.teacher, work.length)
        return _forward("teacher", work.teacher, total, work, machine, chips)
    total = work.episodes * flops.forward(work.shape, work.length)
    return _forward("log-probabilities", work.shape, total, work, machine, chips)


def _forward(
    name: str, shape: Shape, total: float, work: Workload, machine: Machine, chips: int
) -> Spent:
    needed = serving_chips(shape, work.length, work.precision, machine.usable())
    if chips < needed:
        return Spent(name, {}, why_not=f"capacity: it takes {needed:,} chips to hold the model")
    native = machine.precision(work.precision)
    rate = chips * machine.peaks[native] * machine.prefill
    slower = machine.slower.get("prefill", 1.0)
    return Spent(name, {"FLOPs": total / rate * slower}, how=f"in {native.upper()}")


def _environment(work: Workload) -> Spent:
    """The wait for environments: of the longest episode in step, of the workers at least."""
    each = work.turns * work.environment_s
    workers = work.environment_workers or work.episodes
    busy = work.episodes * each / workers
    tail = each * longest(work)
    seconds = busy if work.overlapped else max(busy, tail)
    if work.overlapped and not work.environment_workers:
        seconds = 0.0
    return Spent("environment", {"environment": seconds}, how=f"{workers:,} at once")


def _train(work: Workload, machine: Machine, chips: int) -> Spent:
    """All training of the workload."""
    needed = training_chips(work, machine.usable())
    if chips < needed:
        why = f"capacity: weights, gradients and optimiser take {needed:,} chips"
        return Spent("train", {}, why_not=why)
    length = work.length if work.kind in ("rl", "distill") else float(work.context)
    total = flops.training(work.shape, work.trained, length, work.method)
    native = machine.precision(work.train_precision, training=True)
    busy = min(chips, int(work.sequences * _PER_SEQUENCE))
    slower = machine.slower.get("train", 1.0)
    base = total / (busy * machine.peaks[native] * machine.train) * slower
    per_token = total / work.trained
    mine = (machine.peaks[native], machine.link, machine.out)
    split = min(8, machine.domain) if needed > 1 else 1
    ratio = _traffic_ratio(work, per_token, mine, split, machine.train)
    reference = _traffic_ratio(work, per_token, _REFERENCE, 8 if needed > 1 else 1, machine.train)
    shared = 1 + machine.exposed * reference
    terms = {"FLOPs": base / shared, "link": base * machine.exposed * ratio / shared}
    held = "1 chip holds" if needed == 1 else f"{needed:,} chips hold"
    return Spent("train", terms, how=f"in {native.upper()}, {held} the states")


def _traffic_ratio(
    work: Workload, per_token: float, rates: tuple[float, float, float], split: int, share: float
) -> float:
    """Time for collectives over time for FLOPs, per token, with layers cut over `split` chips.

    Layers are cut or their weights gathered, whichever moves less; experts' tokens cross the
    network, at most four domains each (DeepSeek-V3's limit).
    """
    peak, link, out = rates
    shape = work.shape
    computed = per_token / (peak * share)
    cut = shape.layers * 2 * 4 * (split - 1) / split * shape.hidden * 2.0 * split / link
    length = work.length or work.context
    gathered = 3 * 2.0 * shape.parameters_active / out / max(1.0, work.sequences * length / 512)
    moved = min(cut, gathered) if split > 1 else 0.0
    experts = shape.moe_layers * 4 * min(shape.active_experts, 4) * shape.hidden * 2.0 / out
    return (moved + experts) / computed


def _sync(work: Workload, machine: Machine, chips: int) -> Spent:
    """New weights to every replica: all of them, or the adapters of LoRA."""
    size = weights(work.shape, work.precision)
    if work.method == "lora":
        adapters = flops.adapter_parameters(work.shape, work.rank)
        size = adapters * WEIGHT_BYTES["bf16"]
    rate = machine.link if chips <= machine.domain else machine.out
    replica = serving_chips(work.shape, work.length, work.precision, machine.usable())
    return Spent("weight sync", {"link": size / min(chips, replica) / (rate * machine.sync)})


def goodput(work: Workload, chip: Chip, chips: int, corner: Corner) -> float:
    """Return the share of time that is not lost to interruptions, above 0.05.

    1 - d/t - t/(2M) - R/M with the best interval t = sqrt(2 d M) between checkpoints of d
    seconds, M seconds between interruptions of the pool, R to be back (Young 1974, Daly 2006).
    Serving loses a replica, not the pool: 1.
    """
    if work.kind == "serve":
        return 1.0
    rates = load_rates()
    between = {"slow": chip.failure.range.min, "usual": chip.failure.range.typ}.get(
        corner, chip.failure.range.max
    )
    between /= chips
    written = against(rates.checkpoint_s, corner)
    lost = sqrt(2 * written / between) + against(rates.restart_s, corner) / between
    return max(0.05, 1 - lost)
