"""A curve in a line of text."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.:-=+*#"


def sparkline(
    values: NDArray[np.float64], low: float, high: float, width: int, unicode: bool = True
) -> str:
    """Draw `width` samples of a curve between two values that fill the height of the line."""
    if not len(values) or not high > low:
        return ""
    marks = BLOCKS if unicode else ASCII
    positions = np.linspace(0, len(values) - 1, width).round().astype(int)
    heights = np.nan_to_num((values[positions] - low) / (high - low), nan=1.0, posinf=1.0)
    steps = np.clip((heights * len(marks)).astype(int), 0, len(marks) - 1)
    return "".join(marks[step] for step in steps)
