"""The panel Report: what is printed and kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, Any, Literal, get_args

from regtopk_bench.settings import parsers
from regtopk_bench.settings.declare import Group, setting
from regtopk_bench.settings.kinds import Count, Fraction, Kind, NetworkText, Positive
from regtopk_bench.settings.paths import UserPath

Format = Literal["table", "json", "csv", "markdown", "latex"]
PlotFormat = Literal["png", "svg", "pdf"]
PlotWidth = Literal["single", "double"]

FORMATS: tuple[Format, ...] = get_args(Format)
PLOT_FORMATS: tuple[PlotFormat, ...] = get_args(PlotFormat)
PLOT_WIDTHS: tuple[PlotWidth, ...] = get_args(PlotWidth)


def plot_format_of(path: str) -> str | None:
    """Return the format of the plot that a path names; None if it names a folder."""
    suffix = PurePath(path).suffix.lower().removeprefix(".")
    return suffix if suffix in PLOT_FORMATS else None


def _folder_of_runs(raw: Any) -> UserPath:
    """Parse the path of a folder; what ends as a plot does was meant to be a file."""
    given = parsers.path(raw)
    if plot_format_of(given.text):
        raise ValueError(
            f"{parsers.shown(raw)} names a file, but each run creates a folder in the one named "
            f"here; for a file, `regtopk-bench show RUN --output {parsers.bare(raw)}`"
        )
    return given


@dataclass(frozen=True, kw_only=True)
class FormatSettings(Group, panel="Report", decides=False):
    """How something is printed."""

    format: Format = setting("table", "Output format: {choices}.", short="-f")


@dataclass(frozen=True, kw_only=True)
class OutputSettings(FormatSettings):
    """Where results are kept."""

    output: Annotated[UserPath, Kind(_folder_of_runs, "DIR")] = setting(
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
    plot_width: PlotWidth = setting(
        "double", "Width of the plot, in columns of a paper, 3.5 or 7.16 inches: {choices}."
    )
    plot_title: bool = setting(
        True, "Titles above the panels; without, only what several panels are told apart by."
    )


@dataclass(frozen=True, kw_only=True)
class ComparisonReport(ReportSettings):
    """A report on several algorithms, and on what they would take on a network."""

    network: NetworkText | None = setting(
        None,
        "Network to project the time to the target for, as in 10gbit:50us: bandwidth and latency "
        "of each worker's link.",
    )


@dataclass(frozen=True, kw_only=True)
class GapReport(ComparisonReport):
    """A report on how close training came to the optimum."""

    target: Positive = setting(1e-6, "Target gap; the first round to reach it is reported.")


@dataclass(frozen=True, kw_only=True)
class AccuracyReport(ComparisonReport):
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
