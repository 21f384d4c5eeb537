"""Verdicts on claims: what must hold between runs of one suite, whatever the machine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from regtopk_bench.gate.suite import Claimed, Suite
from regtopk_bench.results import Run
from regtopk_bench.results.baseline import CONSERVATION
from regtopk_bench.results.verdict import Verdict


def verdicts(suite: Suite, runs: Mapping[str, Run]) -> Iterator[Verdict]:
    """Yield a verdict for each claim and seed that were run, and on conservation in each run.

    Args:
        suite: The suite with its claims.
        runs: What was run, by key.
    """
    for claim in suite.claims:
        for ours, theirs in claim.pairs:
            if ours in runs and theirs in runs:
                yield _claimed(claim, suite.names[ours], runs[ours], runs[theirs])
            for key in dict.fromkeys((ours, theirs)):
                if key in suite.skipped:
                    yield _skipped(claim, suite, ours, key)
    for key, run in runs.items():
        if CONSERVATION in run.metrics:
            yield _conserved(suite.names[key], run)


def _claimed(claim: Claimed, name: str, ours: Run, theirs: Run) -> Verdict:
    values = [run.metrics.get(claim.metric, math.nan) for run in (ours, theirs)]
    both_zero = values == [0.0, 0.0]
    below = 0.0 if both_zero else _log10(values[1]) - _log10(values[0])
    holds = below >= claim.decades and "diverged" not in (ours.status, theirs.status)
    if claim.metric not in ours.metrics.keys() & theirs.metrics.keys():
        way = f"there is no metric {claim.metric}"
    elif math.isnan(below):
        way = f"it is {values[0]:.3g}, and the other {values[1]:.3g}"
    else:
        way = f"it is {abs(below):.2f} decades {'below' if below >= 0.0 else 'above'}"
    return Verdict(
        cell=ours.cell.key,
        name=name,
        metric="claim",
        verdict="PASS" if holds else "FAIL",
        reason="claim-holds" if holds else "claim-broken",
        sentence=f"{'holds' if holds else 'broken'}: {claim.text}; {way}",
        value=below,
        baseline=claim.decades,
    )


def _skipped(claim: Claimed, suite: Suite, ours: str, skipped: str) -> Verdict:
    return Verdict(
        cell=ours,
        name=suite.names[ours],
        metric="claim",
        verdict="SKIPPED",
        reason="unavailable",
        sentence=f"not judged: {claim.text}; {suite.names[skipped]}: {suite.skipped[skipped]}",
    )


def _conserved(name: str, run: Run) -> Verdict:
    lost = run.metrics[CONSERVATION]
    holds = lost == 0.0
    if holds:
        sentence = "what was sent and what was kept make up what there was, exactly"
    else:
        sentence = f"an entry lost or gained {lost:.3g} between residual, gradient and message"
    return Verdict(
        cell=run.cell.key,
        name=name,
        metric="conservation",
        verdict="PASS" if holds else "FAIL",
        reason="claim-holds" if holds else "claim-broken",
        sentence=sentence,
        value=lost,
        baseline=0.0,
    )


def _log10(value: float) -> float:
    """Return log10; -infinity for 0, NaN for what is no positive number."""
    return math.log10(value) if value > 0.0 else -math.inf if value == 0.0 else math.nan
