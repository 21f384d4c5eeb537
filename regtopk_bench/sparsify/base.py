"""What a sparsifier is: one page, to be read first.

Tensors carry their shape in their name: N workers, J parameters, k entries per message,
so `grad_NJ` is one gradient row per worker. A sparsifier works on the rows of the workers
that live in its process and does not know where the others live.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from regtopk_bench.errors import ConfigurationError


class SparseGradient(NamedTuple):
    """The messages of a batch of workers: which entries each sends, and their values."""

    indices: Tensor
    """(N, k) int64, distinct and ascending in each row."""

    values: Tensor
    """(N, k), in the gradient's dtype."""

    dim: int
    """J, the length of the gradients that these entries were taken from."""

    counts: Tensor | None = None
    """(N,) int64 where workers send different numbers of entries, 0 included: row n then
    ends after `counts[n]` entries and is padded with index 0 and value 0. None: all k."""


class Peers(Protocol):
    """How a sparsifier learns what it needs of workers in other processes."""

    def all_gather(self, *rows: Tensor) -> tuple[Tensor, ...]:
        """Give and get rows: every tensor (n, …) of the n workers here becomes (N, …).

        All processes call it together, with the same number of tensors; rows come back in
        worker order, the same bits everywhere, valid until the next-but-one call. Shorter
        rows are padded with zeros to the longest. The bytes given count as coordination.
        """
        ...


class Alone:
    """The peers of a process that hosts every worker: there is nobody else to ask."""

    def all_gather(self, *rows: Tensor) -> tuple[Tensor, ...]:
        """Return the rows given: they are all there are."""
        return rows


@dataclass(frozen=True)
class Sparsifier(ABC):
    """Chooses, round after round, which gradient entries each worker sends.

    A sparsifier holds its hyper-parameters and nothing else; what changes from round to
    round is in the state that `init` returns. One round calls `compress`, then `feedback`.
    """

    splits: ClassVar[bool] = False
    """Whether the workers of a process may have several states, each for some of them, and be
    compressed a few at a time: so their gradients need not all be in memory. Not if `compress`
    asks its peers."""

    @abstractmethod
    def init(
        self,
        workers: int,
        dim: int,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        weights: Tensor | None = None,
        peers: Peers | None = None,
    ) -> Any:
        """Return the state before the first round.

        Args:
            workers: Number of workers in this process, N.
            dim: Number of parameters, J.
            dtype: dtype of the gradients.
            device: Device of the gradients.
            weights: ω (N,), the share of each of these workers in the aggregate; 1/N each
                when None.
            peers: The way to workers in other processes; None when all are in this one.

        Raises:
            ConfigurationError: If the density or k does not suit `dim`.
        """

    @abstractmethod
    def compress(self, state: Any, grad_NJ: Tensor) -> SparseGradient:
        """Choose what to send of the gradients (N, J), and update the state.

        The gradients are not modified. Raises NonFiniteGradientError for NaN or infinity.
        """

    def feedback(self, state: Any, aggregate_J: Tensor) -> None:  # noqa: B027 - optional
        """Tell the state what the server made of all messages: Σ ω_n · message_n, (J,)."""

    def state_dict(self, state: Any) -> dict[str, Tensor]:
        """Return all that decides about later rounds; every tensor has a row per worker, (N, …).

        Rows of several processes can so be put together, and dealt out anew to others. The
        tensors are the state's own and change with it.

        Raises:
            ConfigurationError: If the sparsifier does not define it.
        """
        raise ConfigurationError(
            f"{type(self).__name__} cannot be saved and resumed: it has no state_dict"
        )

    def load_state_dict(self, state: Any, rows: Mapping[str, Tensor]) -> None:
        """Bring a state fresh from `init` to where `state_dict` was called, for its workers."""
        raise ConfigurationError(
            f"{type(self).__name__} cannot be saved and resumed: it has no load_state_dict"
        )
