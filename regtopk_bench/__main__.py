"""The program: `regtopk-bench`, or `python -m regtopk_bench`."""

import sys

from regtopk_bench.cli.signals import stop_like_ctrl_c
from regtopk_bench.cli.streams import UnwritableOutputError, prepare


def main() -> None:
    """Run the command line."""
    try:
        prepare()
        stop_like_ctrl_c()
        from regtopk_bench.cli.main import app  # slower to import than a signal is to come

        try:
            app()
        finally:
            sys.stdout.flush()
    except UnwritableOutputError as error:
        if error.reader_left:
            sys.exit(0)
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    except Exception as error:  # even reporting an error has failed, as for lack of open files
        sys.stderr.write(f"error: {error}\n")
        sys.exit(3)


if __name__ == "__main__":
    main()
