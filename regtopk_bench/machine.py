"""What this machine is, as far as times depend on it. Nothing here imports PyTorch."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_CPU0 = Path("/sys/devices/system/cpu/cpu0")
_CGROUPS = Path("/sys/fs/cgroup")
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
_STEAL = 8
"""The field of /proc/stat with the time that the host gave to others."""

Fact = str | bool | int | float | None


def processor() -> str:
    """Return vendor, family and model, which libraries look at to choose their code."""
    names = ("vendor_id", "cpu family", "model", "CPU implementer", "CPU part")
    return " ".join(filter(None, map(cpu_info, names))) or platform.machine()


def cpu_info(name: str) -> str | None:
    """Return what Linux says about the first processor under this name."""
    return _cpu_info().get(name)


@functools.cache
def _cpu_info() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for line in (_text(Path("/proc/cpuinfo")) or "").splitlines():
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    return found


def usable_processors() -> int:
    """Return how many processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_limit() -> float | None:
    """Return how many processors' time the container may use; None if it is not limited."""
    found = [limit for limit in map(_limit_in, _cgroups()) if limit is not None]
    return min(found, default=None)


def _cgroups() -> list[Path]:
    """Return the folders of this process's control groups and of those around them."""
    folders = [_CGROUPS, _CGROUPS / "cpu"]
    for line in (_text(Path("/proc/self/cgroup")) or "").splitlines():
        _, controllers, name = line.split(":", 2)
        root = _CGROUPS / "cpu" if "cpu" in controllers.split(",") else _CGROUPS
        if controllers and root == _CGROUPS:
            continue
        own = root / name.lstrip("/")
        folders += [own, *(each for each in own.parents if each.is_relative_to(_CGROUPS))]
    return list(dict.fromkeys(folders))


def _limit_in(folder: Path) -> float | None:
    words = (_text(folder / "cpu.max") or "").split()
    if len(words) != 2:
        words = [_text(folder / f"cpu.cfs_{name}_us") or "" for name in ("quota", "period")]
    try:
        quota, period = map(int, words)
    except ValueError:  # absent, or "max"
        return None
    return quota / period if quota > 0 and period > 0 else None


def gpu(*queries: str) -> dict[str, str]:
    """Return what nvidia-smi says about the first GPU, by query; nothing if it cannot."""
    command = ["nvidia-smi", f"--query-gpu={','.join(queries)}", "--format=csv,noheader,nounits"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    values = asked.stdout.splitlines()[0].split(", ") if asked.stdout else []
    return dict(zip(queries, values, strict=True)) if len(values) == len(queries) else {}


def facts() -> dict[str, Fact]:
    """Return what times depend on, by name; None where the system does not say."""
    found: dict[str, Fact] = {
        "processor": cpu_info("model name") or processor(),
        "processors": os.cpu_count(),
        "usable_processors": usable_processors(),
        "processor_limit": processor_limit(),
        "threads_per_core": _threads_per_core(),
        "virtual_machine": "hypervisor" in (cpu_info("flags") or "").split(),
        "governor": _text(_CPU0 / "cpufreq" / "scaling_governor"),
        "load": round(os.getloadavg()[0], 2),
        "caches": ", ".join(_caches()) or None,
    }
    found |= {name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ}
    state = gpu("name", "clocks.sm", "clocks.max.sm", "persistence_mode")
    if state:
        found |= {
            "gpu": state["name"],
            "gpu_clock_mhz": f"{state['clocks.sm']} of {state['clocks.max.sm']}",
            "gpu_persistence": state["persistence_mode"],
        }
    return found


def remark(name: str, value: Fact) -> str:
    """Return what a fact means for times, and what to do; nothing if it does no harm."""
    match name, value:
        case "usable_processors", int(usable) if usable < (os.cpu_count() or 1):
            return "the affinity keeps this process from the others"
        case "processor_limit", float(limit):
            return f"who uses more than {limit:g} processors is stopped for a while, in mid-step"
        case "threads_per_core", int(threads) if threads > 1:
            return "two processors may be one core: pin processes, or switch SMT off"
        case "virtual_machine", True:
            return "others may share its processors: see what was stolen"
        case "governor", str(governor) if governor != "performance":
            return "the clock follows the load: choose performance"
        case "load", float(load) if load > 0.5:
            return "something else is running"
        case "gpu_persistence", "Disabled":
            return "the driver unloads between processes: nvidia-smi -pm 1"
    return ""


def stolen() -> tuple[int, int]:
    """Return the processors' time since the start that the host gave to others, and all of it."""
    words = (_text(Path("/proc/stat")) or "cpu").splitlines()[0].split()
    times = list(map(int, words[1:]))
    return (times[_STEAL - 1] if len(times) >= _STEAL else 0), sum(times[:_STEAL])


def _threads_per_core() -> int | None:
    siblings = _text(_CPU0 / "topology" / "thread_siblings_list")
    return None if siblings is None else len(_numbers(siblings))


def _numbers(text: str) -> Sequence[int]:
    """Return the numbers of a list such as "0-1,4"."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def _caches() -> list[str]:
    found = []
    for folder in sorted((_CPU0 / "cache").glob("index*")):
        kind, level, size = (_text(folder / name) for name in ("type", "level", "size"))
        if kind in ("Data", "Unified"):
            found.append(f"L{level} {size}")
    return found


def _text(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
