"""The program: `regtopk-bench`, or `python -m regtopk_bench`."""

# All else is imported when signals can be handled: they may come at any time.
import sys

from regtopk_bench.cli.launched import be_one_of_several
from regtopk_bench.cli.signals import ignore, recognised, stop_like_ctrl_c

_INTERRUPTED = 130
"""The exit code; Typer too ends with it."""


def main() -> None:
    """Run the command line."""
    be_one_of_several()
    try:
        stop_like_ctrl_c()
        with recognised():
            _run()
    except (KeyboardInterrupt, SystemExit) as end:
        ignore()  # whoever asks twice would interrupt this
        if isinstance(end, SystemExit) and end.code != _INTERRUPTED:
            raise
        if sys.stderr is not None:
            sys.stderr.write("interrupted\n")
        sys.exit(_INTERRUPTED)
    finally:
        ignore()


def _run() -> None:
    from regtopk_bench.cli.streams import UnwritableOutputError, prepare, unsay
    from regtopk_bench.errors import ConfigurationError

    try:
        prepare()
        _check_folder()
        from regtopk_bench.cli.main import app

        try:
            app()
        finally:
            unsay()
            sys.stdout.flush()
    except (UnwritableOutputError, ConfigurationError) as error:
        if isinstance(error, UnwritableOutputError) and error.reader_left:
            sys.exit(0)
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    except Exception as error:  # even reporting an error has failed, as for lack of open files
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise
        sys.stderr.write(f"error: {error}\n")
        sys.exit(3)


def _check_folder() -> None:
    """Raise ConfigurationError without a working directory: PyTorch's libraries need one."""
    from pathlib import Path

    from regtopk_bench.errors import ConfigurationError

    try:
        Path.cwd()
    except OSError as error:
        raise ConfigurationError(
            f"the working directory cannot be used: {error.strerror}; change to another"
        ) from error


if __name__ == "__main__":
    main()
