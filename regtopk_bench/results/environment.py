"""Where a result was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import threadpoolctl
import torch

from regtopk_bench.results.schema import Scalar


def environment() -> dict[str, Scalar]:
    """Return versions, threads, processor, GPU and, when there is one, the git commit."""
    facts: dict[str, Scalar] = {
        "regtopk_bench": version("regtopk-bench"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cpu_count": os.cpu_count(),
    }
    for package in ("torch", "numpy", "numba", "scipy"):
        facts[package] = version(package)
    for pool in threadpoolctl.threadpool_info():
        facts[f"threads_{pool['internal_api']}"] = pool["num_threads"]
    facts["omp_num_threads"] = os.environ.get("OMP_NUM_THREADS")
    facts["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    facts["git_commit"] = _git_commit()
    return facts


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _git_commit() -> str | None:
    """Return the commit of the working directory, marked where it has changes."""
    try:
        git = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return git.stdout.strip()
