"""Verdicts on metrics that depend on nothing but their cell: runs against a baseline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from regtopk_bench.results.baseline import Baseline, BaselineCell, Metric, differing, gated
from regtopk_bench.results.names import differences
from regtopk_bench.results.schema import KernelCell, Run, TrainingCell
from regtopk_bench.results.values import Scalar
from regtopk_bench.results.verdict import Kind, Reason, Verdict, told_apart

_LOWER_IS_BETTER = ("gap", "loss", "rounds_to_target")
_HIGHER_IS_BETTER = ("accuracy", "exact")
"""Shares, of which 1 is the best. Bytes are in neither list: to count fewer is a change."""

_MUCH = 2.0
"""A value is much better if what it lacks to the best, 0 or 1, is so many times less."""

_BROKEN = ("crashed", "timed-out")
_FEW = 2
"""Facts in which two cells may differ and still be like each other."""

CELL = "cell"
"""The metric of verdicts on a cell as a whole."""

Cell = TrainingCell | KernelCell


@dataclass(frozen=True)
class Outcomes:
    """What became of the cells of a suite, by key."""

    names: Mapping[str, str]
    """Of all cells, those that were not run included."""
    cells: Mapping[str, Cell]
    runs: Mapping[str, Run]
    environment: Mapping[str, Scalar]
    skipped: Mapping[str, tuple[Reason, str]] = field(default_factory=dict)
    """Why cells were not run, as a reason and a sentence."""
    failures: Mapping[str, tuple[Reason, str]] = field(default_factory=dict)
    """How cells failed, likewise."""
    alone: Mapping[str, str] = field(default_factory=dict)
    """Why there is nothing to compare cells with, if the baseline could have had them."""


def verdicts(baseline: Baseline, outcomes: Outcomes, *, whole: bool = True) -> list[Verdict]:
    """Return the verdict on every metric of every cell.

    Args:
        baseline: What the outcomes are compared with.
        outcomes: What was run.
        whole: Whether all cells were asked for, so that those that are absent are missing.
    """
    other = differing(baseline.environment, outcomes.environment)
    found: list[Verdict] = []
    for key, name in outcomes.names.items():
        found += _cell(key, name, baseline, outcomes, other)
    if whole:
        absent = [key for key in baseline.cells if key not in outcomes.names]
        found += [_missing(key, baseline, outcomes) for key in absent]
    return found


def notes(baseline: Baseline, outcomes: Outcomes) -> list[str]:
    """Return what is to be known of all verdicts: what another machine does to the comparison."""
    other = differing(baseline.environment, outcomes.environment)
    if other is None:
        return []
    return [
        f"not on the baseline's machine with its versions ({other}): digests are not compared, and "
        "numbers are held to the baseline's tolerances"
    ]


def _cell(
    key: str, name: str, baseline: Baseline, outcomes: Outcomes, other: str | None
) -> Iterator[Verdict]:
    def verdict(kind: Kind, reason: Reason, sentence: str) -> Verdict:
        return Verdict(
            cell=key, name=name, metric=CELL, verdict=kind, reason=reason, sentence=sentence
        )

    run, before = outcomes.runs.get(key), baseline.cells.get(key)
    if key in outcomes.skipped:
        yield verdict("SKIPPED", *outcomes.skipped[key])
    elif key in outcomes.failures:
        yield verdict("FAIL", *outcomes.failures[key])
    elif run is not None and run.status == "diverged":
        yield verdict("FAIL", "diverged", f"the run diverged: {run.error}")
    elif run is not None and before is None:
        left = [each.cell for key, each in baseline.cells.items() if key not in outcomes.names]
        like = _like(outcomes.cells[key], left)
        why = outcomes.alone.get(key, f"the baseline does not have this cell{like}")
        yield verdict("NEW", "new-cell", why)
    elif run is not None and before is not None:
        yield from _metrics(key, name, run, before, other)


def _missing(key: str, baseline: Baseline, outcomes: Outcomes) -> Verdict:
    before = baseline.cells[key]
    left = [cell for key, cell in outcomes.cells.items() if key not in baseline.cells]
    return Verdict(
        cell=key,
        name=before.name,
        metric=CELL,
        verdict="MISSING",
        reason="missing-cell",
        sentence="the baseline has this cell, and the suite does not" + _like(before.cell, left),
    )


def _metrics(
    key: str, name: str, run: Run, before: BaselineCell, other: str | None
) -> Iterator[Verdict]:
    metrics = gated(run.metrics)
    for metric in before.metrics | metrics:
        value, accepted = metrics.get(metric), before.metrics.get(metric)
        kind, reason, sentence = _metric(metric, value, accepted, other)
        lost = run.metrics.get(metric)
        if accepted is not None and value is None and lost is not None:
            kind, reason = "FAIL", "changed" if _lacking(metric, 0.0) is None else "worse"
            sentence = f"{metric} was {accepted.value:.9g} and is {lost}"
        yield Verdict(
            cell=key,
            name=name,
            metric=metric,
            verdict=kind,
            reason=reason,
            sentence=sentence,
            value=value,
            baseline=accepted.value if accepted else None,
            tolerance=None if accepted is None else accepted.tolerance if other else 0.0,
        )
    for metric in before.digests | run.digests:
        kind, reason, sentence = _digest(
            metric, run.digests.get(metric), before.digests.get(metric), other
        )
        yield Verdict(
            cell=key, name=name, metric=metric, verdict=kind, reason=reason, sentence=sentence
        )


def _metric(
    metric: str, value: int | float | None, accepted: Metric | None, other: str | None
) -> tuple[Kind, Reason, str]:
    if accepted is None:
        return "NEW", "new-metric", f"the baseline does not have {metric}"
    if value is None:
        lost = f"{metric} was {accepted.value:.9g} and has no value now"
        return "MISSING", "missing-metric", lost
    if value == accepted.value:
        return "PASS", "equal", f"{metric} is {value:.9g}, as it was"
    within = abs(value - accepted.value) <= accepted.tolerance
    now, then = told_apart(value, accepted.value)
    moved = f"{metric} was {then} and is {now}"
    if within and other:
        tolerated = f"{moved}, within {accepted.tolerance:.2g}, as {other}"
        return "PASS", "within-tolerance", tolerated
    lacks, lacked = _lacking(metric, value), _lacking(metric, accepted.value)
    if lacks is not None and lacked is not None and _MUCH * lacks <= lacked and not within:
        return "BETTER", "better", f"{moved}, much better: accept it"
    worse = lacks is not None and lacked is not None and lacks > lacked
    reason: Reason = "worse" if worse else "changed"
    if other:
        return "FAIL", reason, f"{moved}; {accepted.tolerance:.2g} is tolerated, as {other}"
    return "FAIL", reason, f"{moved}; on this machine, with these versions, it must be equal"


def _lacking(metric: str, value: int | float) -> float | None:
    """Return how far a value is from the best there can be; None where nothing is best."""
    if metric in _LOWER_IS_BETTER:
        return value
    return 1.0 - value if metric in _HIGHER_IS_BETTER else None


def _digest(
    metric: str, value: str | None, accepted: str | None, other: str | None
) -> tuple[Kind, Reason, str]:
    if accepted is None:
        return "NEW", "new-metric", f"the baseline does not have {metric}"
    if value is None:
        return "MISSING", "missing-metric", f"{metric} had a digest and has none now"
    if value == accepted:
        return "PASS", "equal", f"{metric}: the same bits as before"
    if other:
        return "SKIPPED", "other-machine", f"{metric}: bits are not compared, as {other}"
    changed = f"{metric}: other bits than before, on the same machine, with the same versions"
    return "FAIL", "changed", changed


def failed(verdict: Verdict, *, allow_new: bool = False, allow_missing: bool = False) -> bool:
    """Tell whether a verdict counts as a regression, or as a cell that could not be run."""
    allowed = {"NEW": allow_new, "MISSING": allow_missing, "FAIL": False}
    return not allowed.get(verdict.verdict, True)


def exit_code(
    verdicts: Iterable[Verdict],
    *,
    strict: bool = False,
    allow_new: bool = False,
    allow_missing: bool = False,
) -> int:
    """Return 1 for a regression, 3 for a cell that failed, 4 if strict and undecided, or 0."""
    found = list(verdicts)
    failures = [
        each for each in found if failed(each, allow_new=allow_new, allow_missing=allow_missing)
    ]
    if any(each.reason not in _BROKEN for each in failures):
        return 1
    if failures:
        return 3
    undecided = any(each.verdict == "INCONCLUSIVE" for each in found) or nothing_judged(found)
    return 4 if strict and undecided else 0


def nothing_judged(verdicts: Iterable[Verdict]) -> bool:
    """Tell whether there are verdicts, and all of them are SKIPPED."""
    return {each.verdict for each in verdicts} == {"SKIPPED"}


def _like(cell: Cell, others: Iterable[Cell]) -> str:
    """Say in what a cell differs from the one that may have been meant, if any is like it."""
    alike = [list(differences(cell, each)) for each in others if each.kind == cell.kind]
    told = min(alike, key=len, default=[])
    if not 0 < len(told) <= _FEW:
        return ""
    shown = " and ".join(f"{name} {theirs} instead of {ours}" for name, ours, theirs in told)
    return f"; one is like it, with {shown}"
