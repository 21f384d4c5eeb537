"""The settings of every command: the groups that it combines, and the defaults that suit it."""

from __future__ import annotations

from dataclasses import dataclass

from regtopk_bench.algorithms import parse_spec
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.settings.cost import CostExecution, CostProblem, CostReport
from regtopk_bench.settings.declare import Group, declarations, other_default
from regtopk_bench.settings.execution import (
    CacheFolder,
    ExecutionSettings,
    ImageExecution,
    KernelsExecution,
)
from regtopk_bench.settings.gate import BaselineSettings, CheckSettings, DoctorSettings
from regtopk_bench.settings.kinds import Algorithms, Count, Density, Positive, Whole
from regtopk_bench.settings.problem import (
    ImageProblemSettings,
    KernelsProblemSettings,
    LinregProblemSettings,
    ProblemSettings,
)
from regtopk_bench.settings.report import (
    AccuracyReport,
    ComparisonReport,
    FormatSettings,
    GapReport,
    OutputSettings,
    ReportSettings,
    ToyReport,
)
from regtopk_bench.settings.sparsification import ScopedSparsification, SparsificationSettings
from regtopk_bench.settings.training import ImageTraining, SeededTraining, TrainingSettings


@dataclass(frozen=True, kw_only=True)
class ComparisonSettings(
    ProblemSettings, SeededTraining, SparsificationSettings, ExecutionSettings, ComparisonReport
):
    """Several algorithms on one problem."""

    def __post_init__(self) -> None:
        """Check constraints across settings."""
        super().__post_init__()
        if isinstance(self.processes, int) and self.processes > self.workers:
            raise ConfigurationError(
                f"processes {self.processes} exceeds workers {self.workers}: lower --processes"
            )
        if self.network:
            self.network.check(self.workers)


@dataclass(frozen=True, kw_only=True)
class LinregSettings(LinregProblemSettings, GapReport, ComparisonSettings):
    """Distributed linear regression, by default in the paper's setting."""

    def __post_init__(self) -> None:
        """Check constraints across settings."""
        super().__post_init__()
        for k in self.k:
            if k > self.dim:
                raise ConfigurationError(f"k {k} exceeds dim {self.dim}: lower --k or raise --dim")


@dataclass(frozen=True, kw_only=True)
class CifarSettings(
    ImageProblemSettings,
    ImageTraining,
    ScopedSparsification,
    ImageExecution,
    AccuracyReport,
    ComparisonSettings,
):
    """A network that classifies images, trained by workers that each have their own."""

    workers: Count = other_default(ProblemSettings, "workers", 8)
    rounds: Whole = other_default(TrainingSettings, "rounds", 500)
    learning_rate: Positive = other_default(TrainingSettings, "learning_rate", 0.05)
    algorithm: Algorithms = other_default(
        SparsificationSettings,
        "algorithm",
        tuple(map(parse_spec, ("dense", "topk", "regtopk:mu=5"))),
    )
    density: tuple[Density, ...] = other_default(SparsificationSettings, "density", (0.001,))
    checkpoint_every: Count = other_default(ExecutionSettings, "checkpoint_every", 50)


@dataclass(frozen=True, kw_only=True)
class ToySettings(TrainingSettings, ToyReport):
    """The motivational example: two workers whose gradients cancel."""

    rounds: Count = other_default(TrainingSettings, "rounds", 150)
    learning_rate: Positive = other_default(TrainingSettings, "learning_rate", 0.9)
    save: bool = other_default(ReportSettings, "save", False)

    def __post_init__(self) -> None:
        """Check constraints across settings."""
        super().__post_init__()
        for at in self.at:
            if at > self.rounds:
                raise ConfigurationError(f"at {at} exceeds rounds {self.rounds}: raise --rounds")


@dataclass(frozen=True, kw_only=True)
class KernelsSettings(KernelsProblemSettings, KernelsExecution, ReportSettings):
    """Kernels timed against each other and against the memory limit."""


@dataclass(frozen=True, kw_only=True)
class CostSettings(CostProblem, SparsificationSettings, CostExecution, CostReport):
    """What a step costs on a network, with and without sparsifying."""

    algorithm: Algorithms = other_default(
        SparsificationSettings, "algorithm", tuple(map(parse_spec, ("topk", "regtopk", "randomk")))
    )
    density: tuple[Density, ...] = other_default(SparsificationSettings, "density", (0.01, 0.001))


@dataclass(frozen=True, kw_only=True)
class RunsSettings(OutputSettings):
    """Which saved runs are listed."""


@dataclass(frozen=True, kw_only=True)
class CacheSettings(CacheFolder, FormatSettings):
    """Which cache is shown or cleared."""


WORKLOADS: dict[str, type[ReportSettings]] = {
    "linreg": LinregSettings,
    "cifar": CifarSettings,
    "toy": ToySettings,
    "kernels": KernelsSettings,
}
"""The commands that measure something: a suite may have cells of each."""

COMMANDS: dict[str, type[FormatSettings]] = {
    **WORKLOADS,
    "cost": CostSettings,
    "check": CheckSettings,
    "baseline": BaselineSettings,
    "doctor": DoctorSettings,
    "runs": RunsSettings,
    "cache": CacheSettings,
}
"""Every command with settings."""


def decides(settings: type[Group]) -> frozenset[str]:
    """Return the names of the settings of a command that affect the numbers.

    Cells differ in these; the others may change when a run is resumed.
    """
    return frozenset(name for name, each in declarations(settings).items() if each.decides)
