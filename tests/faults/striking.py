"""Runs the program, which sends itself a signal just after a call that Python audits.

If torchrun starts it again, it does not do so again.

    python striking.py SIGNAL EVENT TEXT ARGUMENTS...

EVENT is an audit event, and TEXT is in the path that it names.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from pathlib import Path
from typing import Any


def command(number: signal.Signals, event: str, text: str) -> tuple[str, ...]:
    """Return the command that is to be given the program's arguments."""
    return (sys.executable, str(Path(__file__)), number.name, event, text)


def _main() -> None:
    name, event, text, *arguments = sys.argv[1:]
    done = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"

    def strike(*_: Any) -> None:
        sys.setprofile(None)
        os.kill(os.getpid(), signal.Signals[name])

    def audit(audited: str, what: tuple[Any, ...]) -> None:
        nonlocal done
        if not done and audited == event and text in str(what[0]):
            done = True
            sys.setprofile(strike)  # called next when the audited function has returned

    sys.addaudithook(audit)
    sys.argv = ["regtopk-bench", *arguments]
    sys.path[0] = ""
    runpy.run_module("regtopk_bench", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
