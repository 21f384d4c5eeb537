"""A script that starts processes when it is imported is told so, in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import regtopk_bench as rb
from regtopk_bench.training import processes

processes._POOL_START_SECONDS = -1e9  # so that "auto" takes two
workload = rb.LinearRegression.synthetic(workers=4, samples=30, dim=12)
{start}
print("done")
"""
TRAIN = "rb.simulate(workload, rb.TopK(k=3), rounds=3, learning_rate=0.01, processes={processes})"
SEVERAL = """
def make(seed):
    return workload

rb.simulate_seeds(make, rb.TopK(k=3), seeds=[0, 1], rounds=3, learning_rate=0.01, jobs=2)
"""


def outcome(folder: Path, start: str) -> subprocess.CompletedProcess[str]:
    file = folder / "script.py"
    file.write_text(SCRIPT.format(start=start))
    return subprocess.run(
        [sys.executable, str(file)], capture_output=True, text=True, check=False, timeout=100
    )


@pytest.mark.parametrize(
    "start", [TRAIN.format(processes=2), TRAIN.format(processes="'auto'"), SEVERAL]
)
def test_a_script_without_a_guard_gets_the_reason_and_the_remedy(
    tmp_path: Path, start: str
) -> None:
    ended = outcome(tmp_path, start)
    assert ended.returncode == 1
    assert ended.stdout == ""
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("regtopk_bench.misuse.ConfigurationError: other processes import the")
    assert 'put what it does below if __name__ == "__main__":, or use one process' in last
    assert ended.stderr.count("Traceback") == 1


def test_with_a_guard_or_one_process_it_runs(tmp_path: Path) -> None:
    guarded = f'if __name__ == "__main__":\n    {TRAIN.format(processes=2)}'
    for start in (guarded, TRAIN.format(processes=1)):
        ended = outcome(tmp_path, start)
        assert ended.returncode == 0, ended.stderr
        assert "done" in ended.stdout


def test_what_cannot_be_sent_is_computed_here_unless_processes_were_asked_for(
    tmp_path: Path,
) -> None:
    """As in a notebook, whose classes other processes cannot import."""
    script = SCRIPT.replace("{start}", "") + (
        "class Mine(rb.LinearRegression):\n    pass\n"
        "workload.__class__ = Mine\n"
        "options = dict(rounds=3, learning_rate=0.01)\n"
        "print(rb.simulate(workload, rb.TopK(k=3), **options).processes)\n"
        "rb.simulate(workload, rb.TopK(k=3), processes=2, **options)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=100
    )
    assert ended.stdout.split() == ["done", "1"]
    assert "cannot be sent to another process" in ended.stderr.splitlines()[-1]
