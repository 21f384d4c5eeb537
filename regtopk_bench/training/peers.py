"""The workers of other processes, as a sparsifier sees them."""

from __future__ import annotations

from torch import Tensor

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.messages import Peers


class CountedPeers:
    """A way to other processes, which counts what sparsifiers send there.

    Attributes:
        processes: How many processes there are.
        closed: Whether a sparsifier may not ask now.
    """

    def __init__(self, peers: Peers) -> None:
        """Lead to these."""
        self.processes = peers.processes
        self.closed = False
        self._peers, self._sent = peers, 0

    def all_gather(self, *rows: Tensor) -> tuple[Tensor, ...]:
        """See `Peers.all_gather`.

        Raises:
            ConfigurationError: While it is closed.
        """
        if self.closed:
            raise ConfigurationError("a sparsifier may ask its peers in compress, not in feedback")
        gathered = self._peers.all_gather(*rows)
        self._sent += sum(row.nbytes for row in gathered)
        return gathered

    def take_count(self) -> int:
        """Return how many bytes all workers have sent since the last call."""
        sent, self._sent = self._sent, 0
        return sent


class NoPeers:
    """The peers of a sparsifier that splits, and so must not ask them."""

    processes = 1

    def all_gather(self, *rows: Tensor) -> tuple[Tensor, ...]:
        """Raise ConfigurationError."""
        raise ConfigurationError("a sparsifier that asks its peers must have splits = False")
