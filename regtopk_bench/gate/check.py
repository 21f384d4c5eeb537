"""A check: the cells of a suite run, timed and judged, without printing."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.gate import claims, pairs
from regtopk_bench.gate.bench import Bench, Ended
from regtopk_bench.gate.suite import Suite
from regtopk_bench.gate.timing import TIME, Timer, verdict
from regtopk_bench.results import Run
from regtopk_bench.results.baseline import Acceptance, Baseline, baseline_cell, differing
from regtopk_bench.results.diagnosis import Diagnosis, stored
from regtopk_bench.results.equivalence import Plan
from regtopk_bench.results.judging import Outcomes, notes, verdicts
from regtopk_bench.results.verdict import Reason, Verdict
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
    base_runs: dict[str, Run] = field(default_factory=dict)
    diagnosis: Diagnosis | None = field(default=None, init=False)
    """How well timing sees on this machine, if doctor has found out."""
    failures: dict[str, tuple[Reason, str]] = field(default_factory=dict, init=False)
    timed: list[Verdict] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        """Refuse to compare code with itself."""
        if self.base is not None and self.base.files == self.head.files:
            raise ConfigurationError(
                f"--against {self.base.tree.folder}: nothing in this suite comes from there, so "
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
            for bench in sides.values():
                bench.begin(key)
            for side, bench in sides.items():
                ended = bench.end()
                self._take(side, key, ended)
                yield side, key, ended

    def _wanted_of_base(self, key: str) -> bool:
        assert self.base is not None
        known = key in self.base.cells and key not in self.base.skipped
        return known and self.accepted is None and key not in self.base_runs

    def _take(self, side: str, key: str, ended: Ended) -> None:
        if ended.run is not None:
            (self.runs if side == HEAD else self.base_runs)[key] = ended.run
        elif side == HEAD and ended.failure is not None:
            self.failures[key] = ended.failure

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
            RunError: If a process died or hangs meanwhile.
        """
        settings, plan = self.settings, Plan(margin=self.settings.margin)
        among = [key for key in self.keys if key in self.runs]
        keys = self.head.timed(settings.time, among)
        before_ratios = None
        if self.base is not None:
            keys = self._comparable(keys, self.base.cells, "the base does not have this cell")
            if self.base.frozen != self.head.frozen:
                keys = self._comparable(keys, {}, "the base has another reference kernel")
            take = functools.partial(_pair, self.head, self.base, settings.cell_timeout)
            against = "the base"
        elif settings.timing and self.accepted is not None:
            before_ratios = self._stored(self.accepted)
            keys = self._comparable(keys, before_ratios, self._why_not_stored(self.accepted))
            take = functools.partial(_beside_frozen, self.head, settings.cell_timeout)
            against = "the baseline, relative to the reference kernel"
        else:
            return
        self.diagnosis = self._diagnosis(keys)
        if self.diagnosis is not None and self.diagnosis.unfit:
            self._cannot_time(keys, self.diagnosis)
        elif keys:
            timer = Timer(take, plan, settings.time_budget, before_ratios, before, on_pair)
            for key, outcome in timer.outcomes(keys).items():
                name = self.head.names[key]
                self.timed.append(verdict(key, name, outcome, plan.margin, against))

    def _diagnosis(self, keys: Sequence[str]) -> Diagnosis | None:
        settings, suite = self.settings, self.head
        folder = Path(settings.cache)
        return stored(folder, suite.environment, suite.profile, settings.margin, keys)

    def _cannot_time(self, keys: Sequence[str], diagnosis: Diagnosis) -> None:
        for key in keys:
            self.timed.append(
                Verdict(
                    cell=key,
                    name=self.head.names[key],
                    metric=TIME,
                    verdict="INCONCLUSIVE",
                    reason="machine-unfit",
                    sentence=f"not timed: doctor found that {diagnosis}",
                )
            )

    @property
    def notes(self) -> list[str]:
        """What is to be known of the verdicts as a whole."""
        found = notes(self._against, self._outcomes)
        if self.diagnosis is not None:
            found.append(f"doctor, {self.diagnosis.created[:10]}: {self.diagnosis}")
        elif any(each.timing for each in self.timed):
            found.append("how often timing is wrong on this machine: run `regtopk-bench doctor`")
        return found

    def _comparable(self, keys: Sequence[str], known: Mapping[str, object], why: str) -> list[str]:
        """Return the keys that have something to be compared with; note why others have not."""
        for key in keys:
            if key not in known:
                self.timed.append(
                    Verdict(
                        cell=key,
                        name=self.head.names[key],
                        metric=TIME,
                        verdict="SKIPPED",
                        reason="not-timed",
                        sentence=f"not timed: {why}",
                    )
                )
        return [key for key in keys if key in known]

    def _stored(self, accepted: Baseline) -> dict[str, list[float]]:
        if self._other_machine(accepted) or accepted.frozen != self.head.frozen:
            return {}
        cells = accepted.cells.items()
        return {key: each.log_ratios for key, each in cells if len(each.log_ratios) > 1}

    def _why_not_stored(self, accepted: Baseline) -> str:
        other = self._other_machine(accepted)
        if other:
            return f"the baseline's times are of another machine ({other})"
        if accepted.frozen != self.head.frozen:
            return "the baseline's times are relative to another reference kernel"
        return "the baseline has no times of it: see `regtopk-bench baseline accept --time`"

    def _other_machine(self, accepted: Baseline) -> str | None:
        was, now = (each.get("cpu_count") for each in (accepted.environment, self.head.environment))
        cores = None if was == now else f"it had {was} processors and has {now}"
        return differing(accepted.environment, self.head.environment) or cores

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
        )

    @property
    def _against(self) -> Baseline:
        return self.accepted or self._of_base()

    def _of_base(self) -> Baseline:
        """Return what the base gives, as a baseline."""
        assert self.base is not None
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return Baseline(
            profile=self.base.profile,
            history=[Acceptance(date=now, reason=f"run from {self.base.tree.folder}")],
            environment=dict(self.base.environment),
            cells={
                key: baseline_cell(self.base.names[key], run) for key, run in self.base_runs.items()
            },
            frozen=self.base.frozen,
        )


def _pair(
    head: Suite, base: Suite, timeout: float, keys: Sequence[str], number: int
) -> Mapping[str, float]:
    return pairs.pair(head, base, keys, timeout=timeout, swapped=bool(number % 2))


def _beside_frozen(
    suite: Suite, timeout: float, keys: Sequence[str], number: int
) -> Mapping[str, float]:
    return pairs.against_frozen(suite, keys, timeout=timeout)
