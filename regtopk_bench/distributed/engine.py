"""From the gradients of a backward pass, as they come, to their aggregate.

Gradients come in pieces, DDP's buckets. A piece that is a section is compressed and sent off when
it comes, while the backward pass goes on. The others wait for the last piece, and sections are put
together from them. After the last piece all sections are finished, in order.

FSDP2 needs the aggregate of a piece before it goes on to the next one. There all pieces are
foreseen, so that each is a section from the start, and is taken alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.futures import Future

from regtopk_bench.distributed.arrangement import Arrangement
from regtopk_bench.distributed.line import Line
from regtopk_bench.distributed.parameters import Numbers, Parameters
from regtopk_bench.distributed.resharding import VERSION, Saved, share_of
from regtopk_bench.distributed.section import Gradient, Section
from regtopk_bench.distributed.settings import Settings
from regtopk_bench.distributed.statistics import Statistics
from regtopk_bench.messages import Encoding
from regtopk_bench.sparsify import Sparsifier


@dataclass(frozen=True)
class Piece:
    """The gradients of some parameters, one after another."""

    numbers: Numbers
    gradient_J: Tensor
    marks: bytes
    """Which of the parameters this rank has used."""
    aggregated: Future[Tensor]
    """Their aggregate, once it is known."""


class Engine:
    """Compresses the gradients of every iteration.

    Attributes:
        parameters: Those whose gradients have come.
        iteration: Iterations finished.
        statistics: Bytes so far.
        failure: Why there are no aggregates of the last iteration, and will be none, if so.
    """

    def __init__(self, settings: Settings) -> None:
        """Start with nothing remembered."""
        self._settings = settings
        self.parameters = Parameters(settings.model)
        self.iteration, self.statistics = 0, Statistics()
        self._foreseen: list[Numbers] = []
        self._restart()

    def _restart(self) -> None:
        settings = self._settings
        self._arrangement = Arrangement(settings.scope, settings.seed, self.parameters)
        self.failure: Exception | None = None
        self._line: Line | None = None
        self._pieces: list[Piece] = []
        self._begun: dict[Numbers, tuple[Section, Tensor]] = {}
        self._rows: dict[Numbers, Tensor] = {}

    def foresee(self, pieces: Sequence[Sequence[Tensor]]) -> None:
        """Learn which parameters have a piece together, before any comes."""
        self._foreseen = [self.parameters.numbers(piece) for piece in pieces]

    def take(
        self,
        parameters: Sequence[Tensor],
        gradient_J: Tensor,
        marks: bytes,
        *,
        last: bool,
        alone: bool = False,
    ) -> Future[Tensor]:
        """Take a piece.

        Args:
            parameters: Whose gradients these are.
            gradient_J: The gradients, one after another. Their aggregate takes their memory.
            marks: Which of the parameters this rank has used, a byte for each.
            last: Whether it is the last piece of the iteration. Then the aggregates of all pieces
                are known when this returns, or there is a `failure`, and they are 0.
            alone: Whether the aggregate of this piece, which was foreseen, is to be known then.

        Returns:
            The aggregate of the piece, in the memory of `gradient_J`.
        """
        numbers = self.parameters.numbers(parameters)
        self.statistics.bytes_before += gradient_J.nbytes
        sparsifier = self._settings.sparsifier_at(self.iteration)
        if sparsifier is None:
            self.statistics.bytes_after += gradient_J.nbytes
            aggregated = _mean(gradient_J, self._settings.process_group)
        else:
            device = gradient_J.device
            aggregated = Future(devices=[device] if device.type == "cuda" else None)
            self._line = line = self._line or Line(self._settings.process_group, device)
            self._pieces.append(Piece(numbers, gradient_J, marks, aggregated))
            section = self._arrangement.sections.get(numbers)
            if section is not None:
                self._begin(numbers, section, gradient_J, marks, sparsifier)
            if last or alone:
                self._finish(line, sparsifier)
        if last:
            self.end()
        return aggregated

    def end(self) -> None:
        """Count an iteration as finished."""
        self.parameters.all_came()
        self.iteration += 1
        self.statistics.iterations += 1

    def _begin(
        self,
        numbers: Numbers,
        section: Section,
        gradient_J: Tensor,
        marks: bytes,
        sparsifier: Sparsifier,
    ) -> None:
        """Compress a section and send it off, unless all ranks know that there is no point."""
        if self._line is None or self._line.told:
            return
        gradient_J = gradient_J.to(section.gradient.dtype)
        self._begun[numbers] = section, gradient_J
        self.statistics.bytes_after += section.begin(
            gradient_J, self.iteration, sparsifier=sparsifier, marks=marks
        )

    def _finish(self, line: Line, sparsifier: Sparsifier) -> None:
        """Begin what waits, finish all sections, and hand over the aggregates of all pieces."""
        self.failure = line.failure if line.told else None
        aggregates: dict[Numbers, Tensor] = {}
        try:
            self._begin_waiting(line, sparsifier)
        except Exception as error:
            self._note(error, line)
        for numbers, (section, gradient_J) in self._begun.items():
            try:
                aggregates[numbers] = self._held_back(numbers, *section.finish(gradient_J))
            except Exception as error:  # others still wait for this rank's part in the rest
                self._note(error, line)
        by_number = {
            number: part
            for numbers, aggregate_J in aggregates.items()
            for number, part in self._split(numbers, aggregate_J)
        }
        for piece in self._pieces:
            if self.failure is not None:
                piece.gradient_J.zero_()
            elif piece.numbers in aggregates:
                piece.gradient_J.copy_(aggregates[piece.numbers])  # nothing, if it is there already
            else:
                parts = [by_number[number] for number in piece.numbers]
                torch.cat(parts, out=piece.gradient_J)
            piece.aggregated.set_result(piece.gradient_J)
        self._pieces, self._begun = [], {}

    def _note(self, error: Exception, line: Line) -> None:
        """Note what has failed, to be told with the next exchange unless all ranks know."""
        if line.failure is None:
            line.fail(error)
        self.failure = line.failure

    def _begin_waiting(self, line: Line, sparsifier: Sparsifier) -> None:
        """Begin the sections that are not pieces, after settling which they are."""
        waiting = [piece for piece in self._pieces if piece.numbers not in self._begun]
        if not waiting or line.told:
            return
        arrangement = self._arrangement
        came = self._foreseen or [piece.numbers for piece in self._pieces]
        if arrangement.due(came):
            self._settle(came, line, sparsifier)
        whole = {piece.numbers: piece for piece in waiting}
        parts = {
            number: (part, mark)
            for piece in waiting
            for (number, part), mark in zip(
                self._split(piece.numbers, piece.gradient_J), piece.marks, strict=True
            )
        }
        for numbers, section in arrangement.sections.items():
            if numbers in self._begun or (self._foreseen and numbers not in whole):
                continue
            if numbers in whole:
                gradient_J, marks = whole[numbers].gradient_J, whole[numbers].marks
            else:
                gradient_J = self._together(numbers, [parts[number][0] for number in numbers])
                marks = bytes(parts[number][1] for number in numbers)
            self._begin(numbers, section, gradient_J, marks, sparsifier)

    def _together(self, numbers: Numbers, parts: list[Tensor]) -> Tensor:
        """Return parts of gradients in a row, whose memory is kept for the next iteration."""
        if numbers not in self._rows:
            self._rows[numbers] = torch.cat(parts)
            return self._rows[numbers]
        return torch.cat(parts, out=self._rows[numbers])

    def _settle(self, came: Sequence[Numbers], line: Line, sparsifier: Sparsifier) -> None:
        """Make the sections that are due, and agree on them with the other ranks."""
        encoding = Encoding.named(self._settings.encoding)

        def make(gradient: Gradient) -> Section:
            return Section(sparsifier, gradient, line, encoding)

        try:
            if pending := self._arrangement.pending:  # a pickle may be that of another rank
                share_of(pending, line.rank, line.ranks)
            self._arrangement.settle(came, make)
            if self._foreseen and self._arrangement.due(came):  # they were saved in other groups
                self._arrangement.settle(came, make)
        except Exception as error:
            line.fail(error)
        self._rows = {}
        agreed = repr((self.iteration, list(self._arrangement.sections)))
        nothing = torch.empty(0, dtype=torch.uint8)
        line.complete(line.begin(nothing, room=0, digest=zlib.crc32(agreed.encode())))

    def _held_back(self, numbers: Numbers, aggregate_J: Tensor, marks_NP: Tensor) -> Tensor:
        """Hold back what was aggregated for parameters that no rank has used.

        DDP leaves their gradients as they are, so it would be lost. It is added to the aggregate of
        the next iteration in which a rank uses them.
        """
        used, held = marks_NP.any(dim=0).tolist(), self._arrangement.held
        if all(used) and not held:
            return aggregate_J
        aggregate_J = aggregate_J.clone()
        for (number, part), is_used in zip(self._split(numbers, aggregate_J), used, strict=True):
            if number in held:
                part.add_(held.pop(number).to(part.device))
            if not is_used:
                held[number] = part.clone()
                part.zero_()
        return aggregate_J

    def _split(self, numbers: Numbers, row_J: Tensor) -> list[tuple[int, Tensor]]:
        """Cut a row by parameter."""
        parts = row_J.split(self.parameters.sizes(numbers))
        return list(zip(numbers, parts, strict=True))

    def state_dict(self) -> dict[str, Any]:
        """Return all that later iterations depend on; see `SparseState.state_dict`."""
        failure = self.failure or (self._line.failure if self._line else None)
        if failure is not None:
            raise failure
        group, pending = self._settings.process_group, self._arrangement.pending
        here = {"rank": dist.get_rank(group), "ranks": dist.get_world_size(group)}
        return {
            "version": VERSION,
            "iteration": self.iteration,
            **({name: pending[name] for name in here} if pending else here),
            "statistics": asdict(self.statistics),
            **self._arrangement.saved(),
        }

    def load_state_dict(self, saved: Saved) -> None:
        """Go on from a saved state of this rank, among as many; a failure is forgotten."""
        self._restart()
        self.iteration = saved["iteration"]
        self.statistics = Statistics(**saved["statistics"])
        self._arrangement.pending = saved


def _mean(gradient_J: Tensor, group: dist.ProcessGroup | None) -> Future[Tensor]:
    """Return the mean over all ranks, which takes the place of the gradient."""
    gradient_J.div_(dist.get_world_size(group))  # first, so that the sum is not too large
    work: Any = dist.all_reduce(gradient_J, group=group, async_op=True)
    future: Future[list[Tensor]] = work.get_future()
    return future.then(lambda done: done.value()[0])
