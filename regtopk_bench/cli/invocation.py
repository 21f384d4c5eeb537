"""From a settings dataclass to a command: its options, its sources, its errors.

A command is a function of one `Invocation`. `command_options` gives it the options that its
settings declare, resolves them, and turns every error into one line and an exit code.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from regtopk_bench.cli.signals import recognised
from regtopk_bench.cli.streams import UnwritableOutputError, say
from regtopk_bench.errors import RegtopkBenchError, RestartWarning, RunError
from regtopk_bench.report.table import printable
from regtopk_bench.settings import (
    COMMANDS,
    Declaration,
    Resolved,
    SettingsFile,
    as_text,
    declarations,
    flag_name,
    load,
    resolve,
)
from regtopk_bench.settings.file import FILE_NAME

_GENERAL = "General"
_PIPED_WIDTH = 100

STARTING = "starting..."
"""What is said before whatever is slow: imports, or results of many rounds that are read."""

Profile = Annotated[
    str | None,
    typer.Option(
        help="Profile in the settings file.",
        metavar="NAME",
        envvar="REGTOPK_BENCH_PROFILE",
        show_envvar=False,
        rich_help_panel=_GENERAL,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        help="Settings file; benchmarks.toml in this folder if there is one.",
        metavar="FILE",
        envvar="REGTOPK_BENCH_CONFIG",
        show_envvar=False,
        rich_help_panel=_GENERAL,
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress and no notes.", rich_help_panel=_GENERAL)
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="A line per run.", rich_help_panel=_GENERAL)
]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=_GENERAL)]


@dataclass(frozen=True)
class Invocation:
    """One call of a command."""

    resolved: Resolved[Any]
    out: Console
    """stdout: data."""
    err: Console
    """stderr: progress, notes and warnings; only errors with --quiet."""
    quiet: bool
    verbose: bool
    file: SettingsFile
    """The settings file, with all profiles."""
    profile: str | None
    """The chosen profile."""

    def starting(self, word: str = STARTING) -> None:
        """Say on a terminal that the program is at work, until there is something else to say."""
        if not self.quiet:
            say(word)

    @property
    def config(self) -> str | None:
        """The settings file, where it has to be named to be found."""
        path = self.file.path
        return None if path is None or str(path) == FILE_NAME else str(path)

    def note(self, message: str) -> None:
        """Tell the user something other than data."""
        if not self.quiet:
            self.err.print(escape(printable(message)), highlight=False, soft_wrap=True)

    def warn(self, message: str) -> None:
        """Tell the user what went wrong, even with --quiet."""
        self.err.print(f"[bold red]error:[/bold red] {escape(printable(message))}", soft_wrap=True)


def console(*, stderr: bool = False) -> Console:
    """Return a console for stdout or stderr."""
    stream = sys.stderr if stderr else sys.stdout
    piped = not stream.isatty() and "COLUMNS" not in os.environ
    return Console(stderr=stderr, width=_PIPED_WIDTH if piped else None)


def command_options(
    command: str, *, default_profile: str | None = None, switches: Mapping[str, Any] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options of a command's settings to a function of an `Invocation`.

    Args:
        command: Which one.
        default_profile: The profile if none is chosen.
        switches: Further options by name, annotated, that are no settings: they are passed to the
            function, and False unless given.
    """
    further = switches or {}

    def decorate(run: Callable[..., None]) -> Callable[..., None]:
        def call(
            profile: str | None,
            config: Path | None,
            quiet: bool,
            verbose: bool,
            debug: bool,
            **flags: Any,
        ) -> None:
            switched = {name: flags.pop(name) for name in further}
            with reported_errors(debug):
                kept = None if flags.get("resume") else default_profile  # it has its own
                file, chosen = load(config), profile or kept
                resolved = resolve(command, flags, os.environ, file, chosen)
                out, err = console(), console(stderr=True)
                invocation = Invocation(resolved, out, err, quiet, verbose, file, chosen)
                with _warnings_noted(invocation):
                    run(invocation, **switched)

        declared = declarations(COMMANDS[command])
        annotations = {name: _annotation(setting) for name, setting in declared.items()}
        annotations |= {**further, "profile": Profile, "config": Config}
        annotations |= {"quiet": Quiet, "verbose": Verbose, "debug": Debug}
        off = (Quiet, Verbose, Debug, *further.values())
        parameters = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=annotation,
                default=False if annotation in off else None,
            )
            for name, annotation in annotations.items()
        ]
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = annotations
        call.__doc__ = _in_paragraphs(run.__doc__ or "")
        call.__name__ = run.__name__
        return call

    return decorate


@contextlib.contextmanager
def _warnings_noted(invocation: Invocation) -> Iterator[None]:
    """Show warnings as notes, in one line each and without the place in the code."""

    def show(message: Warning | str, *_where: object) -> None:
        invocation.note(f"warning: {' '.join(str(message).split())}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", RestartWarning)  # cells may be lost in the same way
        warnings.showwarning = show  # type: ignore[assignment]
        yield


def _in_paragraphs(text: str) -> str:
    """Return a docstring whose lines end only with its paragraphs, for a terminal of any width."""
    return "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(text).split("\n\n"))


def _annotation(setting: Declaration) -> Any:
    flag = flag_name(setting.name)
    text = setting.help
    if setting.default not in (None, ()):
        text += " " + escape(f"[default: {as_text(setting.default)}]")
    shared: Mapping[str, Any] = {"help": text, "rich_help_panel": setting.panel}
    if setting.kind.metavar is None:
        return Annotated[bool | None, typer.Option(f"{flag}/--no-{flag[2:]}", **shared)]
    names = [flag, *([setting.short] if setting.short else [])]
    option = typer.Option(*names, **shared, metavar=setting.kind.metavar)
    return Annotated[list[str] | None if setting.kind.repeatable else str | None, option]


@contextlib.contextmanager
def reported_errors(debug: bool = False) -> Iterator[None]:
    """Turn every error into one line on stderr and its documented exit code.

    Not so an interruption, which may come before and after this as well.
    """
    try:
        with recognised():
            yield
    except UnwritableOutputError as error:
        if error.reader_left:  # it has read what it wanted, as `head` does
            raise typer.Exit(0) from None
        _report(error, debug)
        raise typer.Exit(error.exit_code) from None
    except RegtopkBenchError as error:
        _report(error, debug)
        raise typer.Exit(error.exit_code) from None
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except Exception as error:  # never exit code 1, which means a regression
        if is_out_of_memory(error):
            _report(RunError(f"no memory left ({error})"), debug)
            raise typer.Exit(RunError.exit_code) from None
        if isinstance(error, OSError):  # the machine's, as when a disk fails
            _report(error, debug)
            raise typer.Exit(RunError.exit_code) from None
        _report(error, debug, prefix=f"internal error: {type(error).__name__}: ")
        if not debug:
            console(stderr=True).print("run again with --debug for the traceback, and report it")
        raise typer.Exit(3) from None


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an error says that there is no memory, as PyTorch and the loader do in words."""
    said = str(error).lower().replace("illegal memory access", "")  # CUDA's, after a wrong address
    words = ("memory", "calculation overflowed", "failed to map segment")
    in_words = any(each in said for each in words)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError | OSError | ImportError) and in_words
    )


def _report(error: Exception, debug: bool, prefix: str = "error: ") -> None:
    if debug:
        traceback.print_exception(error)
    console(stderr=True).print(
        f"[bold red]{prefix.strip()}[/bold red] {escape(printable(str(error)))}",
        highlight=False,
        soft_wrap=True,
    )
