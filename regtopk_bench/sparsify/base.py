"""What a sparsifier is, on one page: read this first.

Tensors carry their shape in their name: N workers, J parameters, k entries per message,
so `grad_NJ` is one gradient row per worker. A sparsifier works on the rows of the workers
hosted in its process and does not know where the others are.
"""

from __future__ import annotations

import functools
import inspect
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from torch import Tensor

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.messages import Message
from regtopk_bench.sparsify.placement import Placement
from regtopk_bench.sparsify.state import restore, rows_of

if sys.version_info >= (3, 14):
    import annotationlib


@functools.cache
def check_declared(kind: type) -> None:
    """Raise ConfigurationError if a class has annotated fields, but is no dataclass."""
    for each in kind.__mro__:
        fields = [name for name, hint in _annotations(each).items() if "ClassVar" not in str(hint)]
        if fields and "__dataclass_fields__" not in vars(each):
            raise ConfigurationError(
                f"{each.__qualname__}.{fields[0]} would be no hyper-parameter: make the class a "
                "dataclass, @dataclass(frozen=True)"
            )


def _annotations(kind: type) -> dict[str, Any]:
    if sys.version_info >= (3, 14):  # where names that only type checkers import are an error
        return inspect.get_annotations(kind, format=annotationlib.Format.FORWARDREF)
    return inspect.get_annotations(kind)


@dataclass(frozen=True)
class Sparsifier(ABC):
    """Chooses, round after round, what each worker sends of its gradient.

    A sparsifier holds its hyper-parameters, the fields of its dataclass, and nothing else; what
    changes from round to round is in the state that `init` returns. Each round calls `compress`,
    then `feedback`.
    """

    splits: ClassVar[bool] = False
    """Whether a process may compress its workers in chunks, each with its own state, to avoid
    holding all their gradients in memory. Must be False if `compress` asks its peers."""

    summable: ClassVar[bool] = False
    """Whether all workers send values of the same entries, which each of them knows without being
    told: on a network these can be added up on their way (all-reduce), without indices. All other
    messages have to reach every worker (all-gather)."""

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Refuse a class whose hyper-parameters would be lost."""
        check_declared(cls)
        return super().__new__(cls)

    @abstractmethod
    def init(self, placement: Placement) -> Any:
        """Return the state before the first round, a dataclass derived from `State`.

        Raises:
            ConfigurationError: If the hyper-parameters do not suit the placement: a k above J, say.
        """

    @abstractmethod
    def compress(self, state: Any, grad_NJ: Tensor) -> Message:
        """Choose what to send of the gradients (N, J), and update the state.

        The gradients are not modified. The message is valid until the call after next with
        the same state, which reuses its memory; it may share memory with `grad_NJ`, which must
        not change until then.

        Raises:
            NonFiniteGradientError: If a gradient holds NaN or infinity.
        """

    def feedback(self, state: Any, aggregate_J: Tensor) -> None:  # noqa: B027 - optional
        """Give the state the aggregate of all messages: Σ ω_n · message_n, (J,).

        Peers can be asked in `compress` only.
        """

    def state_dict(self, state: Any) -> dict[str, Tensor]:
        """Return all that later rounds depend on; every tensor has a row per worker, (N, …).

        Rows of several processes can be concatenated and redistributed. The tensors are the
        state's own and change with it.

        Raises:
            ConfigurationError: If a field of the state can neither be saved nor left out.
        """
        return rows_of(state)

    def load_state_dict(self, state: Any, rows: Mapping[str, Tensor]) -> None:
        """Restore into a fresh state what `state_dict` returned for the same workers.

        Raises:
            ConfigurationError: If the rows do not belong to such a state, which is then of no use.
        """
        restore(state, rows)
