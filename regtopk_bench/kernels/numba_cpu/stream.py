"""The compression step compiled with Numba, for rows that do not fit in cache: one pass.

Guess, verify, fall back. The last round's threshold is a good guess for this round's. One pass over
memory adds the gradient, scores each entry, marks in a bitmap every score that reaches an upper
bound a little above the guess, and lists those between it and a lower bound a little below. If the
marked scores are at most k, and with the listed ones at least k, then the largest of the listed
complete the k largest of all, exactly. If not, a sample of what is stored gives new bounds, and
after that a histogram gives bounds that are certain; each costs a pass that only reads. The
marked entries are emitted, in order, at the end. At low densities everything that reaches the lower
bound is taken out in the first pass instead. The guess determines how long a step takes, never what
it selects.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.kernels.checks import check_finite
from regtopk_bench.kernels.guess import Guess
from regtopk_bench.kernels.numba_cpu.in_cache import UNUSABLE, outputs
from regtopk_bench.kernels.numba_cpu.passes import Array, can_correct
from regtopk_bench.kernels.numba_cpu.row import Row
from regtopk_bench.kernels.numba_cpu.shortlist import Shortlist

_SPARSE = 1 / 16
"""Up to this density, entries are taken out while they are in cache, and no bitmap is made."""


def step(
    residual_NJ: Tensor,
    grad_NJ: Tensor,
    k: int,
    corrected_Nk: Tensor | None,
    factors_Nk: Tensor | None,
    guesses: Sequence[Guess] | None,
    out: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """See `regtopk_bench.kernels.step`; rows one after another, threads within a row."""
    workers, residual = len(residual_NJ), residual_NJ.numpy()
    grad = np.ascontiguousarray(grad_NJ.numpy())
    indices_Nk, values_Nk = out or outputs(workers, k, residual.dtype)
    positions, values = indices_Nk.numpy(), values_Nk.numpy()
    if corrected_Nk is None or factors_Nk is None:
        corrected, factors = positions[:, :0], values[:, :0]
    else:
        corrected, factors = corrected_Nk.numpy(), factors_Nk.numpy()
    guesses = guesses or [Guess() for _ in range(workers)]
    if not (
        grad.shape == residual.shape
        and positions.shape == values.shape == (workers, k)
        and corrected.shape == factors.shape
        and len(corrected) == len(guesses) == workers
        and 1 <= k <= residual.shape[1]
        and residual.flags.c_contiguous
        and all(map(can_correct, corrected, factors, [residual.shape[1]] * workers))
    ):
        raise ConfigurationError(UNUSABLE)
    for n, guess in enumerate(guesses):
        row = Row(residual[n], k, corrected[n], factors[n])
        if not _step_row(row, grad[n], guess, positions[n], values[n]):
            check_finite(residual_NJ)
    return indices_Nk, values_Nk


def _step_row(row: Row, grad_J: Array, guess: Guess, positions_k: Array, values_k: Array) -> bool:
    """Step one row; return False if it is not finite."""
    low, high = row.guessed(guess, grad_J)
    if row.k <= _SPARSE * len(row.residual):
        shortlist = Shortlist(row)
        if shortlist.take(grad_J, low, high):
            at, finite = shortlist.emit(positions_k, values_k)
            guess.learn(row.score(at), missed=False)
            return finite
        shortlist.put_back()
        held = False
    else:
        held = row.scan(grad_J, low, high)
    if not held:
        low = row.search()
    guess.learn(row.score(row.settle(low)), missed=not held)
    return row.emit(positions_k, values_k)


def select(score_NJ: Tensor, k: int) -> Tensor:
    """See `regtopk_bench.kernels.select`."""
    scores = np.ascontiguousarray(score_NJ.numpy())
    indices_Nk, values_Nk = outputs(len(scores), k, scores.dtype)
    for score_J, positions_k, values_k in zip(
        scores, indices_Nk.numpy(), values_Nk.numpy(), strict=True
    ):
        row = Row(score_J, k, positions_k[:0], values_k[:0])
        row.settle(row.search())
        row.emit(positions_k, values_k, keep=True)
    return indices_Nk
