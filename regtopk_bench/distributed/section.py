"""Compress, exchange, feedback: one flat gradient in a process group, a rank being a worker."""

from __future__ import annotations

import contextlib
import zlib
from dataclasses import dataclass

import torch
from torch import Tensor

from regtopk_bench.distributed.line import Arrived, Exchange, Line, as_bytes, next_room
from regtopk_bench.distributed.peers import LinePeers
from regtopk_bench.errors import ConfigurationError, NonFiniteGradientError
from regtopk_bench.messages import Encoding, Message, aggregate, pack, unpack
from regtopk_bench.sparsify import Placement, Sparsifier, State, record
from regtopk_bench.sparsify.layout import entries_of, lay, numbers_of
from regtopk_bench.sparsify.placement import Shape
from regtopk_bench.training.foreign import watched_sparsifier
from regtopk_bench.training.peers import CountedPeers, NoPeers


@dataclass(frozen=True)
class Gradient:
    """What a flat gradient consists of."""

    shapes: tuple[Shape, ...]
    """Shapes of the tensors whose entries make it up, in order."""

    dtype: torch.dtype
    """In which it is compressed, float32 or float64."""

    device: torch.device
    """Where it is."""

    part: tuple[int, ...] = ()
    """Which part of the whole gradient it is; () for all of it."""

    seed: int = 0
    """Seed of random sparsifiers."""


class Section:
    """A flat gradient that is selected from by itself: its sparsifier, with its state.

    Each iteration calls `begin`, which sends off the message, and `finish`, which waits for those
    of all ranks. In between, other sections may begin, in the same order in every rank; they
    finish in the order in which they began.

    Attributes:
        sparsifier: What chooses the entries.
        gradient: What it chooses from.
        state: What it remembers.
    """

    def __init__(
        self, sparsifier: Sparsifier, gradient: Gradient, line: Line, encoding: Encoding
    ) -> None:
        """Start with nothing remembered.

        Raises:
            ConfigurationError: If the sparsifier does not suit the gradient.
        """
        self.gradient, self._line, self._encoding = gradient, line, encoding
        self._peers = CountedPeers(LinePeers(line, gradient.device))
        self._weights_N = torch.full(
            (line.ranks,), 1.0 / line.ranks, dtype=gradient.dtype, device=gradient.device
        )
        self._marks = 0
        self._message: Message | None = None
        self._exchange: Exchange | None = None
        self._arrived: Arrived | None = None
        self._start(sparsifier)

    def _start(self, sparsifier: Sparsifier) -> None:
        gradient, line = self.gradient, self._line
        placement = Placement(
            workers=range(line.rank, line.rank + 1),
            total=line.ranks,
            weights_N=self._weights_N[:1].clone(),
            shapes=gradient.shapes,
            dtype=gradient.dtype,
            device=gradient.device,
            seed=gradient.seed,
            part=gradient.part,
            peers=NoPeers() if sparsifier.splits else self._peers,
        )
        self.sparsifier, self._watched = sparsifier, watched_sparsifier(sparsifier)
        self.state = self._watched.init(placement)
        if not isinstance(self.state, State):
            raise ConfigurationError(
                f"{type(sparsifier).__name__}: its state is a {type(self.state).__name__}; in "
                "distributed training it has to be derived from regtopk_bench.sparsify.State"
            )
        facts = (
            *(record(sparsifier, lenient=True), self._encoding),
            *(gradient.shapes, gradient.dtype, gradient.part, gradient.seed),
        )
        self._agreed = zlib.crc32(repr(facts).encode())
        self._room = 0

    def begin(
        self,
        grad_J: Tensor,
        iteration: int,
        *,
        sparsifier: Sparsifier | None = None,
        marks: bytes = b"",
    ) -> int:
        """Compress this rank's gradient, and send off the message.

        If that fails, the other ranks are told instead, and `finish` raises.

        Args:
            grad_J: The gradient, (J,); it must not change before `finish`.
            iteration: Which it is, from 0, the same in all ranks.
            sparsifier: What chooses from now on: of the same kind, but with another density, say.
            marks: More bytes for all ranks, as many in each.

        Returns:
            How many bytes this rank sends, what it asked its peers included.
        """
        line, content = self._line, torch.empty(0, dtype=torch.uint8)
        self._message = self._exchange = self._arrived = None
        self._marks = len(marks)
        changed = sparsifier is not None and sparsifier is not self.sparsifier
        if changed:
            self._room = 0
        if line.failure is None:
            try:
                if sparsifier is not None and changed:
                    self._restart(sparsifier)
                self._message = self._compressed(grad_J, iteration)
                (packed,) = pack(self._message, self._encoding)
                content = torch.cat([as_bytes(marks), packed])
            except Exception as error:
                if line.told:  # by a rank that has failed, when this one asked its peers
                    return 0
                line.fail(error)
        digest = zlib.crc32(iteration.to_bytes(8), self._agreed)
        self._exchange = line.begin(content, room=self._room, digest=digest)
        if not self.sparsifier.splits:  # it may be what other ranks get as an answer of their peers
            with contextlib.suppress(Exception):  # `finish` raises it
                self._arrived = line.complete(self._exchange)
        return len(content) - len(marks) + self._peers.take_count() // line.ranks

    def finish(self, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Wait for the messages of all ranks, and learn from them.

        Args:
            out: Memory that the aggregate may take: that of the gradient, as it is over by then.

        Returns:
            The aggregate g = Σ message_n / N, (J,), with the same bits in every rank; and the marks
            of all ranks, (N, P) uint8 on the CPU.

        Raises:
            Exception: In every rank, what the lowest rank met with whose `begin` failed.
        """
        line = self._line
        if self._exchange is None:
            assert line.failure is not None
            raise line.failure
        arrived = self._arrived or line.complete(self._exchange)
        assert self._message is not None
        if self.sparsifier.splits:  # else there is no room: see `LinePeers`
            self._room = next_room(self._room, arrived.longest)
        marks_NP = torch.stack([content[: self._marks] for content in arrived.contents])
        packed = [content[self._marks :] for content in arrived.contents]
        messages = unpack(self._message, packed, self._encoding)
        aggregate_J = aggregate(messages, self._weights_N, out)
        self._learn(aggregate_J)
        return aggregate_J, marks_NP.cpu()

    def _learn(self, aggregate_J: Tensor) -> None:
        """Give the sparsifier its feedback; if it fails, all ranks are told with the next message.

        The aggregate is known by then, and other ranks go on with it.
        """
        self._peers.closed = True
        try:
            self._watched.feedback(self.state, aggregate_J)
        except Exception as error:
            if self._line.failure is None:
                self._line.fail(error)
        self._peers.closed = False

    def _restart(self, sparsifier: Sparsifier) -> None:
        before = self.state
        self._start(sparsifier)
        lay(self.state, entries_of(before), numbers_of(before))

    def _compressed(self, grad_J: Tensor, iteration: int) -> Message:
        try:
            return self._watched.compress(self.state, grad_J[None])
        except NonFiniteGradientError as error:
            where = self._line.rank, error.entries, iteration + 1
            raise NonFiniteGradientError(*where) from None
