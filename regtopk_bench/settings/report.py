"""The panel Report: what is printed and kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from regtopk_bench.settings.declare import Group, setting
from regtopk_bench.settings.kinds import Count, Folder, Fraction, Positive
from regtopk_bench.settings.paths import UserPath

Format = Literal["table", "json", "csv", "markdown", "latex"]
PlotFormat = Literal["png", "svg", "pdf"]

FORMATS: tuple[Format, ...] = get_args(Format)
PLOT_FORMATS: tuple[PlotFormat, ...] = get_args(PlotFormat)


@dataclass(frozen=True, kw_only=True)
class FormatSettings(Group, panel="Report", decides=False):
    """How something is printed."""

    format: Format = setting("table", "Output format: {choices}.", short="-f")


@dataclass(frozen=True, kw_only=True)
class OutputSettings(FormatSettings):
    """Where results are kept."""

    output: Folder = setting(
        UserPath("runs"), "Folder in which each run creates its own.", short="-o"
    )


@dataclass(frozen=True, kw_only=True)
class SavedSettings(OutputSettings):
    """Whether results are kept."""

    save: bool = setting(True, "Save the results and, if there is one, the plot.")


@dataclass(frozen=True, kw_only=True)
class ReportSettings(SavedSettings):
    """How results are printed, kept and drawn."""

    plot_format: PlotFormat = setting("png", "Format of the plot: {choices}.")


@dataclass(frozen=True, kw_only=True)
class GapReport(ReportSettings):
    """A report on how close training came to the optimum."""

    target: Positive = setting(1e-6, "Target gap; the first round to reach it is reported.")


@dataclass(frozen=True, kw_only=True)
class AccuracyReport(ReportSettings):
    """A report on how well a network classifies."""

    target: Fraction = setting(
        0.5, "Target test accuracy, in (0, 1]; the first round to reach it is reported."
    )


@dataclass(frozen=True, kw_only=True)
class ToyReport(ReportSettings):
    """A report on the loss at chosen rounds."""

    at: tuple[Count, ...] = setting(
        (), "Round after which to show the loss, repeatable; else 1, 2, 5, 10, … and the last."
    )
