"""Ranks that torchrun has started: the same bits as one process, and a clean end for all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def torchrun(ranks: int, *call: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a script, or a module after -m, in so many processes, and wait for all to end."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.run(
        [*command, f"--nproc-per-node={ranks}", *map(str, call)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **options.pop("env", {})},
        capture_output=True,
        text=True,
        timeout=options.pop("timeout", 240),
        **options,
    )


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_traces_are_identical_to_those_of_one_process(ranks: int, tmp_path: Path) -> None:
    ended = torchrun(ranks, HERE / "in_ranks.py", "traces", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    assert json.loads((tmp_path / "out").read_text()) == {
        "Dense": True,
        "TopK": True,
        "RegTopK": True,
        "RandomK": True,
        "Oracle": True,
        "PerLayer": True,
        "Threshold": True,
    }


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("rows", "rows of 3 ranks: as they should be"),
        ("differing", "RunError: the processes exchange different rows: tensor 1 of 1 is float64"),
        ("non-finite", "NonFiniteGradientError after 3 rounds: non-finite gradient at worker 2"),
        ("last", "ValueError: after the last exchange"),
        ("unsendable", "ConfigurationError: the workload or sparsifier cannot be sent"),
        ("stopped", "25 rounds"),
        ("interrupted", "InterruptedRun after 25 rounds"),
        ("too many", "ConfigurationError: processes 3 is not between 1 and"),
        ("died", "WorkerDiedError: a rank has ended, hangs or cannot be reached"),
        ("hangs", "WorkerDiedError"),  # another rank may notice first, and end
    ],
)
def test_every_end_is_one_for_all_ranks(case: str, said: str, tmp_path: Path) -> None:
    ended = torchrun(3, HERE / "in_ranks.py", case, tmp_path / "out")
    assert (tmp_path / "out").read_text().startswith(said), ended.stderr
    lost = case in ("died", "hangs")
    assert bool(ended.returncode) == lost
    if not lost:  # jobs after one that has failed
        assert (tmp_path / "out").read_text().endswith("; then 5 rounds")
