from __future__ import annotations

import math
from collections.abc import Sequence

from regtopk_bench.results.alike import ignores_seeds, made_the_same_runs
from regtopk_bench.results.summary import Group, groups
from tests.results.samples import run

FALLING, OTHER, UNKNOWN = [1.0, 0.5, 0.1], [1.0, 0.4, 0.1], [1.0, math.nan, 0.1]


def group(name: str, *gaps: Sequence[float], first: int = 0, coordination: int = 0) -> Group:
    """Return the runs of an algorithm, a seed for each course."""
    runs = [
        run(name, seed, gaps=own, coordination=coordination) for seed, own in enumerate(gaps, first)
    ]
    (found,) = groups(runs)
    return found


def test_the_same_runs_are_those_of_the_same_course_on_common_seeds() -> None:
    ours = group("topk", FALLING, UNKNOWN)
    assert made_the_same_runs(ours, group("regtopk", FALLING, UNKNOWN, coordination=8))
    assert made_the_same_runs(ours, group("regtopk", UNKNOWN, OTHER, first=1))
    assert not made_the_same_runs(ours, group("regtopk", FALLING, OTHER))


def test_seeds_are_ignored_by_what_takes_one_course_with_all_of_them() -> None:
    assert ignores_seeds(group("topk", UNKNOWN, UNKNOWN, UNKNOWN))
    assert not ignores_seeds(group("topk", FALLING, FALLING, OTHER))
