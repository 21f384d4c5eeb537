"""The least-squares solution over all workers' data: the point that training should approach."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regtopk_bench.errors import ConfigurationError

DIRECT_DIM = 3000
"""Up to this many parameters, the normal equations are solved directly; above, LSMR is used."""

_RANK_TOLERANCE = 1e-12
_LSMR_TOLERANCE = 1e-15
_LSMR_ATTEMPTS = ((1, 1e8), (10, 0.0))
"""How many iterations, as a multiple of the matrix's smaller side, and the condition number at
which to stop earlier; 0 for never."""
_LSMR_CONVERGED = (0, 1, 2, 4, 5)
"""The stop codes that mean success, not a limit on condition number or iterations."""

_Product = Callable[[NDArray[Any]], NDArray[Any]]


def least_squares(
    features_NDJ: Tensor, targets_ND: Tensor, weights_N: Tensor
) -> NDArray[np.float64]:
    """Return θ*, the minimiser of Σ ω_n ‖X_n θ - y_n‖² / D, and the shortest if there are many.

    Args:
        features_NDJ: X, float32 or float64.
        targets_ND: y, in the same dtype.
        weights_N: ω, (N,) float64.

    Returns:
        θ*, (J,).

    Raises:
        ConfigurationError: If products of features overflow, or if there are more than
            `DIRECT_DIM` parameters and LSMR does not converge.
    """
    if features_NDJ.shape[2] > DIRECT_DIM:
        return _solve_iteratively(features_NDJ, targets_ND, weights_N)
    return _solve_directly(features_NDJ, targets_ND, weights_N)


def _solve_directly(
    features_NDJ: Tensor, targets_ND: Tensor, weights_N: Tensor
) -> NDArray[np.float64]:
    """Solve the normal equations in float64, with one step of refinement."""
    _, samples, dim = features_NDJ.shape
    normal_JJ = torch.zeros(dim, dim, dtype=torch.float64)
    right_J = torch.zeros(dim, dtype=torch.float64)
    for x, y, share in zip(features_NDJ, targets_ND, weights_N, strict=True):
        scaled = x.double() * (share / samples)
        normal_JJ += scaled.T @ x.double()
        right_J += scaled.T @ y.double()
    normal, right = normal_JJ.numpy(), right_J.numpy()
    if not (np.isfinite(normal).all() and np.isfinite(right).all()):
        raise ConfigurationError("features or targets are so large that their products overflow")
    eigenvalues = np.linalg.eigvalsh(normal)
    if eigenvalues[0] < _RANK_TOLERANCE * eigenvalues[-1]:  # the shortest of the solutions
        inverse = np.linalg.pinv(normal, rcond=_RANK_TOLERANCE, hermitian=True)
        return np.asarray(inverse @ right)
    solution = np.linalg.solve(normal, right)
    return np.asarray(solution + np.linalg.solve(normal, right - normal @ solution))


def _solve_iteratively(
    features_NDJ: Tensor, targets_ND: Tensor, weights_N: Tensor
) -> NDArray[np.float64]:
    """Find θ* with LSMR (Fong & Saunders, arXiv 1006.0758), which needs no J × J matrix.

    A second attempt starts from the result of the first, with more iterations and no limit on
    the condition number. Both stay in the features' row space, where the shortest solution is.
    """
    from scipy.sparse.linalg import LinearOperator, lsmr  # slow to import

    workers, samples, dim = features_NDJ.shape
    forward, backward = _products(features_NDJ, weights_N)
    operator = LinearOperator(
        (workers * samples, dim), matvec=forward, rmatvec=backward, dtype=np.float64
    )
    right = (targets_ND.double() * _scale(weights_N, samples)).numpy().ravel()
    allowed = math.sqrt(torch.finfo(features_NDJ.dtype).eps) * np.linalg.norm(backward(right))
    solution = None
    for patience, condition in _LSMR_ATTEMPTS:
        solution, stop, *_ = lsmr(
            operator,
            right,
            atol=_LSMR_TOLERANCE,
            btol=_LSMR_TOLERANCE,
            conlim=condition,
            maxiter=patience * min(operator.shape),
            x0=solution,
        )
        # LSMR only estimates its gradient; whether it vanishes is computed from the data.
        gradient_J = backward(right - forward(solution))
        if stop in _LSMR_CONVERGED and np.linalg.norm(gradient_J) <= allowed:
            return np.asarray(solution)
    raise ConfigurationError(
        f"the least-squares solution for {dim} parameters was not found, because their features "
        "are nearly dependent: scale them, use float64, or change the number of samples"
    )


def _products(features_NDJ: Tensor, weights_N: Tensor) -> tuple[_Product, _Product]:
    """Return the products with A and Aᵀ, where A's rows are √(ω_n / D) x of all samples."""
    workers, samples, dim = features_NDJ.shape
    scale_N1, dtype = _scale(weights_N, samples), features_NDJ.dtype

    def forward(theta_J: NDArray[Any]) -> NDArray[Any]:
        theta = torch.from_numpy(theta_J.ravel()).to(dtype)
        return ((features_NDJ @ theta).double() * scale_N1).numpy().ravel()

    def backward(error: NDArray[Any]) -> NDArray[Any]:
        rows_ND = torch.from_numpy(error).view(workers, samples) * scale_N1
        return (rows_ND.to(dtype).view(-1) @ features_NDJ.view(-1, dim)).double().numpy()

    return forward, backward


def _scale(weights_N: Tensor, samples: int) -> Tensor:
    return (weights_N / samples).sqrt()[:, None]
