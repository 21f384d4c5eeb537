"""What a sparsifier is: one page, to be read first.

Tensors carry their shape in their name: N workers, J parameters, k entries per message,
so `grad_NJ` is one gradient row per worker. A sparsifier works on the rows of the workers
that live in its process and does not know where the others live.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from regtopk_bench.messages import Message
from regtopk_bench.sparsify.placement import Placement
from regtopk_bench.sparsify.state import restore, rows_of


@dataclass(frozen=True)
class Sparsifier(ABC):
    """Chooses, round after round, what each worker sends of its gradient.

    A sparsifier holds its hyper-parameters, the fields of its dataclass, and nothing else; what
    changes from round to round is in the state that `init` returns. One round calls `compress`,
    then `feedback`.
    """

    splits: ClassVar[bool] = False
    """Whether the workers of a process may be compressed a few at a time, each chunk of them with
    a state of its own, so that their gradients need not all be in memory. Not if `compress`
    asks its peers."""

    @abstractmethod
    def init(self, placement: Placement) -> Any:
        """Return the state before the first round, a dataclass on `State`.

        Raises:
            ConfigurationError: If the hyper-parameters do not suit the placement, as a k above J.
        """

    @abstractmethod
    def compress(self, state: Any, grad_NJ: Tensor) -> Message:
        """Choose what to send of the gradients (N, J), and update the state.

        The gradients are not modified. The message is valid until the next-but-one call with the
        same state, as its memory is used again.

        Raises:
            NonFiniteGradientError: If a gradient holds NaN or infinity.
        """

    def feedback(self, state: Any, aggregate_J: Tensor) -> None:  # noqa: B027 - optional
        """Tell the state what the server made of all messages: Σ ω_n · message_n, (J,)."""

    def state_dict(self, state: Any) -> dict[str, Tensor]:
        """Return all that decides about later rounds; every tensor has a row per worker, (N, …).

        Rows of several processes can be concatenated and redistributed. The tensors are the
        state's own and change with it.

        Raises:
            ConfigurationError: If a field of the state can neither be saved nor left out.
        """
        return rows_of(state)

    def load_state_dict(self, state: Any, rows: Mapping[str, Tensor]) -> None:
        """Bring a state fresh from `init` to where `state_dict` was called, for its workers.

        Raises:
            ConfigurationError: If the rows are not those of such a state.
        """
        restore(state, rows)
