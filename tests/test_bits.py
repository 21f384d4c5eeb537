"""The numbers of the commands, bit for bit: a change to any of them has to be meant.

Bits differ between kinds of processors and versions of PyTorch and NumPy, so digests are kept for
each kind on which they were recorded; on any other this test is skipped and says so. Those of the
first kind were recorded with the version before experiments became cells; to record another, run
this file as a program.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl
import torch

DIGESTS = Path(__file__).with_name("bits.json")
SETTINGS = Path(__file__).parent.parent / "benchmarks.toml"

COMMANDS = {
    "linreg": ["linreg", "--no-save"],
    "paper": ["linreg", "--profile", "paper", "--rounds", "250", "--no-save"],
    "toy": ["toy"],
    "cifar": ["cifar", "--dataset", "synthetic", "--rounds", "50", "--no-save"],
}
NOT_BEFORE = ("parameters", "coordination_bytes")
"""What was not in the metrics or traces of the first recording."""


def kind() -> str:
    """Return what bits depend on."""
    architectures = {
        str(pool["architecture"])
        for pool in threadpoolctl.threadpool_info()
        if pool["internal_api"] == "openblas"
    }
    versions = (torch.__version__.partition("+")[0], np.__version__)
    minor = [".".join(version.split(".")[:2]) for version in versions]
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{capability}, {'/'.join(sorted(architectures))}, torch {minor[0]}, numpy {minor[1]}"


def digest(document: dict[str, Any]) -> str:
    """Return a digest of all metrics and traces of a result."""
    content = []
    for run in document["runs"]:
        sparsifier = run["cell"]["sparsifier"]
        which = [sparsifier["algorithm"], sparsifier.get("density"), run["cell"]["seed"]]
        metrics = {name: value for name, value in run["metrics"].items() if name not in NOT_BEFORE}
        traces = {name: value for name, value in run["traces"].items() if name not in NOT_BEFORE}
        content.append([which, metrics, traces])
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def found(name: str) -> str:
    command = [sys.executable, "-m", "regtopk_bench", *COMMANDS[name], "-f", "json", "-q"]
    if "--profile" in command:
        command += ["--config", str(SETTINGS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8")
    return digest(json.loads(done.stdout))


@pytest.mark.parametrize("name", COMMANDS)
def test_metrics_and_traces_are_what_they_were(name: str) -> None:
    recorded = json.loads(DIGESTS.read_text(encoding="utf-8"))
    if kind() not in recorded:
        pytest.skip(f"no digests were recorded for {kind()}")
    assert found(name) == recorded[kind()][name]


if __name__ == "__main__":
    known = json.loads(DIGESTS.read_text(encoding="utf-8")) if DIGESTS.exists() else {}
    known[kind()] = {name: found(name) for name in COMMANDS}
    DIGESTS.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
