"""The peak memory of a program and all its processes."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

_INTERVAL_SECONDS = 0.25


def run_watched(command: list[str]) -> tuple[str, int]:
    """Run a program; return its stdout and its peak proportional set size in bytes."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak, out = 0, None
    while out is None:
        peak = max(peak, sum(map(proportional_bytes, family(child.pid))))
        with contextlib.suppress(subprocess.TimeoutExpired):
            out, _ = child.communicate(timeout=_INTERVAL_SECONDS)
    return out, peak


def family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    for known in found:
        try:
            for task in Path(f"/proc/{known}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found


def proportional_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
