"""The answer in sentences about bytes: what reaches the target with the fewest sent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from regtopk_bench.report.numbers import number
from regtopk_bench.report.phrases import about, in_one_sentence, listed, p_value, seeds, sentence
from regtopk_bench.results.measures import LOG10_SENT_TO_TARGET, SENT_TO_TARGET
from regtopk_bench.results.standing import Beaten, standing
from regtopk_bench.results.statistics import Statistics, Summary

_MOST_NAMED = 3
"""Configurations in a list; of more, the first are named and the others counted."""


@dataclass(frozen=True)
class Target:
    """What a run should reach, and how bytes that it takes are told."""

    text: str
    """Empty if there is none."""
    unit: str
    in_bytes: float

    def sent(self, of: Summary) -> str:
        """Return the mean of the bytes that reach it, with its interval."""
        return f"{number(of.metrics[SENT_TO_TARGET].times(1.0 / self.in_bytes))} {self.unit}"


def least_sent(statistics: Statistics, target: Target) -> list[str]:
    """Return what reaches the target with the fewest bytes sent, whatever its density."""
    if not target.text:
        return []
    ranked = [each for each in statistics.summary if each.ranked(LOG10_SENT_TO_TARGET)]
    if ranked and all(len(each.seeds) < 2 for each in ranked):
        return []

    reached = f"reached {target.text} on every seed that finished"
    if not ranked:
        return [sentence(f"{_out_of(statistics)}nothing {reached}")]
    if len(ranked) == 1:
        who = in_one_sentence(ranked, [])
        only = f"{_out_of(statistics)}only {who} {reached}: {target.sent(ranked[0])} per worker"
        return [sentence(only)]
    everything = statistics.pairs(LOG10_SENT_TO_TARGET, "all")
    several = [pair for pair in everything if pair.difference.n > 1]
    pairs = [pair for pair in several if math.isfinite(pair.p) or pair.finding == "same"]
    if not any(math.isfinite(pair.p) for pair in pairs):
        return []
    found = standing(statistics.summary, pairs, LOG10_SENT_TO_TARGET)
    if not found.leaders:
        return []
    alike = {each[0].group: each for each in found.same}
    names = [in_one_sentence(alike.get(each.group, (each,)), []) for each in found.leaders]
    leaders = [
        f"{who}{' (the same runs)' if each.group in alike else ''}, {target.sent(each)}"
        for who, each in zip(names, found.leaders, strict=True)
    ]
    shown = leaders[:_MOST_NAMED]
    shown += [f"and {len(leaders) - len(shown)} more"] if len(leaders) > len(shown) else []
    if len(leaders) == 1:
        told = [f"To {target.text}, least is sent by {leaders[0]} per worker"]
        than = ""
    else:
        told = [f"Sent per worker until {target.text}, least first: {'; '.join(shown)}"]
        over = [pair.difference.n for pair in found.open]
        told += [f"no difference is distinguishable over {seeds(over)}"] if over else []
        than = f" as {names[0]}"
    others = [each for each in found.beaten if each.by is found.leaders[0]]
    told += [_more_sent(each, target, than) for each in _next_and_reference(others)]
    compared = {each.group for pair in several for each in (pair.first, pair.second)}
    if apart := [each for each in ranked if each.group not in compared]:
        told.append(f"{in_one_sentence(apart, [])} had fewer than two seeds in common with others")
    return ["; ".join(told)]


def _out_of(statistics: Statistics) -> str:
    """Return what is left out where nothing, or only one, is said to reach the target."""
    kinds = {
        "can be built": any(not each.achievable for each in statistics.summary),
        "never failed": any(each.diverged or each.failed for each in statistics.summary),
    }
    which = [kind for kind, is_left_out in kinds.items() if is_left_out]
    return f"of what {listed(which)}, " if which else ""


def _next_and_reference(others: Sequence[Beaten]) -> list[Beaten]:
    """Return the next best, and the first without a density: what sparsifying saves."""
    ordered = sorted(others, key=lambda each: each.loser.metrics[SENT_TO_TARGET].mean)
    reference = [each for each in ordered[1:] if not each.loser.has_density]
    return [*ordered[:1], *reference[:1]]


def _more_sent(each: Beaten, target: Target, than: str) -> str:
    who, p = in_one_sentence([each.loser], []), p_value([each.comparison])
    if not each.by.metrics[SENT_TO_TARGET].mean:
        return f"{who} sends {target.sent(each.loser)} ({p})"
    ratio = 10.0 ** abs(each.comparison.difference.mean)
    times = f"{ratio:.3g}" if ratio < 100.0 else about(round(ratio))
    return f"{who} sends {times} times as much{than} ({p})"
