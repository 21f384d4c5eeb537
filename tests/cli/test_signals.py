"""What a request to stop may look like when it arrives in the middle of something."""

from __future__ import annotations

import subprocess
import sys

import pytest

from regtopk_bench.cli.signals import StopRequested, recognised

STRUCK = """
import os, signal
from regtopk_bench.cli import signals

signals.stop_like_ctrl_c()

class Half:
    def __init__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        self.whole = True

    def __del__(self):
        self.whole

try:
    Half()
except KeyboardInterrupt:
    print("stopped")
"""


class Named:
    def __set_name__(self, owner: type, name: str) -> None:
        raise StopRequested


def test_a_stop_while_a_class_is_made_is_a_stop() -> None:
    with pytest.raises(StopRequested), recognised():
        type("Owner", (), {"attribute": Named()})


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), recognised():
        raise ZeroDivisionError


def test_what_was_half_made_says_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STRUCK], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopped\n", "")
