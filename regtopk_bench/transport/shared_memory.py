"""Rows of all workers side by side in shared memory, written and read in place.

Two slots alternate: while slow processes still read one, fast ones write their next rows
into the other, so one barrier per call is enough. Each slot has a header for each process,
and room for the rows of each worker, one tensor after another.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from regtopk_bench.errors import RunError
from regtopk_bench.shared import SharedBytes
from regtopk_bench.transport.header import (
    HEADER_BYTES,
    read_header,
    write_header,
)
from regtopk_bench.transport.layout import aligned, combine, signature_of, views

_SLOTS = 2
_LAYOUTS_KEPT = 64  # messages of varying length need another one in every round


@dataclass(frozen=True)
class _Layout:
    """Where rows of one signature lie in one slot."""

    header: bytes
    mine: tuple[Tensor, ...]
    """The rows of the workers hosted here."""
    all: tuple[Tensor, ...]
    """The rows of every worker, if every process lays them out like this one."""


class Arena:
    """The rows of all workers, seen from the process that hosts some of them."""

    def __init__(self, memory: SharedBytes, parts: Sequence[range], rank: int) -> None:
        """Lay out memory that `allocate` made.

        Args:
            memory: The same bytes in every process.
            parts: The workers hosted by each process, in worker order.
            rank: Which of the processes this one is.
        """
        self._bytes, self._parts, self._rank = memory, parts, rank
        self._slot = 0
        headers = range(0, _SLOTS * len(parts) * HEADER_BYTES, HEADER_BYTES)  # where each begins
        self._headers = [headers[slot * len(parts) :][: len(parts)] for slot in range(_SLOTS)]
        content = memory.tensor(torch.uint8, (len(memory),))
        self._rows = content[headers.stop :].view(_SLOTS, parts[-1].stop, -1)
        lay_out = functools.partial(_lay_out, self._rows, parts[rank])
        self._layout = functools.lru_cache(_LAYOUTS_KEPT)(lay_out)

    @staticmethod
    def allocate(workers: int, processes: int, dim: int, itemsize: int) -> SharedBytes:
        """Return memory for the longest message, all J indices and values, or a dense row.

        Raises:
            RunError: If there is not enough.
        """
        row = dim * (torch.int64.itemsize + itemsize) + HEADER_BYTES  # and room for alignment
        size = _SLOTS * (processes * HEADER_BYTES + workers * aligned(row))
        try:
            return SharedBytes(size)
        except OSError as error:
            raise RunError(
                f"no memory for the messages of {workers} workers ({size / 2**30:.1f} GiB, "
                f"{error.strerror}): do with one process, --processes 1"
            ) from error

    def all_gather(
        self, rows: tuple[Tensor, ...], barrier: Callable[[], None]
    ) -> tuple[Tensor, ...]:
        """Write our rows, wait until all have written theirs, and return them all.

        See `regtopk_bench.transport.Transport.all_gather`.
        """
        self._slot = (self._slot + 1) % _SLOTS
        layout = self._layout(self._slot, tuple((row.dtype, row.shape) for row in rows))
        for place, row in zip(layout.mine, rows, strict=True):
            place.copy_(row)
        header, size = layout.header, len(layout.header)
        starts = self._headers[self._slot]
        self._bytes[starts[self._rank] : starts[self._rank] + size] = header
        barrier()
        # A header ends with its only newline, so one that begins with ours equals ours.
        if all(self._bytes[start : start + size] == header for start in starts):
            return layout.all
        return self._padded()

    def _padded(self) -> tuple[Tensor, ...]:
        """Combine the rows of processes that lay them out differently."""
        starts = self._headers[self._slot]
        ends = [self._bytes.find(b"\n", start) for start in starts]
        signatures = [
            read_header(self._bytes[start:end]) for start, end in zip(starts, ends, strict=True)
        ]
        rows = self._rows[self._slot]
        return combine([rows[part.start : part.stop] for part in self._parts], signatures)


def _lay_out(
    slots: Tensor,
    hosted: range,
    slot: int,
    given: tuple[tuple[torch.dtype, torch.Size], ...],
) -> _Layout:
    signature = signature_of(given, len(hosted))
    rows = slots[slot]
    return _Layout(
        header=write_header(signature),
        mine=views(rows[hosted.start : hosted.stop], signature),
        all=views(rows, signature),
    )
