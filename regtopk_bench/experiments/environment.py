"""Where runs are computed: versions, threads, processor, GPU, commit."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import threadpoolctl
import torch

from regtopk_bench.results.values import Scalar


def environment() -> dict[str, Scalar]:
    """Return versions, threads, processor, GPU and, when there is one, the git commit."""
    facts: dict[str, Scalar] = {
        "regtopk_bench": version("regtopk-bench"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu("model name") or platform.processor() or platform.machine(),
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cpu_count": os.cpu_count(),
    }
    for package in ("torch", "numpy", "numba", "scipy"):
        facts[package] = version(package)
    pools = threadpoolctl.threadpool_info()
    for pool in pools:
        facts[f"threads_{pool['internal_api']}"] = pool["num_threads"]
    kinds = {str(pool["architecture"]) for pool in pools if "architecture" in pool}
    facts["blas"] = "/".join(sorted(kinds))
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY"):
        facts[name.lower()] = os.environ.get(name)
    facts["load_average"] = os.getloadavg()[0]
    facts["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    if facts["gpu"]:
        facts["gpu_driver"], facts["gpu_clocks_mhz"] = _gpu_state()
    facts["git_commit"] = _git_commit()
    return facts


def _processor() -> str:
    """Return vendor, family and model, which libraries look at to choose their code."""
    names = ("vendor_id", "cpu family", "model", "CPU implementer", "CPU part")
    return " ".join(filter(None, map(_cpu, names))) or platform.machine()


@functools.cache
def _cpu(name: str) -> str | None:
    """Return what Linux says about the first processor under this name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    named = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in named if key.strip() == name), None)


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
