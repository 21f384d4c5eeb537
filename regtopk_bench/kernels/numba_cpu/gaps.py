"""Ascending indices as the bits of their gaps, compiled: see `regtopk_bench.kernels.gaps`.

Threads share the blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch

from regtopk_bench.kernels.gaps import BLOCK, Array
from regtopk_bench.kernels.numba_cpu import gap_reader, gap_writer
from regtopk_bench.kernels.spread import spread

T = TypeVar("T")

_WORTH_A_THREAD = 2**6
"""Fewer blocks are finished before another thread has woken up."""


def sizes(indices_Nk: Array, counts_N: Array, index_bytes: int) -> list[int]:
    """See `regtopk_bench.kernels.gaps.sizes`."""
    found_N = np.empty(len(indices_Nk), np.int64)
    gap_writer.sizes(indices_Nk, counts_N, index_bytes, found_N)
    return list(found_N.tolist())


def write(indices_k: Array, index_bytes: int, out: Array) -> int:
    """See `regtopk_bench.kernels.gaps.write`."""
    blocks = -(-len(indices_k) // BLOCK)
    widths, maps = np.empty((2, blocks), np.uint8)

    def write_piece(first: int, last: int) -> tuple[int, int]:
        start = 2 * blocks + first * BLOCK * index_bytes  # where there is room for any
        piece = out[start : 2 * blocks + last * BLOCK * index_bytes]
        return start, int(
            gap_writer.write(indices_k, index_bytes, first, last, widths, maps, piece)
        )

    found = _over_pieces(write_piece, blocks)
    if min(size for _, size in found) < 0:
        return -1
    end = int(gap_writer.write_header(widths, maps, out))
    for start, size in found:
        if start > end:
            out[end : end + size] = out[start : start + size]
        end += size
    return end


def read(content: Array, index_bytes: int, dim: int, out: Array) -> int:
    """See `regtopk_bench.kernels.gaps.read`."""
    blocks = -(-len(out) // BLOCK)
    maps, starts = np.empty(blocks, np.uint8), np.empty(blocks, np.int64)
    end = int(gap_reader.place(content, index_bytes, len(out), maps, starts))
    if end < 0:
        return -1

    def read_piece(first: int, last: int) -> tuple[Array, int]:
        after = gap_reader.read(content, index_bytes, first, last, maps, starts, dim, out)
        return out[first * BLOCK : last * BLOCK], int(after)

    before = 0
    for piece_k, after in _over_pieces(read_piece, blocks):
        if not 0 <= after <= dim - before:
            return -1
        if before:  # each piece was read as if it were the first
            piece_k += before
        before += after
    return end


def _over_pieces(function: Callable[[int, int], T], blocks: int) -> list[T]:
    """Call a function for each thread's blocks, from a first to before a last."""
    pieces = max(1, min(torch.get_num_threads(), blocks // _WORTH_A_THREAD))
    bounds = [blocks * piece // pieces for piece in range(pieces + 1)]
    return spread(lambda piece: function(bounds[piece], bounds[piece + 1]), pieces)
