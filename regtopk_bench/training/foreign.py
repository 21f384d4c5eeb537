"""Algorithms and workloads from outside the package: their mistakes are found and named.

What they return is checked before it is used, and what they raise becomes an error that says whose
it is. Those of the package need neither and are left as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from regtopk_bench.arguments import shown
from regtopk_bench.errors import ConfigurationError, failures_of
from regtopk_bench.kernels import check_tensor, described
from regtopk_bench.messages import Encoding, Message
from regtopk_bench.sparsify import PerLayer, Placement, Sparsifier, name_of_class
from regtopk_bench.workloads import Workload
from regtopk_bench.workloads.base import Scalar

_HERE = __name__.partition(".")[0]


def watched_sparsifier(sparsifier: Sparsifier) -> Sparsifier:
    """Return a sparsifier of the package itself, and any other under watch."""
    inner = sparsifier
    while isinstance(inner, PerLayer):
        inner = inner.sparsifier
    return sparsifier if _is_ours(inner) else WatchedSparsifier(sparsifier, type(inner))


def watched_workload(workload: Workload) -> Workload:
    """Return a workload of the package itself, and any other under watch."""
    return workload if _is_ours(workload) else WatchedWorkload(workload)


def _is_ours(thing: object) -> bool:
    return type(thing).__module__.partition(".")[0] == _HERE


@dataclass(frozen=True)
class WatchedSparsifier(Sparsifier):
    """A sparsifier from outside; its messages are checked."""

    sparsifier: Sparsifier
    kind: type[Sparsifier]
    """The class to name: within each layer, if it is per layer."""

    @property
    def splits(self) -> bool:  # type: ignore[override]
        """See `Sparsifier.splits`."""
        return bool(self.sparsifier.splits)

    @property
    def summable(self) -> bool:  # type: ignore[override]
        """See `Sparsifier.summable`."""
        return bool(self.sparsifier.summable)

    def init(self, placement: Placement) -> Any:
        """See `Sparsifier.init`."""
        with failures_of(self._name("init")):
            return self.sparsifier.init(placement)

    def compress(self, state: Any, grad_NJ: Tensor) -> Message:
        """See `Sparsifier.compress`."""
        with failures_of(self._name("compress")):
            message = self.sparsifier.compress(state, grad_NJ)
        if not isinstance(message, Message):
            raise ConfigurationError(
                f"{self._name('compress')} returned {described(message)}: expected a Message"
            )
        with failures_of(f"{self._name('compress')}, or rather its {type(message).__name__},"):
            rows, dim = message.rows(), message.dim
            sizes = list(message.bytes_N(Encoding.COORDINATES))
            str(message.stated(Encoding.COORDINATES))
        lengths = {len(row) if isinstance(row, Tensor) and row.dim() else 0 for row in rows}
        if lengths | {len(sizes)} != {len(grad_NJ)} or dim != grad_NJ.shape[1]:
            raise ConfigurationError(
                f"{self._name('compress')} returned messages of {shown(sorted(lengths))} workers "
                f"about {dim} entries, for gradients {tuple(grad_NJ.shape)}"
            )
        return message

    def feedback(self, state: Any, aggregate_J: Tensor) -> None:
        """See `Sparsifier.feedback`."""
        with failures_of(self._name("feedback")):
            self.sparsifier.feedback(state, aggregate_J)

    def state_dict(self, state: Any) -> dict[str, Tensor]:
        """See `Sparsifier.state_dict`."""
        with failures_of(self._name("state_dict")):
            rows = self.sparsifier.state_dict(state)
        if not isinstance(rows, Mapping) or not all(
            isinstance(name, str) and isinstance(row, Tensor) and row.dim()
            for name, row in rows.items()
        ):
            raise ConfigurationError(
                f"{self._name('state_dict')} returned {shown(rows)}: expected tensors by name, "
                "each with a row for each worker"
            )
        return dict(rows)

    def load_state_dict(self, state: Any, rows: Mapping[str, Tensor]) -> None:
        """See `Sparsifier.load_state_dict`."""
        with failures_of(self._name("load_state_dict")):
            self.sparsifier.load_state_dict(state, rows)

    def _name(self, method: str) -> str:
        return f"algorithm {name_of_class(self.kind)}: {method}"


class WatchedWorkload(Workload):
    """A workload from outside; its parameters, gradients and metrics are checked."""

    def __init__(self, workload: Workload) -> None:
        """Take over what does not change."""
        self._workload = workload
        with failures_of(self._name("its attributes")):
            self.workers, self.dim, self.dtype = workload.workers, workload.dim, workload.dtype
            self.device, self.weights_N = workload.device, workload.weights_N
        self._metrics: set[str] | None = None

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """See `Workload.shapes`."""
        with failures_of(self._name("shapes")):
            return self._workload.shapes

    @property
    def identity(self) -> dict[str, Scalar]:
        """See `Workload.identity`."""
        with failures_of(self._name("identity")):
            return self._workload.identity

    def initial_parameters(self, seed: int) -> Tensor:
        """See `Workload.initial_parameters`."""
        with failures_of(self._name("initial_parameters")):
            return self._workload.initial_parameters(seed)

    def gradients(self, parameters_J: Tensor, workers: range, round: int) -> Tensor:
        """See `Workload.gradients`."""
        with failures_of(self._name("gradients")):
            grad_NJ = self._workload.gradients(parameters_J, workers, round)
        shape, device = (len(workers), self.dim), parameters_J.device
        check_tensor(grad_NJ, self._name("gradients"), shape, self.dtype, device)
        return grad_NJ.contiguous()

    def metrics(self, parameters_TJ: Tensor) -> Mapping[str, NDArray[np.float64]]:
        """See `Workload.metrics`."""
        with failures_of(self._name("metrics")):
            metrics = self._workload.metrics(parameters_TJ)
        if not isinstance(metrics, Mapping) or not all(isinstance(name, str) for name in metrics):
            raise ConfigurationError(
                f"{self._name('metrics')} returned {shown(metrics)}: expected arrays by name"
            )
        if self._metrics is None:
            self._metrics = set(metrics)
        if metrics.keys() != self._metrics:
            raise ConfigurationError(
                f"{self._name('metrics')} returned {sorted(metrics)}, and {sorted(self._metrics)} "
                "before: expected the same every time"
            )
        return {
            name: self._values(name, value, len(parameters_TJ)) for name, value in metrics.items()
        }

    def _values(self, name: str, values: Any, count: int) -> NDArray[np.float64]:
        try:
            array = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError, RuntimeError):
            array = np.empty(())
        if array.shape != (count,):
            raise ConfigurationError(
                f'{self._name("metrics")} returned {shown(values)} as "{name}": expected an array '
                f"of {count} numbers, one for each parameter vector"
            )
        return array

    def _name(self, method: str) -> str:
        return f"workload {type(self._workload).__qualname__}: {method}"
