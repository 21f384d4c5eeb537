"""Ratios of times: estimates of their geometric mean, from pairs or from samples stored before.

A ratio is head / base seconds: above 1, head is slower. Tests and intervals are on its logarithm,
on which a ratio and its inverse are equally far from 1. The sampling unit is a pair of processes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regtopk_bench.errors import ConfigurationError

_POWER = 0.95


@dataclass(frozen=True)
class Estimates:
    """Means of log ratios and what is known of their error; arrays of shape (..., rows)."""

    mean: NDArray[np.float64]
    """The mean of the logarithms: of the ratios, the geometric mean."""

    error: NDArray[np.float64]
    """Its standard error; infinite for a single sample."""

    freedom: NDArray[np.float64]
    """The degrees of freedom of that error."""

    @staticmethod
    def of(samples: NDArray[np.float64]) -> Estimates:
        """Estimate from samples of shape (..., pairs, rows), of which there is at least one."""
        pairs = samples.shape[-2]
        mean = samples.mean(axis=-2)
        freedom = np.full_like(mean, max(1, pairs - 1))
        if pairs == 1:
            return Estimates(mean, np.full_like(mean, math.inf), freedom)
        return Estimates(mean, samples.std(axis=-2, ddof=1) / math.sqrt(pairs), freedom)

    @property
    def ratio(self) -> NDArray[np.float64]:
        """The geometric mean of the ratios."""
        return np.asarray(np.exp(self.mean))

    def take(self, rows: ArrayLike) -> Estimates:
        """Return those of some rows, by index, of estimates whose shape is (rows,)."""
        at = np.asarray(rows)
        return Estimates(self.mean[at], self.error[at], self.freedom[at])

    def less(self, other: Estimates) -> Estimates:
        """Return the difference of independent means, by Welch (Biometrika 34, 1947)."""
        error = np.hypot(self.error, other.error)
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = [((mine.error / error) ** 4) / mine.freedom for mine in (self, other)]
            freedom = 1.0 / (shares[0] + shares[1])
        without = np.minimum(self.freedom, other.freedom)  # where no error, or none is known
        freedom = np.where(np.isfinite(freedom), freedom, without)
        return Estimates(self.mean - other.mean, error, freedom)

    def p_above(self, bound: float) -> NDArray[np.float64]:
        """Return p of Student's t-test, one-sided, of the mean being above a logarithm."""
        from scipy import special

        with np.errstate(invalid="ignore", divide="ignore"):
            t = (self.mean - bound) / self.error
        p = special.stdtr(self.freedom, -t)
        at_bound = (self.mean == bound) & (self.error == 0.0)
        return np.where(at_bound, 1.0, p)

    def p_below(self, bound: float) -> NDArray[np.float64]:
        """Return p of the mean being below a logarithm."""
        return Estimates(-self.mean, self.error, self.freedom).p_above(-bound)

    def interval(
        self, level: float | NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the ends of the ratio's interval; each is wrong with the probability `level`.

        An end is beyond a bound if and only if the one-sided test is significant at that level.
        """
        from scipy import special

        half_width = -special.stdtrit(self.freedom, level) * self.error
        with np.errstate(over="ignore"):
            return np.exp(self.mean - half_width), np.exp(self.mean + half_width)

    def detectable(self, margin: float, level: float) -> NDArray[np.float64]:
        """Return the slowdown that would be called slower with probability 0.95; a ratio.

        It is margin · exp(δ · error), where δ is the noncentrality at which Student's t exceeds
        its critical value with that probability, P(t_freedom(δ) > t_freedom;1-level) = 0.95: what
        as many samples with as much noise find in a single look at this level.
        """
        from scipy import special

        critical = -special.stdtrit(self.freedom, level)
        effect = special.nctdtrinc(self.freedom, 1.0 - _POWER, critical) * self.error
        with np.errstate(over="ignore"):
            return np.where(np.isfinite(effect), margin * np.exp(effect), math.inf)


def by_row(samples: Sequence[ArrayLike]) -> Estimates:
    """Estimate each row from its own samples, of any number from 1; arrays of shape (rows,).

    Raises:
        ConfigurationError: A sample is NaN or infinite, a row has none, or there is no row.
    """
    if not samples:
        raise ConfigurationError("log ratios: there is no row")
    each = [Estimates.of(finite(of_row, dimensions=1)[:, None]) for of_row in samples]
    return Estimates(
        np.concatenate([one.mean for one in each]),
        np.concatenate([one.error for one in each]),
        np.concatenate([one.freedom for one in each]),
    )


def finite(log_ratios: ArrayLike, dimensions: int) -> NDArray[np.float64]:
    """Return log ratios as an array with so many dimensions.

    Raises:
        ConfigurationError: An entry is NaN or infinite, there is none, or the shape is another.
    """
    values = np.asarray(log_ratios, dtype=np.float64)
    if values.ndim != dimensions or not values.size:
        raise ConfigurationError(f"log ratios: unexpected shape {values.shape}")
    if not np.isfinite(values).all():
        raise ConfigurationError("log ratios: expected finite numbers; was a time 0 or missing?")
    return values
