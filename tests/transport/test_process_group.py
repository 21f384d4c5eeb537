"""Ranks that torchrun has started: the same bits as one process, and a clean end for all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.transport.in_ranks import traces

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


@pytest.fixture(scope="module")
def one_process() -> dict[str, dict[str, str]]:
    """Digests of the traces that one process gives, by scope."""
    return {scope: traces(1, scope) for scope in ("global", "layer")}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_every_algorithm_gives_the_bits_of_one_process(
    ranks: int, tmp_path: Path, one_process: dict[str, dict[str, str]]
) -> None:
    scopes = ["global", "layer"] if ranks == 2 else ["global"]
    ended = torchrun(ranks, HERE / "in_ranks.py", tmp_path / "out", "traces", *scopes)
    assert ended.returncode == 0, ended.stderr
    found = json.loads((tmp_path / "out").read_text())
    assert found == [one_process[scope] for scope in scopes]


ENDS = {
    "rows": "rows of 3 ranks: as they should be",
    "differing": "RunError: the processes exchange different rows: tensor 1 of 1 is float64",
    "non-finite": "NonFiniteGradientError after 3 rounds: non-finite gradient at worker 2",
    "last": "ValueError: after the last exchange",
    "unsendable": "ConfigurationError: the workload or sparsifier cannot be sent",
    "stopped": "25 rounds",
    "interrupted": "InterruptedRun after 25 rounds",
    "too many": "ConfigurationError: torchrun has started 3 processes for 2 workers",
    "fine": "40 rounds",
}


def test_every_end_of_a_job_is_one_for_all_ranks(tmp_path: Path) -> None:
    """And all of them are there for the next one."""
    ended = torchrun(3, HERE / "in_ranks.py", tmp_path / "out", *ENDS)
    assert ended.returncode == 0, ended.stderr
    told = (tmp_path / "out").read_text().splitlines()
    assert len(told) == len(ENDS), ended.stderr
    for line, (name, said) in zip(told, ENDS.items(), strict=True):
        assert line.startswith(f"{name}: {said}")


@pytest.mark.parametrize("case", ["died", "hangs"])
def test_a_rank_that_is_lost_ends_all(case: str, tmp_path: Path) -> None:
    ended = torchrun(3, HERE / "in_ranks.py", tmp_path / "out", case)
    assert ended.returncode
    said = (tmp_path / "out").read_text()
    assert said.startswith(f"{case}: WorkerDiedError after 3 rounds: a rank has "), ended.stderr
