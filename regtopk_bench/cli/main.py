"""The command line. Nothing here imports PyTorch before a command runs."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from regtopk_bench.cli.invocation import (
    Config,
    Debug,
    Invocation,
    Profile,
    command_options,
    reported_errors,
)
from regtopk_bench.cli.once import App
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.settings import (
    COMMANDS,
    FORMATS,
    PLOT_FORMATS,
    PLOT_WIDTHS,
    ReportSettings,
    declarations,
    load,
    parsers,
    resolve,
)

_EPILOG = (
    "Every option can also be set in the environment (--learning-rate as "
    "REGTOPK_BENCH_LEARNING_RATE) or in benchmarks.toml; `regtopk-bench config` shows all values. "
    "Exit codes: 0 fine, 2 usage or configuration, 3 the run failed, 130 interrupted."
)
_GATE_EPILOG = (
    "Exit codes: 0 pass, 1 a regression, 2 usage or configuration, 3 a cell or the gate itself "
    "failed, 4 inconclusive (with --strict), 130 interrupted."
)
_COMPARE_EPILOG = "Exit codes: 0 pass, 1 a regression, 2 usage or configuration, 130 interrupted."
_BASELINE_EPILOG = "Exit codes: 0 fine, 2 usage or configuration, 3 a cell failed, 130 interrupted."
_DOCTOR_EPILOG = (
    "Exit codes: 0 fine, 2 usage or configuration, 3 a cell failed, 4 timing should not gate here "
    "(with --strict), 130 interrupted."
)

app = App(
    name="regtopk-bench",
    help="What does sparsifying my gradients cost me, and which sparsifier should I use?",
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
config_app = App(invoke_without_command=True)
baseline_app = App(no_args_is_help=True, epilog=_BASELINE_EPILOG)

_RUN = "Folder of a run, its result.json, or: latest"

Format = Annotated[
    str, typer.Option("--format", "-f", metavar="NAME", help=", ".join(FORMATS) + ".")
]

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


app.command("linreg", epilog=_EPILOG)(_linreg)
app.command("cifar", epilog=_EPILOG)(_cifar)
app.command("toy", epilog=_EPILOG)(_toy)
app.command("kernels", epilog=_EPILOG)(_kernels)


@command_options("check", default_profile="ci")
def _check(invocation: Invocation) -> None:
    """Check the cells of a profile against a baseline, or against another checkout.

    Numbers that depend on nothing but a cell must be equal on the machine that made the
    baseline, and within a measured tolerance elsewhere. With --against, both sides are run, and
    timed in pairs of fresh processes until every verdict is clear. Without a profile: ci.
    """
    invocation.starting()
    from regtopk_bench.cli.check import run_check

    run_check(invocation)


app.command("check", epilog=_GATE_EPILOG)(_check)


@command_options("baseline", default_profile="ci")
def _create(invocation: Invocation) -> None:
    """Run the cells of a profile and write a new baseline file."""
    invocation.starting()
    from regtopk_bench.cli.baseline import create_baseline

    create_baseline(invocation)


@command_options("baseline", default_profile="ci")
def _accept(invocation: Invocation) -> None:
    """Run the cells of a profile, print what has changed, and make it the baseline.

    With --select, the other cells of the baseline stay as they are.
    """
    invocation.starting()
    from regtopk_bench.cli.baseline import accept_baseline

    accept_baseline(invocation)


baseline_app.command("create", epilog=_BASELINE_EPILOG)(_create)
baseline_app.command("accept", epilog=_BASELINE_EPILOG)(_accept)


@baseline_app.command("show", epilog=_BASELINE_EPILOG)
def _show_baseline(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Baseline file.")] = Path(
        "baseline.json"
    ),
    output_format: Format = "table",
    debug: Debug = False,
) -> None:
    """Show a baseline: when and why it changed, and its numbers with their tolerances."""
    with reported_errors(debug):
        from regtopk_bench.cli.baseline import show_baseline

        show_baseline(file, _choice("--format", output_format, FORMATS))


app.add_typer(baseline_app, name="baseline", help="Make, change or show what checks compare with.")


@command_options("doctor", default_profile="ci")
def _doctor(invocation: Invocation) -> None:
    """Find out how well timing can gate on this machine.

    The cells that a check would time are timed in pairs of processes, with the same code on both
    sides and with one side slowed down: how often would a check be wrong, and what would it find?
    The answer is kept for a week; checks heed it.
    """
    invocation.starting()
    from regtopk_bench.cli.doctor import run_doctor

    run_doctor(invocation)


app.command("doctor", epilog=_DOCTOR_EPILOG)(_doctor)


@app.command("compare", epilog=_COMPARE_EPILOG)
def _compare(
    before: Annotated[
        Path,
        typer.Argument(metavar="A", help="A run, its result.json, a baseline, or: latest."),
    ],
    after: Annotated[Path, typer.Argument(metavar="B", help=f"{_RUN}.")],
    output_format: Format = "table",
    allow_new: Annotated[
        bool, typer.Option("--allow-new", help="Let cells and metrics pass that A does not have.")
    ] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Let cells and metrics of A be absent.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Compare two saved results without running anything: B against A.

    The verdicts decide about the exit code; below them is what changed, with intervals over the
    seeds. To see the values without verdicts: `regtopk-bench show A B`.
    """
    with reported_errors(debug):
        output_format = _choice("--format", output_format, FORMATS)
        from regtopk_bench.cli.compare import compare_results

        compare_results(
            before,
            after,
            output_format,
            allow_new=allow_new,
            allow_missing=allow_missing,
        )


@command_options("runs")
def _runs(invocation: Invocation) -> None:
    """List saved runs, newest first: what they are, how they ended, and what they take.

    `regtopk-bench show latest` shows the newest.
    """
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


app.command("runs", epilog=_EPILOG)(_runs)
app.command("cache", epilog=_EPILOG)(_cache)


@app.command("show")
def _show(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help=f"{_RUN}.")],
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
        output_format = _choice("--format", output_format, FORMATS)
        plotting = {
            "--output": output,
            "--plot-format": plot_format,
            "--plot": draw,
            "--plot-width": plot_width,
            "--plot-title": plot_title,
        }
        if plot_format is not None:
            plot_format = _choice("--plot-format", plot_format, PLOT_FORMATS)
        plot_width = _choice("--plot-width", plot_width or "double", PLOT_WIDTHS)
        from regtopk_bench.cli.show import Drawing, show_result, show_two

        if other is not None:
            given = [flag for flag, value in plotting.items() if value is not None]
            show_two(result, other, output_format, given)
            return
        drawing = Drawing(
            output=output,
            format=plot_format,
            width=plot_width,
            titles=plot_title is not False,
        )
        path = show_result(result, output_format, None if draw is False else drawing)
        if path:
            typer.echo(f"drew {path}", err=True)


def _choice(flag: str, value: str, known: tuple[str, ...]) -> str:
    try:
        return str(parsers.choice(known)(value))
    except ValueError as error:
        raise ConfigurationError(f"{flag}: {error}") from error


@config_app.callback(epilog=_EPILOG)
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
        output_format = _choice("--format", output_format, FORMATS)
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
