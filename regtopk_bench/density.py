"""How many entries a density keeps: the rule, for sparsifiers and for reports."""

from __future__ import annotations

import math


def entries_kept(density: float, dim: int) -> int:
    """Return k = max(1, ⌊ρJ⌋)."""
    return max(1, math.floor(_whole(density * dim)))


def _whole(product: float) -> float:
    """Undo the rounding that turns 0.29 · 100 into 28.999999999999996."""
    nearest = round(product)
    return nearest if math.isclose(product, nearest, rel_tol=1e-12) else product
