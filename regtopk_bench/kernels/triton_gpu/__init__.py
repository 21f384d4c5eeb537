"""The operations on a GPU, in Triton: one pass over memory when the last threshold is a good guess.

One program per tile adds the gradient and shortlists the entries whose magnitude reaches a bound
a little below the guess. These are scored; if at least k scores reach the guess, the k
largest of them are the k largest of all. Their threshold is found digit by digit in
histograms. If the guess does not hold, the same programs read the whole row instead. The host does
not decide that, so a step needs no synchronisation and can be captured in a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
from torch import Tensor

from regtopk_bench.kernels.checks import check_finite
from regtopk_bench.kernels.guess import Guess
from regtopk_bench.kernels.reference import gather, ratio, release, scatter_sum, weighted_sum
from regtopk_bench.kernels.triton_gpu import programs

__all__ = ["gather", "ratio", "release", "scatter_sum", "select", "step", "weighted_sum"]

TILE_BYTES = 8192
"""What a program reads of a row; with 8 warps, 128-bit loads and no spills."""

_WARPS = 8
_BLOCK = 1024
_SHARED = {"enable_fp_fusion": False}  # the bits are those of a sum, not of a fused product
_SPARE_ROOM = 4096
_MOST_PROGRAMS = 1024


def step(
    residual_NJ: Tensor,
    grad_NJ: Tensor,
    k: int,
    corrected_Nk: Tensor | None = None,
    factors_Nk: Tensor | None = None,
    guesses: Sequence[Guess] | None = None,
    out: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """See `regtopk_bench.kernels.step`.

    While a CUDA graph is captured, finiteness is not checked, because that would wait for the
    device.
    """
    workers = len(residual_NJ)
    indices_Nk, values_Nk = out or (
        residual_NJ.new_empty((workers, k), dtype=torch.int64),
        residual_NJ.new_empty((workers, k)),
    )
    memory = _memory(guesses, workers, residual_NJ.device)
    control = _launch(
        residual_NJ, grad_NJ.contiguous(), corrected_Nk, factors_Nk, memory, indices_Nk, values_Nk
    )
    capturing = residual_NJ.is_cuda and torch.cuda.is_current_stream_capturing()
    if not capturing and bool(control[:, programs.SPOILT.value].any()):
        residual_NJ.scatter_(1, indices_Nk, values_Nk)
        check_finite(residual_NJ)
    return indices_Nk, values_Nk


def select(score_NJ: Tensor, k: int) -> Tensor:
    """See `regtopk_bench.kernels.select`."""
    score_NJ = score_NJ.contiguous()
    indices_Nk = score_NJ.new_empty((len(score_NJ), k), dtype=torch.int64)
    values_Nk = score_NJ.new_empty((len(score_NJ), k))
    memory = _memory(None, len(score_NJ), score_NJ.device)
    _launch(score_NJ, None, None, None, memory, indices_Nk, values_Nk)
    return indices_Nk


def _memory(guesses: Sequence[Guess] | None, workers: int, device: torch.device) -> Tensor:
    """Return a batch's memory, (N, 3), which stays on the device with its guesses."""
    if guesses is not None and guesses[0].batch is not None:
        return guesses[0].batch
    start = [0.0, Guess.drift, 0.0]
    memory = torch.tensor(start, dtype=torch.float64, device=device).repeat(workers, 1)
    for guess in guesses or ():
        guess.batch = memory
    return memory


def _launch(
    row_NJ: Tensor,
    grad_NJ: Tensor | None,
    corrected_Nk: Tensor | None,
    factors_Nk: Tensor | None,
    memory: Tensor,
    indices_Nk: Tensor,
    values_Nk: Tensor,
) -> Tensor:
    """Launch all programs of a step, or of a selection that adds and changes nothing."""
    (workers, dim), k, device = row_NJ.shape, indices_Nk.shape[1], row_NJ.device
    tile = TILE_BYTES // row_NJ.element_size()
    integers = torch.int32 if row_NJ.dtype == torch.float32 else torch.int64
    words = programs.WORDS.value + programs.BINS.value
    scratch = torch.zeros(workers * words, dtype=torch.int64, device=device)
    control = scratch[: workers * programs.WORDS.value].view(workers, -1)
    histogram = scratch[workers * programs.WORDS.value :]
    tiles, room = triton.cdiv(dim, tile), min(dim, 4 * k + _SPARE_ROOM)
    tile_base, tile_count, tile_above, tile_equal = torch.empty(
        (4, workers, tiles), dtype=torch.int64, device=device
    )
    positions = torch.empty(workers * room, dtype=torch.int64, device=device)
    values = row_NJ.new_empty(workers * room)
    scores = torch.empty(workers * room, dtype=integers, device=device)

    corrected = corrected_Nk is not None and factors_Nk is not None and corrected_Nk.numel() > 0
    if corrected_Nk is None or factors_Nk is None or not corrected:
        corrections = (indices_Nk, values_Nk, 0, 0)  # never read
    else:
        count = corrected_Nk.shape[1]
        steps = count.bit_length()
        corrections = (corrected_Nk.contiguous(), factors_Nk.contiguous(), count, steps)
    shortlist = (tile_base, tile_count, positions, values, scores, room)
    tiled = {"BLOCK": tile, "num_warps": _WARPS, **_SHARED}
    blocked = {"CORRECTED": corrected, "BLOCK": _BLOCK, **_SHARED}
    one, all_tiles = (1, workers), (tiles, workers)

    programs.prepare[one](control, memory, row_NJ, corrections[1], corrections[2], **blocked)
    programs.stream[all_tiles](
        row_NJ, row_NJ if grad_NJ is None else grad_NJ, dim, control,
        tile_base, tile_count, positions, values, room,
        ACCUMULATE=grad_NJ is not None, **tiled,
    )  # fmt: skip
    programs.score[(triton.cdiv(room, _BLOCK), workers)](
        control, positions, values, scores, room, *corrections, **blocked
    )
    programs.verify[one](control, room, k, **_SHARED)
    parts = (min(_MOST_PROGRAMS, triton.cdiv(dim, _BLOCK)), workers)
    known = 8 * row_NJ.element_size() - 1
    while known > 0:
        shift = max(0, known - programs.DIGIT.value)
        programs.digits[parts](
            control, histogram, row_NJ, dim, scores, room, *corrections, known, shift, **blocked
        )
        programs.pick[one](control, histogram, shift, **_SHARED)
        known = shift
    programs.count_selected[all_tiles](
        control, row_NJ, dim, *shortlist, *corrections, tile_above, tile_equal,
        CORRECTED=corrected, **tiled,
    )  # fmt: skip
    programs.scan[one](control, memory, row_NJ, tile_above, tile_equal, tiles, **tiled)
    programs.emit[all_tiles](
        control, row_NJ, dim, *shortlist, *corrections, tile_above, tile_equal,
        indices_Nk, values_Nk, k, CORRECTED=corrected, KEEP=grad_NJ is None, **tiled,
    )  # fmt: skip
    return control
