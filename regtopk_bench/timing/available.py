"""Which implementations there are, and which of them can run here."""

from __future__ import annotations

from collections.abc import Iterable

from regtopk_bench import kernels
from regtopk_bench.errors import ConfigurationError, suggest
from regtopk_bench.timing import selections
from regtopk_bench.timing.selections import RIVALS

OURS = ("numba", "triton")
IMPLEMENTATIONS = (*OURS, "reference", *RIVALS)

_ONLY_ON = {
    "numba": "cpu",
    "numpy.argpartition": "cpu",
    "triton": "cuda",
    "cupy.argpartition": "cuda",
}
"""The device of implementations that run on one kind."""


def runs_on(implementation: str, device: str) -> bool:
    """Tell whether an implementation is made for a kind of device, "cpu" or "cuda"."""
    return _ONLY_ON.get(implementation, device) == device


def unavailable(implementations: Iterable[str], *, device: str) -> dict[str, str]:
    """Return why implementations cannot run here, in words, by the names of those that cannot.

    Args:
        implementations: Some of `IMPLEMENTATIONS`, or modules by their dotted names.
        device: "cpu" or "cuda".

    Raises:
        ConfigurationError: If one of them is unknown.
    """
    reasons = {name: _lack(name, device) for name in implementations}
    return {name: reason for name, reason in reasons.items() if reason}


def is_known(name: str) -> bool:
    """Return true for one of `IMPLEMENTATIONS`, or a dotted name.

    Raises:
        ConfigurationError: If it is neither.
    """
    if name in IMPLEMENTATIONS or "." in name:
        return True
    raise ConfigurationError(
        f'implementation "{name}" is unknown{suggest(str(name), IMPLEMENTATIONS)}'
    )


def _lack(name: str, device: str) -> str | None:
    if is_known(name) and not runs_on(name, device):
        return f"it runs on {_ONLY_ON[name]} only"
    return selections.failure_to_load(name) if name in RIVALS else kernels.absence(name)
