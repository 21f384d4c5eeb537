"""The application that commands are added to, and what several of them share."""

from __future__ import annotations

from typing import Annotated

import typer

from regtopk_bench.cli.once import App
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.settings import FORMATS, parsers

EPILOG = (
    "Every option can also be set in the environment (--learning-rate as "
    "REGTOPK_BENCH_LEARNING_RATE) or in benchmarks.toml; `regtopk-bench config` shows all values. "
    "Exit codes: 0 fine, 2 usage or configuration, 3 the run failed, 130 interrupted."
)

app = App(
    name="regtopk-bench",
    help="What does sparsifying my gradients cost me, and which sparsifier should I use?",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

SAVED = "Folder of a run, its result.json, or: latest"
"""How help names a saved result."""

Format = Annotated[
    str, typer.Option("--format", "-f", metavar="NAME", help=", ".join(FORMATS) + ".")
]


def choice(flag: str, value: str, known: tuple[str, ...]) -> str:
    """Return a value that is one of those known.

    Raises:
        ConfigurationError: If it is not, naming the flag.
    """
    try:
        return str(parsers.choice(known)(value))
    except ValueError as error:
        raise ConfigurationError(f"{flag}: {error}") from error
