"""The command line. Nothing here imports PyTorch before a command runs."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from regtopk_bench.cli import gate
from regtopk_bench.cli.app import EPILOG, SAVED, Format, app, choice
from regtopk_bench.cli.invocation import (
    STARTING,
    Config,
    Debug,
    Invocation,
    Profile,
    command_options,
    reported_errors,
)
from regtopk_bench.cli.once import App
from regtopk_bench.cli.streams import say
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.report.table import printable
from regtopk_bench.settings import (
    COMMANDS,
    FORMATS,
    PLOT_FORMATS,
    PLOT_WIDTHS,
    ReportSettings,
    declarations,
    load,
    resolve,
)

__all__ = ["app"]

config_app = App(invoke_without_command=True)

_PLOT = declarations(ReportSettings)

PlotOutput = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR|FILE",
        help="Folder for the plot, if not RESULT; or the plot's file, "
        f"whose name ends in {', '.join(f'.{each}' for each in PLOT_FORMATS)}.",
    ),
]
PlotFormat = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help=f"Format of a plot in a folder: {', '.join(PLOT_FORMATS)}; png if not given.",
    ),
]
PlotWidth = Annotated[str | None, typer.Option(metavar="NAME", help=_PLOT["plot_width"].help)]
PlotTitle = Annotated[
    bool | None, typer.Option("--plot-title/--no-plot-title", help=_PLOT["plot_title"].help)
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"regtopk-bench {version('regtopk-bench')}")
        raise typer.Exit


@app.callback()
def _main(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


@command_options("linreg")
def _linreg(invocation: Invocation) -> None:
    """Train a distributed linear regression and compare how sparsifiers converge.

    Without options: the paper's setting, with dense, Top-k, RegTop-k, Random-k and the oracle.
    """
    invocation.starting()
    from regtopk_bench.cli.linreg import run_linreg

    run_linreg(invocation)


@command_options("cifar")
def _cifar(invocation: Invocation) -> None:
    """Train a network on images with simulated workers, and compare what sparsifiers cost.

    Without options: a small network on CIFAR-10, with dense, Top-k and RegTop-k.
    """
    invocation.starting()
    from regtopk_bench.cli.cifar import run_cifar

    run_cifar(invocation)


@command_options("toy")
def _toy(invocation: Invocation) -> None:
    """Show the paper's motivational example: two workers whose gradients cancel."""
    invocation.starting()
    from regtopk_bench.cli.toy import run_toy

    run_toy(invocation)


@command_options("kernels")
def _kernels(invocation: Invocation) -> None:
    """Time the compression step and its parts against the memory limit and other kernels."""
    invocation.starting()
    # OpenMP's threads would spin on a core for milliseconds after each call, whatever runs next.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from regtopk_bench.cli.kernels import run_kernels

    run_kernels(invocation)


@command_options("cost")
def _cost(invocation: Invocation) -> None:
    """Say what a training step costs on a network, and whether sparsifying pays there.

    Counts what each sparsifier sends, times its step on this machine, and computes how long
    messages travel. Nothing is trained.
    """
    invocation.starting()
    from regtopk_bench.cli.cost import run_cost

    run_cost(invocation)


app.command("linreg", epilog=EPILOG)(_linreg)
app.command("cifar", epilog=EPILOG)(_cifar)
app.command("toy", epilog=EPILOG)(_toy)
app.command("kernels", epilog=EPILOG)(_kernels)
app.command("cost", epilog=EPILOG)(_cost)


gate.add_to(app)


@command_options("runs")
def _runs(invocation: Invocation) -> None:
    """List saved runs, newest first: what they are, how they ended, and what they take.

    `regtopk-bench show latest` shows the newest.
    """
    invocation.starting()
    from regtopk_bench.cli.runs import list_runs

    list_runs(invocation)


@command_options(
    "cache",
    switches={"clear": Annotated[bool, typer.Option("--clear", help="Remove all images first.")]},
)
def _cache(invocation: Invocation, *, clear: bool) -> None:
    """Show where fetched, unpacked and decoded images are kept, and what they take.

    With --clear, they are removed; nothing else in that folder is.
    """
    from regtopk_bench.cli.cache import show_cache

    show_cache(invocation, clear=clear)


app.command("runs", epilog=EPILOG)(_runs)
app.command("cache", epilog=EPILOG)(_cache)


@app.command("show")
def _show(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help=f"{SAVED}.")],
    other: Annotated[
        Path | None,
        typer.Argument(metavar="OTHER", help="Another, to be printed side by side with it."),
    ] = None,
    output_format: Format = "table",
    draw: Annotated[
        bool | None,
        typer.Option("--plot/--no-plot", help="Redraw the plot, as by default, or not."),
    ] = None,
    output: PlotOutput = None,
    plot_format: PlotFormat = None,
    plot_width: PlotWidth = None,
    plot_title: PlotTitle = None,
    debug: Debug = False,
) -> None:
    """Print a saved result again, in any format, and redraw its plot.

    With another one, print the values of both and their differences, cell by cell.
    """
    with reported_errors(debug):
        output_format = choice("--format", output_format, FORMATS)
        plotting = {
            "--output": output,
            "--plot-format": plot_format,
            "--plot": draw or None,
            "--plot-width": plot_width,
            "--no-plot-title" if plot_title is False else "--plot-title": plot_title,
        }
        given = [flag for flag, value in plotting.items() if value is not None]
        if plot_format is not None:
            plot_format = choice("--plot-format", plot_format, PLOT_FORMATS)
        plot_width = choice("--plot-width", plot_width or "double", PLOT_WIDTHS)
        say(STARTING)
        from regtopk_bench.cli.show import Drawing, show_result, show_two

        if other is not None:
            show_two(result, other, output_format, given)
            return
        if draw is False and given:
            raise ConfigurationError(f"{given[0]} with --no-plot: give one of them")
        drawing = Drawing(
            output=output,
            format=plot_format,
            width=plot_width,
            titles=plot_title is not False,
            flags=given,
        )
        path = show_result(result, output_format, None if draw is False else drawing)
        if path:
            typer.echo(f"drew {printable(str(path))}", err=True)


@config_app.callback(epilog=EPILOG)
def _config(
    context: typer.Context,
    profile: Profile = None,
    config: Config = None,
    output_format: Format = "table",
    debug: Debug = False,
) -> None:
    """Show every setting, its value and where it came from.

    Precedence: flag, environment variable, profile, defaults in benchmarks.toml, built-in.
    With a command and its flags, show the settings of that call.
    """
    if context.invoked_subcommand:
        return
    with reported_errors(debug):
        output_format = choice("--format", output_format, FORMATS)
        from regtopk_bench.cli.config import print_config

        file = load(config)
        settled = {name: resolve(name, {}, os.environ, file, profile) for name in COMMANDS}
        print_config(settled, output_format)


def _config_of(command: str) -> None:
    @command_options(command)
    def show(invocation: Invocation) -> None:
        from regtopk_bench.cli.config import print_config

        resolved = invocation.resolved
        print_config({command: resolved}, resolved.settings.format)

    show.__doc__ = f"Show the settings that `regtopk-bench {command}` would run with."
    config_app.command(command)(show)


for _command in COMMANDS:
    _config_of(_command)
app.add_typer(config_app, name="config")
