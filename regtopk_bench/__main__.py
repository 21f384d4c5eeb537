"""The program: `regtopk-bench`, or `python -m regtopk_bench`."""

import sys
from pathlib import Path

from regtopk_bench.cli.signals import ignore, stop_like_ctrl_c
from regtopk_bench.cli.streams import UnwritableOutputError, prepare
from regtopk_bench.errors import ConfigurationError


def main() -> None:
    """Run the command line."""
    try:
        _run()
    finally:
        ignore()


def _run() -> None:
    try:
        prepare()
        stop_like_ctrl_c()
        _check_folder()
        from regtopk_bench.cli.main import app  # slower to import than a signal is to come

        try:
            app()
        finally:
            sys.stdout.flush()
    except (UnwritableOutputError, ConfigurationError) as error:
        if isinstance(error, UnwritableOutputError) and error.reader_left:
            sys.exit(0)
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    except Exception as error:  # even reporting an error has failed, as for lack of open files
        sys.stderr.write(f"error: {error}\n")
        sys.exit(3)


def _check_folder() -> None:
    """Raise ConfigurationError without a working directory: PyTorch's libraries need one."""
    try:
        Path.cwd()
    except OSError as error:
        raise ConfigurationError(
            f"the working directory cannot be used: {error.strerror}; change to another"
        ) from error


if __name__ == "__main__":
    main()
