"""A check: the cells of a suite run, timed and judged, without printing."""

from __future__ import annotations

import functools
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.gate import claims, pairs
from regtopk_bench.gate.bench import Bench, Ended
from regtopk_bench.gate.process import HangError, ProcessError
from regtopk_bench.gate.suite import Suite
from regtopk_bench.gate.timing import TIME, Timer, verdict
from regtopk_bench.results import Run
from regtopk_bench.results.baseline import (
    Acceptance,
    Baseline,
    BaselineCell,
    baseline_cell,
    differing,
    differing_in_time,
)
from regtopk_bench.results.diagnosis import Diagnosis, stored
from regtopk_bench.results.equivalence import Plan
from regtopk_bench.results.judging import Outcomes, notes, verdicts
from regtopk_bench.results.lines import Base
from regtopk_bench.results.verdict import Kind, Reason, Verdict
from regtopk_bench.settings import CheckSettings

HEAD, BASE = "head", "base"


@dataclass
class Check:
    """A suite and what it is compared with; `cells` and `times` fill in what was found."""

    head: Suite
    keys: Sequence[str]
    """The cells that are wanted."""
    settings: CheckSettings
    base: Suite | None = None
    """The same profile in the code of --against."""
    accepted: Baseline | None = None
    """The baseline file; None to compare with what the base gives."""
    runs: dict[str, Run] = field(default_factory=dict)
    """By key; those of an interrupted check, to start with."""
    base_runs: dict[str, Base] = field(default_factory=dict)
    diagnosis: Diagnosis | None = field(default=None, init=False)
    """How well timing sees on this machine, if doctor has found out."""
    failures: dict[str, tuple[Reason, str]] = field(default_factory=dict, init=False)
    base_failures: dict[str, str] = field(default_factory=dict, init=False)
    """Why the base could not run some cells."""
    timed: list[Verdict] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        """Refuse to compare code with itself, and to time what is not there."""
        self.head.matching(self.settings.time, "--time")
        if self.base is not None and self.base.files == self.head.files:
            raise ConfigurationError(
                f"--against {self.base.tree.where}: nothing in this suite comes from there, so "
                "that the code would be compared with itself"
            )

    @property
    def waiting(self) -> list[str]:
        """The cells that are still to be run."""
        return [key for key in self.keys if key not in self.runs and key not in self.head.skipped]

    def cells(self, head: Bench, base: Bench | None) -> Iterator[tuple[str, str, Ended]]:
        """Run cells, on both sides at the same time; yield (side, key, how it ended).

        Args:
            head: Runs those of the code under test.
            base: Runs those of the code that it is compared with.
        """
        for key in self.keys:
            sides = {HEAD: head} if key in self.waiting else {}
            if base is not None and self._wanted_of_base(key):
                sides[BASE] = base
            for side, bench in sides.items():
                bench.begin(key, nudge=side == BASE and self._elsewhere)
            for side, bench in sides.items():
                ended = bench.end()
                self._take(side, key, ended)
                yield side, key, ended

    def _wanted_of_base(self, key: str) -> bool:
        assert self.base is not None
        known = key in self.base.cells and key not in self.base.skipped
        return known and self.accepted is None and key not in self.base_runs

    @property
    def _elsewhere(self) -> bool:
        """Whether the base computes other bits, as with another PyTorch."""
        assert self.base is not None
        return differing(self.base.environment, self.head.environment) is not None

    def _take(self, side: str, key: str, ended: Ended) -> None:
        if ended.run is not None:
            if side == HEAD:
                self.runs[key] = ended.run
            else:
                self.base_runs[key] = Base(base=ended.run, nudged=dict(ended.nudged))
        elif ended.failure is not None:
            if side == HEAD:
                self.failures[key] = ended.failure
            else:
                self.base_failures[key] = f"the base could not run this cell: {ended.failure[1]}"

    def times(
        self,
        before: Sequence[Mapping[str, float]] = (),
        on_pair: Callable[[Mapping[str, float]], None] = lambda pair: None,
    ) -> None:
        """Time the cells that are to be timed, if there is anything to compare them with.

        Args:
            before: Pairs that an interrupted check has taken already.
            on_pair: Called with each new pair.

        Raises:
            RunError: If no process can be started.
        """
        settings, plan = self.settings, Plan(margin=self.settings.margin)
        among = [key for key in self.keys if key in self.runs]
        keys = self.head.timed(settings.time, among)
        before_ratios = None
        if self.base is not None:
            keys = self._comparable(keys, self.base.cells, "the base does not have this cell")
            able = self.base.cells.keys() - self.base_failures.keys()
            keys = self._comparable(keys, able, "the base could not run this cell")
            if self.base.frozen != self.head.frozen:
                keys = self._comparable(keys, (), "the base has another reference kernel")
            take = functools.partial(_pair, self.head, self.base, settings.cell_timeout)
            against = "the base"
        elif settings.timing and self.accepted is not None:
            before_ratios = self._stored(self.accepted)
            elsewhere = self._why_not_comparable(self.accepted)
            if elsewhere:
                self._not_timed(keys, "INCONCLUSIVE", "not-timed", f"not timed: {elsewhere}")
                return
            without = "the baseline has no times of it: see `regtopk-bench baseline accept --time`"
            keys = self._comparable(keys, before_ratios, without)
            take = functools.partial(_beside_frozen, self.head, settings.cell_timeout)
            against = "the baseline, relative to the reference kernel"
        else:
            return
        self.diagnosis = self._diagnosis(keys)
        if self.diagnosis is not None and self.diagnosis.unfit:
            told = f"not timed: doctor found that {self.diagnosis}"
            self._not_timed(keys, "INCONCLUSIVE", "machine-unfit", told)
        elif keys:
            timer = Timer(take, plan, settings.time_budget, before_ratios, before, on_pair)
            try:
                outcomes = timer.outcomes(keys)
            except (ConfigurationError, ProcessError) as error:
                reason: Reason = "timed-out" if isinstance(error, HangError) else "crashed"
                self._not_timed(keys, "FAIL", reason, f"could not be timed: {error}")
                return
            for key, outcome in outcomes.items():
                name = self.head.names[key]
                self.timed.append(verdict(key, name, outcome, plan.margin, against))

    def _diagnosis(self, keys: Sequence[str]) -> Diagnosis | None:
        settings, suite = self.settings, self.head
        folder = Path(settings.cache)
        return stored(folder, suite.environment, suite.profile, settings.margin, keys)

    def _not_timed(self, keys: Iterable[str], kind: Kind, reason: Reason, sentence: str) -> None:
        for key in keys:
            self.timed.append(
                Verdict(
                    cell=key,
                    name=self.head.names[key],
                    metric=TIME,
                    verdict=kind,
                    reason=reason,
                    sentence=sentence,
                )
            )

    @property
    def notes(self) -> list[str]:
        """What is to be known of the verdicts as a whole."""
        found = notes(self._against, self._outcomes)
        if self.base is not None:
            found += self._of_sides(self.base)
        if self.diagnosis is not None:
            found.append(f"doctor, {self.diagnosis.created[:10]}: {self.diagnosis}")
        elif any(each.timing for each in self.timed):
            found.append("how often timing is wrong on this machine: run `regtopk-bench doctor`")
        return found

    def _of_sides(self, base: Suite) -> Iterator[str]:
        if self.accepted is None:
            yield (
                f"without a baseline, numbers are compared with those of {base.tree.where}: a "
                "cell that was taken out of the suite is not noticed"
            )
        shared = [file for file in sorted(self.head.files & base.files) if not _is_ours(file)]
        if shared:
            yield f"the same code on both sides, so that no change of it shows: {', '.join(shared)}"

    def _comparable(self, keys: Sequence[str], known: Container[str], why: str) -> list[str]:
        """Return the keys that have something to be compared with; note why others have not."""
        others = [key for key in keys if key not in known]
        self._not_timed(others, "SKIPPED", "not-timed", f"not timed: {why}")
        return [key for key in keys if key in known]

    def _stored(self, accepted: Baseline) -> dict[str, list[float]]:
        cells = accepted.cells.items()
        return {key: each.log_ratios for key, each in cells if len(each.log_ratios) > 1}

    def _why_not_comparable(self, accepted: Baseline) -> str | None:
        """Say why no time here can be compared with those of a baseline, if so."""
        other = differing_in_time(accepted.environment, self.head.environment)
        if other:
            return f"the baseline's times are of another machine ({other})"
        if accepted.frozen != self.head.frozen:
            return "the baseline's times are relative to another reference kernel"
        return None

    def verdicts(self) -> list[Verdict]:
        """Return all verdicts on what was run so far: on metrics, claims and times."""
        outcomes = self._outcomes
        whole = not self.settings.select and all(key in outcomes.names for key in self.keys)
        return [
            *verdicts(self._against, outcomes, whole=whole),
            *claims.verdicts(self.head, self.runs),
            *self.timed,
        ]

    @property
    def _outcomes(self) -> Outcomes:
        run = {*self.runs, *self.failures, *self.head.skipped}
        return Outcomes(
            names={key: self.head.names[key] for key in self.keys if key in run},
            cells=self.head.cells,
            runs=self.runs,
            environment=self.head.environment,
            skipped={key: ("unavailable", why) for key, why in self.head.skipped.items()},
            failures=self.failures,
            alone=self.base_failures,
        )

    @property
    def _against(self) -> Baseline:
        return self.accepted or self._of_base()

    def _of_base(self) -> Baseline:
        """Return what the base gives, as a baseline; cells that only it has are without metrics."""
        assert self.base is not None
        base, now = self.base, datetime.now(UTC).isoformat(timespec="seconds")
        cells = {
            key: baseline_cell(base.names[key], each.base, nudged=each.nudged)
            for key, each in self.base_runs.items()
        }
        for key, cell in base.cells.items():
            if key not in self.head.cells:
                cells[key] = BaselineCell(name=base.names[key], cell=cell, metrics={})
        return Baseline(
            profile=base.profile,
            history=[Acceptance(date=now, reason=f"run from {base.tree.where}")],
            environment=dict(base.environment),
            cells=cells,
            frozen=base.frozen,
        )


def _is_ours(file: str) -> bool:
    return Path(file).is_relative_to(Path(__file__).parents[1])


def _pair(
    head: Suite, base: Suite, timeout: float, keys: Sequence[str], number: int
) -> Mapping[str, float]:
    return pairs.pair(head, base, keys, timeout=timeout, swapped=bool(number % 2))


def _beside_frozen(
    suite: Suite, timeout: float, keys: Sequence[str], number: int
) -> Mapping[str, float]:
    return pairs.against_frozen(suite, keys, timeout=timeout)
