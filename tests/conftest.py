"""What all tests share."""

from __future__ import annotations

import os
import signal

import hypothesis
import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported

# A job in the background of a shell ignores Ctrl-C, one under nohup the end of its terminal, and so
# would the programs that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

hypothesis.settings.register_profile(
    "suite", deadline=None, max_examples=40, derandomize=bool(os.environ.get("CI"))
)
hypothesis.settings.load_profile("suite")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]) -> None:
    """Run every test in an empty folder, without settings of ours in the environment."""
    for name in list(os.environ):
        if name.startswith("REGTOPK_BENCH_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
