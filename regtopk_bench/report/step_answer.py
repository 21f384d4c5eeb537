"""The answer of `cost` in sentences: whether to sparsify on this network, and with what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from regtopk_bench.algorithms import REFERENCE
from regtopk_bench.report.numbers import duration
from regtopk_bench.report.phrases import in_one_sentence, sentence
from regtopk_bench.results.costs import CostLine, Costs, Rounds, Timed

MODEL_ERROR = 0.2
"""By how much the model may be off: docs/network.md has it against the clock."""

_LEAST_ROOM = 1e-3
"""Of a step's computation: no sparsifier takes less."""

_STEPS = (
    "This is the time of a step: whether it takes more steps to a target, a saved run tells, with "
    "--run RESULT"
)

Mode = Callable[[CostLine], Timed]


def _exposed(line: CostLine) -> Timed:
    return line.exposed


def _overlapped(line: CostLine) -> Timed:
    return line.overlapped


def answers(costs: Costs) -> list[str]:
    """Return whether sparsifying pays, with what it does not, and what is left open."""
    told = []
    ranked = _ranked(costs)
    best, exposed = _best(ranked, _overlapped), _best(ranked, _exposed)
    if best and exposed:
        told.append(_verdict(costs, best, _overlapped))
        if _worth(best.overlapped):
            told += [*_alike(costs, best, ranked), *_losers(costs, ranked)]
        told += _too_slow(costs, best)
        if _worth(best.overlapped) != _worth(exposed.exposed):
            other = _verdict(costs, exposed, _exposed)
            told.append(f"Where messages travel after the backward pass: {other}")
    told += _on_rounds(costs, costs.rounds) if costs.rounds else [_STEPS]
    return told


def _ranked(costs: Costs) -> list[CostLine]:
    """Return the sparsifiers that can be compared with the reference."""
    others = [line for line in costs.lines if line is not costs.reference]
    return [line for line in others if line.overlapped.speed_up is not None]


def _best(ranked: Sequence[CostLine], mode: Mode) -> CostLine | None:
    return max(ranked, key=lambda line: _gain(mode(line)), default=None)


def _gain(timed: Timed) -> float:
    return timed.speed_up or 0.0


def _worth(timed: Timed) -> bool:
    """Tell whether the gain is more than the model may be off."""
    return _gain(timed) > 1.0 + MODEL_ERROR


def _verdict(costs: Costs, best: CostLine, mode: Mode) -> str:
    """Return whether to sparsify, given what is fastest."""
    who, reference = _named(costs, [best]), REFERENCE.label
    ours, theirs = (duration(costs.time(mode(each)) or 0.0) for each in (best, costs.reference))
    what = f"to {costs.rounds.target} it takes" if costs.rounds else "a step takes"
    if _worth(mode(best)):
        times = f"{_gain(mode(best)):.3g} times as long"
        return f"Compress here: {what} {ours} with {who}, and {theirs} with {reference}, {times}"
    if _gain(mode(best)) > 1.0:
        return (
            f"Do not compress here: {what} {theirs} with {reference} and {ours} with {who}, which "
            f"differs by less than the {100 * MODEL_ERROR:.0f} % that the model may be off"
        )
    return f"Do not compress here: {what} {theirs} with {reference}, and {ours} at best, with {who}"


def _alike(costs: Costs, best: CostLine, ranked: Sequence[CostLine]) -> Iterator[str]:
    """Yield what the model cannot tell from the best."""
    least = _gain(best.overlapped) / (1.0 + MODEL_ERROR)
    alike = [line for line in ranked if line is not best and _gain(line.overlapped) >= least]
    if alike:
        who = sentence(_named(costs, alike))
        yield f"{who}: at most {100 * MODEL_ERROR:.0f} % longer, which the model cannot tell apart"


def _too_slow(costs: Costs, best: CostLine) -> Iterator[str]:
    """Yield how fast a sparsifier would have to be, where its own time is what is in the way."""
    spent, timed = best.footprint.sparsify_seconds, best.overlapped
    room = spent + timed.seconds * (_gain(timed) - 1.0)
    if _gain(timed) <= 1.0 and room > _LEAST_ROOM * costs.compute_seconds:
        own = f"less than {duration(room)} of its own, not {duration(spent)}"
        yield f"It would pay if {_named(costs, [best])} took {own}"


def _losers(costs: Costs, ranked: Sequence[CostLine]) -> Iterator[str]:
    """Yield what loses where something else gains."""
    losers = [line for line in ranked if _gain(line.overlapped) <= 1.0]
    if losers:
        yield f"Do not compress here with {_named(costs, losers)}: {REFERENCE.label} takes less"


def _on_rounds(costs: Costs, rounds: Rounds) -> Iterator[str]:
    """Yield where the rounds are from, and which sparsifiers have none."""
    never = [line for line in costs.lines if line.in_result and line.rounds_to_target is None]
    missing = [line for line in costs.lines if not line.in_result]
    if never:
        who = sentence(_named(costs, never))
        yield f"{who} did not reach {rounds.target} on every seed of {rounds.result}"
    if missing:
        yield sentence(f"{_named(costs, missing)} had no run in {rounds.result}")
    yield f"rounds to {rounds.target}: those of {rounds.result}, with {rounds.workers} workers"


def _named(costs: Costs, some: Sequence[CostLine]) -> str:
    return in_one_sentence(some, [line.density for line in costs.lines])
