"""How each process describes its rows, for the others to read them as they were written.

A header is one line of JSON: data type and shape of every tensor, without the number of workers,
which every process knows. Headers that are equal byte for byte describe rows laid out alike.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import torch

from regtopk_bench.errors import RunError

HEADER_BYTES = 2**17
"""Room for the header of one process: some thousands of tensors, three for each layer of a deep
network. Memory that is never written costs nothing."""

Signature = tuple[tuple[torch.dtype, tuple[int, ...]], ...]
"""Data type and shape of what each worker sends, tensor by tensor."""


def write_header(signature: Signature) -> bytes:
    """Return the header of rows.

    Raises:
        RunError: If there are too many tensors to describe.
    """
    kinds = [[str(dtype).removeprefix("torch."), shape] for dtype, shape in signature]
    header = json.dumps(kinds, separators=(",", ":")).encode() + b"\n"
    if len(header) > HEADER_BYTES:
        raise RunError(
            f"{len(signature)} tensors are too many for one exchange: their shapes take "
            f"{len(header):,} bytes, and at most {HEADER_BYTES:,} fit; concatenate some"
        )
    return header


def read_header(header: bytes) -> Signature:
    """Return what a header describes."""
    return tuple((getattr(torch, dtype), tuple(shape)) for dtype, shape in json.loads(header))


def check_compatible(signatures: Sequence[Signature]) -> None:
    """Check that the rows of all processes can be stacked.

    Args:
        signatures: The signature of each process's rows, in process order.

    Raises:
        RunError: If they differ in more than their second dimensions. Every process that asks
            gets the same text.
    """
    first = signatures[0]
    for process, other in enumerate(signatures[1:], start=1):
        if len(first) != len(other):
            raise RunError(
                f"the processes exchange different rows: process 0 gives {_tensors(len(first))} "
                f"and process {process} gives {_tensors(len(other))}"
            )
        for number, (ours, theirs) in enumerate(zip(first, other, strict=True), start=1):
            if _fixed(*ours) != _fixed(*theirs):
                raise RunError(
                    f"the processes exchange different rows: tensor {number} of {len(first)} is "
                    f"{_kind(*ours)} in process 0 and {_kind(*theirs)} in process {process}; "
                    "only the second dimension may differ"
                )


def _fixed(dtype: torch.dtype, shape: tuple[int, ...]) -> tuple[object, ...]:
    """Return what all processes must agree on."""
    return dtype, len(shape), shape[1:]


def _kind(dtype: torch.dtype, shape: tuple[int, ...]) -> str:
    sizes = ", ".join(["n", *map(str, shape)])
    return f"{str(dtype).removeprefix('torch.')} ({sizes})"


def _tensors(count: int) -> str:
    return f"{count} tensor" + ("" if count == 1 else "s")
