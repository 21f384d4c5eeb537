"""An independent reading of the published linear regression, in NumPy, for comparison.

It follows the equations that the published script computes, dense vectors and all, without
its step rollback for RegTop-k.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def train(
    x: NDArray[Any],
    y: NDArray[Any],
    theta: NDArray[Any],
    k: int,
    rounds: int,
    learning_rate: float,
    mu: float | None,
    q: float = 1e8,
) -> tuple[NDArray[Any], list[NDArray[Any]]]:
    """Return the gap after each round and every round's selections (N, k); no μ: Top-k."""
    workers, samples, dim = x.shape
    omega = 1.0 / workers
    optimum, *_ = np.linalg.lstsq(x.reshape(-1, dim), y.ravel(), rcond=None)
    error = np.zeros((workers, dim))
    mask = np.zeros((workers, dim), bool)
    previous, aggregate = np.zeros((workers, dim)), np.zeros(dim)
    gaps, selections = [], []
    for round in range(rounds):
        sent = np.zeros((workers, dim))
        for n in range(workers):
            gradient = 2.0 / samples * x[n].T @ (x[n] @ theta - y[n])
            accumulated = error[n] + gradient
            score = np.abs(accumulated)
            if mu is not None and round:
                delta = np.full(dim, q)
                j = mask[n]
                contributed = omega * previous[n, j]
                delta[j] = (aggregate[j] - contributed) / contributed
                score = score * np.tanh(np.abs(1.0 + delta) / mu)
            chosen = np.sort(np.argsort(-score, kind="stable")[:k])
            mask[n] = False
            mask[n, chosen] = True
            sent[n, chosen] = accumulated[chosen]
            error[n] = accumulated - sent[n]
            previous[n] = accumulated
        aggregate = omega * sent.sum(axis=0)
        theta = theta - learning_rate * aggregate
        gaps.append(((theta - optimum) ** 2).sum())
        selections.append(np.nonzero(mask)[1].reshape(workers, k))
    return np.array(gaps), selections
