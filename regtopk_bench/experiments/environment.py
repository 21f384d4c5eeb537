"""Where runs are computed: versions, threads, processor, GPU, commit."""

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
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY"):
        facts[name.lower()] = os.environ.get(name)
    facts["load_average"] = os.getloadavg()[0]
    facts["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    if facts["gpu"]:
        facts["gpu_driver"], facts["gpu_clocks_mhz"] = _gpu_state()
    facts["git_commit"] = _git_commit()
    return facts


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _gpu_state() -> tuple[str | None, str | None]:
    """Return the driver version, and the current clocks of processors and memory."""
    query = ["--query-gpu=driver_version,clocks.sm,clocks.mem", "--format=csv,noheader,nounits"]
    try:
        asked = subprocess.run(
            ["nvidia-smi", *query], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None, None
    driver, *clocks = asked.stdout.splitlines()[0].split(", ")
    return driver, "/".join(clocks)


def _git_commit() -> str | None:
    """Return the commit of the working directory, marked if it has changes."""
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
