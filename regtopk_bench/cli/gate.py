"""The commands of the gate: check, baseline, doctor and compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regtopk_bench.cli.app import SAVED, Format, choice
from regtopk_bench.cli.invocation import (
    STARTING,
    Debug,
    Invocation,
    command_options,
    reported_errors,
)
from regtopk_bench.cli.once import App
from regtopk_bench.cli.streams import say
from regtopk_bench.settings import FORMATS

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


baseline_app = App(no_args_is_help=True, epilog=_BASELINE_EPILOG)


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

        show_baseline(file, choice("--format", output_format, FORMATS))


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


def _compare(
    before: Annotated[
        Path,
        typer.Argument(metavar="A", help="A run, its result.json, a baseline, or: latest."),
    ],
    after: Annotated[Path, typer.Argument(metavar="B", help=f"{SAVED}.")],
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
        output_format = choice("--format", output_format, FORMATS)
        say(STARTING)
        from regtopk_bench.cli.compare import compare_results

        compare_results(
            before,
            after,
            output_format,
            allow_new=allow_new,
            allow_missing=allow_missing,
        )


def add_to(app: typer.Typer) -> None:
    """Add the commands to an application, in the order in which help lists them."""
    app.command("check", epilog=_GATE_EPILOG)(_check)
    app.add_typer(
        baseline_app, name="baseline", help="Make, change or show what checks compare with."
    )
    app.command("doctor", epilog=_DOCTOR_EPILOG)(_doctor)
    app.command("compare", epilog=_COMPARE_EPILOG)(_compare)
