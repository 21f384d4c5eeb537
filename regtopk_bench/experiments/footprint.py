"""What a sparsifier sends in a step, and how long it takes: found out by running it."""

from __future__ import annotations

import dataclasses
import functools
import statistics
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from regtopk_bench import memory
from regtopk_bench.messages import Encoding, Message, Peers, aggregate
from regtopk_bench.results.costs import Footprint
from regtopk_bench.sparsify import Placement, Sparsifier
from regtopk_bench.sparsify.density import Budget
from regtopk_bench.timing import Clock, CpuClock, CudaClock
from regtopk_bench.training.foreign import WatchedSparsifier, watched_sparsifier

_MOST_COUNTED = 2**22
_MOST_TIMED = 2**24
_ROWS = 8
"""What timing takes in memory, in gradients, with something to spare."""

_GRADIENTS = 3
_WARM_UP = 3
_REPEATS = 7


@dataclass(frozen=True)
class Scale:
    """The gradients of a worker, and how many of their entries stand for all of them."""

    dim: int
    """J."""
    workers: int
    """N."""
    dtype: torch.dtype
    """Of the gradients, in which they travel as they are."""

    @property
    def counted(self) -> int:
        """The entries of a gradient whose messages are counted."""
        return min(self.dim, _MOST_COUNTED)

    @property
    def timed(self) -> int:
        """The entries of a gradient on which a step is timed."""
        room = memory.present() // (_ROWS * self.computed.itemsize)
        return min(self.dim, _MOST_TIMED, room)

    @property
    def computed(self) -> torch.dtype:
        """In which sparsifiers compute, keep residuals and, unless told otherwise, send values."""
        return torch.float64 if self.dtype == torch.float64 else torch.float32


class _Copies:
    """Peers whose workers all have what those hosted here have; counts what these send."""

    processes = 1

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self.sent = 0.0

    def all_gather(self, *rows: Tensor) -> tuple[Tensor, ...]:
        """Return as many rows as there are workers."""
        hosted = len(rows[0])
        self.sent += sum(row.nbytes for row in rows) / hosted
        every_N = torch.arange(self._workers, device=rows[0].device) % hosted
        return tuple(row[every_N] for row in rows)


def whole_gradient(scale: Scale) -> Footprint:
    """Return what a gradient takes that is sent as it is: nothing has to be chosen."""
    size = float(scale.dim * scale.dtype.itemsize)
    return Footprint(
        message_bytes=size,
        summed_bytes=size,
        aggregate_bytes=size,
        coordination_bytes=0.0,
        encoding=f"{scale.dtype.itemsize}-byte values",
        sparsify_seconds=0.0,
    )


def footprint(
    sparsifier: Sparsifier, scale: Scale, encoding: Encoding, seconds: float | None, device: str
) -> Footprint:
    """Return what a sparsifier sends, and how long a step takes of it.

    Messages are those of two workers with normal gradients; of gradients longer than
    `Scale.counted`, of the first so many entries, and in proportion.

    Args:
        sparsifier: The sparsifier.
        scale: The gradients.
        encoding: How messages are written.
        seconds: Of a step, if it is not to be timed: see `step_seconds`.
        device: "cpu" or "cuda", where it is timed.

    Raises:
        ConfigurationError: If its hyper-parameters do not suit the gradients.
    """
    shorter, peers = _in_proportion(sparsifier, scale), _Copies(scale.workers)
    placement = _placement(scale, min(2, scale.workers), scale.counted, "cpu", peers)
    state = shorter.init(placement)
    for grad_NJ in _gradients(placement):
        peers.sent = 0.0
        message = shorter.compress(state, grad_NJ)
        shorter.feedback(state, _mean(message))
    factor = _entries(sparsifier, scale.dim) / _entries(shorter, scale.counted)
    sizes = message.bytes_N(encoding)
    size = factor * sum(sizes) / len(sizes)
    summed = factor * message.value_bytes() if sparsifier.summable else None
    whole = float(scale.dim * scale.computed.itemsize)
    return Footprint(
        message_bytes=size,
        summed_bytes=summed,
        aggregate_bytes=min(scale.workers * size, whole) if summed is None else summed,
        coordination_bytes=factor * peers.sent,
        encoding=message.stated(encoding),
        sparsify_seconds=step_seconds(sparsifier, scale, device) if seconds is None else seconds,
    )


def step_seconds(sparsifier: Sparsifier, scale: Scale, device: str) -> float:
    """Return how long one worker takes for `compress` and `feedback`: a median, in seconds.

    It is timed round after round on gradients of `Scale.timed` normal entries; longer ones take
    more in proportion.
    """
    shorter = _in_proportion(sparsifier, scale)
    placement = _placement(scale, 1, scale.timed, device, _Copies(scale.workers))
    clock: Clock = CudaClock() if device == "cuda" else CpuClock()
    state, gradients, spent = shorter.init(placement), _gradients(placement), []
    for number in range(_WARM_UP + _REPEATS):
        sent: list[Message] = []
        grad_1J = gradients[number % len(gradients)]
        seconds = clock.seconds(functools.partial(_compress, shorter, state, grad_1J, sent))
        feedback = functools.partial(shorter.feedback, state, _mean(sent[0]))
        spent.append(seconds + clock.seconds(feedback))
    return scale.dim / scale.timed * statistics.median(spent[_WARM_UP:])


def _compress(sparsifier: Sparsifier, state: Any, grad_NJ: Tensor, sent: list[Message]) -> None:
    sent.append(sparsifier.compress(state, grad_NJ))


def _in_proportion(sparsifier: Sparsifier, scale: Scale) -> Sparsifier:
    """Return a sparsifier that keeps as large a part of shorter gradients."""
    if isinstance(sparsifier, Budget) and sparsifier.k is not None:
        budget: Any = sparsifier
        density = sparsifier.entries(scale.dim) / scale.dim
        return watched_sparsifier(dataclasses.replace(budget, k=None, density=density))
    return watched_sparsifier(sparsifier)


def _entries(sparsifier: Sparsifier, dim: int) -> int:
    """Return how many of so many entries a message has; all of them where that is not known."""
    if isinstance(sparsifier, WatchedSparsifier):
        return _entries(sparsifier.sparsifier, dim)
    return sparsifier.entries(dim) if isinstance(sparsifier, Budget) else dim


def _placement(scale: Scale, hosted: int, dim: int, device: str, peers: Peers) -> Placement:
    """Return the placement of the first workers of all."""
    return Placement(
        workers=range(hosted),
        total=scale.workers,
        weights_N=torch.full((hosted,), 1.0 / scale.workers, dtype=scale.computed, device=device),
        shapes=((dim,),),
        dtype=scale.computed,
        device=torch.device(device),
        peers=peers,
    )


def _gradients(placement: Placement) -> list[Tensor]:
    """Return normal gradients (n, J) of some rounds."""
    generator = torch.Generator(placement.device).manual_seed(0)
    like: Any = {"dtype": placement.dtype, "device": placement.device, "generator": generator}
    return [torch.randn(placement.gradients_shape, **like) for _ in range(_GRADIENTS)]


def _mean(message: Message) -> Tensor:
    """Return the mean of the messages of the workers hosted here, as if they were all, (J,)."""
    first = next(row for row in message.rows() if row.is_floating_point())
    weights_N = torch.full((len(message),), 1.0 / len(message)).to(first)
    return aggregate(message, weights_N)
