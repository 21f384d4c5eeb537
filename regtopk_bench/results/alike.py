"""Whether runs took the same course, bit for bit."""

from __future__ import annotations

import numpy as np

from regtopk_bench.results.schema import BYTES, Run
from regtopk_bench.results.summary import Group


def made_the_same_runs(first: Group, second: Group) -> bool:
    """Tell whether two configurations took the same course with every seed that both have."""
    ours, theirs = first.counted, second.counted
    return all(_alike(ours[seed], theirs[seed]) for seed in ours if seed in theirs)


def ignores_seeds(group: Group) -> bool:
    """Tell whether a configuration took the same course with all of its seeds."""
    first, *others = group.counted.values()
    return all(_alike(first, other) for other in others)


def _alike(one: Run, other: Run) -> bool:
    """Tell whether two runs took the same course, whatever they sent to take it."""
    names = (one.traces.keys() & other.traces.keys()) - set(BYTES)
    return bool(names) and all(
        np.array_equal(
            np.array(one.traces[name], dtype=np.float64),
            np.array(other.traces[name], dtype=np.float64),
            equal_nan=True,
        )
        for name in names
    )
