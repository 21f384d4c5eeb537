"""The settings of `cost`: a model, workers, and the network between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from regtopk_bench.settings import parsers
from regtopk_bench.settings.declare import Group, setting
from regtopk_bench.settings.execution import Device
from regtopk_bench.settings.kinds import Count, Duration, Kind, NetworkText, RunFolder
from regtopk_bench.settings.paths import UserPath
from regtopk_bench.settings.report import PLOT_FORMATS, FormatSettings, plot_format_of


def _plot_file(raw: Any) -> UserPath:
    """Parse the path of a plot, whose suffix says its format."""
    given = parsers.path(raw)
    if not plot_format_of(given.text):
        suffixes = ", ".join(f".{each}" for each in PLOT_FORMATS)
        raise ValueError(f"{parsers.shown(raw)} does not end in one of {suffixes}")
    return given


@dataclass(frozen=True, kw_only=True)
class CostProblem(Group, panel="Problem", decides=True):
    """What is trained, on how many workers, with which links between them."""

    params: Count | None = setting(None, "Number of parameters, J, as in 1.3e9.")
    workers: Count | None = setting(None, "Number of workers, N.", short="-n")
    network: NetworkText | None = setting(
        None,
        "Network, as in 25gbit:20us: bandwidth and latency of each worker's link. With nodes of 8 "
        "workers, 8x400gbit:5us,25gbit:20us: the links inside, and that of each node. A :tree or "
        ":server behind a latency takes the place of a ring.",
    )
    compute: Duration | None = setting(
        None, "Time of a step's computation, as in 180ms: forward and backward pass, and update."
    )
    dtype: Literal["float32", "float64", "bfloat16", "float16"] = setting(
        "float32",
        "Precision of gradients, in which they travel if they are not sparsified: {choices}.",
    )


@dataclass(frozen=True, kw_only=True)
class CostExecution(Group, panel="Execution", decides=False):
    """How long sparsifiers take."""

    sparsifier_time: Duration | None = setting(
        None, "Time of a sparsifier's step, as in 5ms; measured here if not given."
    )
    device: Device = setting("auto", "Where sparsifiers are measured: {choices}.")


@dataclass(frozen=True, kw_only=True)
class CostReport(FormatSettings):
    """What is told, and drawn."""

    run: RunFolder | None = setting(
        None,
        "Saved result of linreg or cifar whose rounds to the target count, or: latest. Without "
        "--algorithm and --density, those of the result.",
    )
    plot: Annotated[UserPath, Kind(_plot_file, "FILE")] | None = setting(
        None, "File for a plot of seconds a step against bandwidth: .png, .svg or .pdf."
    )
