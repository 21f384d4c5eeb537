"""The settings of the gate: which cells a suite has, what decides, and what is reported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from regtopk_bench.settings.declare import Group, setting
from regtopk_bench.settings.kinds import (
    Above,
    AtLeast,
    AtMost,
    File,
    FileOrFolder,
    Folder,
    Name,
    Positive,
    RunFolder,
)
from regtopk_bench.settings.paths import CACHE, UserPath
from regtopk_bench.settings.report import FormatSettings, SavedSettings

Factor = Annotated[float, Above(1), AtMost(100)]
"""By how much something takes longer."""


@dataclass(frozen=True, kw_only=True)
class SelectionSettings(Group, panel="Problem", decides=True):
    """Which cells of the profile are run."""

    select: tuple[Name, ...] = setting(
        (), "Pattern over the names of cells, as in 'linreg/*/seed=0', repeatable; all if none."
    )


@dataclass(frozen=True, kw_only=True)
class CellExecution(Group, panel="Execution", decides=False):
    """How cells are run."""

    cell_timeout: Positive = setting(120.0, "Seconds that a cell may take before it is given up.")


@dataclass(frozen=True, kw_only=True)
class CheckExecution(CellExecution):
    """How cells are run and timed."""

    time_budget: Positive = setting(
        120.0, "Seconds to spend on pairs of timed processes; a pair that has begun is finished."
    )
    dry_run: bool = setting(False, "List the cells with about how long they take, and stop.")
    resume: RunFolder | None = setting(
        None, "Folder of a check to resume, with its original settings."
    )


@dataclass(frozen=True, kw_only=True)
class DiagnosisCache(Group, panel="Execution", decides=False):
    """Where doctor's answer is kept."""

    cache: Folder = setting(CACHE, "Folder where doctor's answer is kept.")


@dataclass(frozen=True, kw_only=True)
class BaselineFile(Group, panel="Gate", decides=True):
    """The file that a suite is compared with."""

    baseline: File = setting(UserPath("baseline.json"), "Baseline file.", short="-b")


@dataclass(frozen=True, kw_only=True)
class TimingSettings(Group, panel="Gate", decides=True):
    """What is timed, and which difference counts."""

    time: tuple[Name, ...] = setting(
        ("*",),
        "Pattern over the names of the cells to time, repeatable; of cells that differ only in "
        "their seed, the first is timed.",
    )
    margin: Factor = setting(
        1.1, "Ratio of times, above 1, from which a slower cell is a regression."
    )


@dataclass(frozen=True, kw_only=True)
class GateSettings(BaselineFile, TimingSettings):
    """What a suite is compared with, and what counts as a failure."""

    against: FileOrFolder | None = setting(
        None, "Another checkout, or a virtual environment, to compare with, in speed too."
    )
    timing: bool = setting(
        False,
        "Without --against: compare times with those in the baseline, relative to a reference "
        "kernel timed in the same processes.",
    )
    allow_new: bool = setting(False, "Let cells and metrics pass that the baseline does not have.")
    allow_missing: bool = setting(False, "Let cells and metrics of the baseline be absent.")
    strict: bool = setting(False, "Exit with 4 if a verdict is inconclusive.")


@dataclass(frozen=True, kw_only=True)
class CheckReport(SavedSettings):
    """Where verdicts are reported."""

    junit: File | None = setting(None, "File for the verdicts in JUnit's XML.")
    summary: bool = setting(
        False, "Append the verdicts, in Markdown, to the file that $GITHUB_STEP_SUMMARY names."
    )


@dataclass(frozen=True, kw_only=True)
class CheckSettings(SelectionSettings, GateSettings, CheckExecution, DiagnosisCache, CheckReport):
    """Cells of a profile, checked against a baseline or another checkout."""


@dataclass(frozen=True, kw_only=True)
class BaselineSettings(SelectionSettings, BaselineFile, CellExecution, FormatSettings):
    """What a baseline is made of."""

    reason: Name | None = setting(None, "Why the baseline is what it is.", short="-m")
    time: tuple[Name, ...] = setting(
        (),
        "Pattern over the names of cells whose times, relative to a reference kernel, are kept "
        "for `check --timing`, repeatable.",
    )
    processes: Annotated[int, AtLeast(2), AtMost(1000)] = setting(
        8, "Processes that time these cells.", short="-p"
    )


@dataclass(frozen=True, kw_only=True)
class DoctorSettings(CellExecution, DiagnosisCache, FormatSettings):
    """How well timing sees on this machine, of what a check of the same profile would time."""

    pairs: Annotated[int, AtLeast(4), AtMost(1000)] = setting(
        16, "Pairs of processes to time; with more, what is found is more certain."
    )
    slowdown: Factor = setting(
        1.2, "Factor by which cells are slowed down, to see whether that is found."
    )
    strict: bool = setting(False, "Exit with 4 if timing should not gate here.")
