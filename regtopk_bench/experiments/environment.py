"""Where runs are computed: versions, threads, processor, GPU, commit."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version

import threadpoolctl
import torch

from regtopk_bench import machine
from regtopk_bench.results.values import Scalar


def environment() -> dict[str, Scalar]:
    """Return versions, threads, processor, GPU and, when there is one, the git commit."""
    facts: dict[str, Scalar] = {
        "regtopk_bench": version("regtopk-bench"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": machine.cpu_info("model name") or platform.processor() or platform.machine(),
        "processor": machine.processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cpu_count": os.cpu_count(),
        "usable_processors": machine.usable_processors(),
        "processor_limit": machine.processor_limit(),
    }
    for package in ("torch", "numpy", "numba", "scipy"):
        facts[package] = _version(package)
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
        state = machine.gpu("driver_version", "clocks.sm", "clocks.mem")
        facts["gpu_driver"] = state.pop("driver_version", None)
        facts["gpu_clocks_mhz"] = "/".join(state.values()) or None
    facts["git_commit"] = _git_commit()
    return facts


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # Numba is optional
        return None


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
