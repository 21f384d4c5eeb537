"""Every image goes to one worker, whatever the partition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regtopk_bench import ConfigurationError
from regtopk_bench.workloads.images import partition, skew

HOW = ("iid", "iid-unequal", "dirichlet:0.5", "dirichlet:100", "shards")


@given(
    st.sampled_from(HOW),
    st.integers(1, 6),
    st.integers(1, 5),
    st.integers(0, 99),
    st.integers(2, 9),
)
def test_partitions_deal_out_everything_once(
    how: str, workers: int, batch: int, seed: int, classes: int
) -> None:
    labels = np.random.default_rng(seed).integers(0, classes, 600)
    shares = partition(labels, workers, how, batch=batch, seed=seed)
    assert len(shares) == workers
    assert np.array_equal(np.sort(np.concatenate(shares)), np.arange(600))
    assert min(map(len, shares)) >= batch
    again = partition(labels, workers, how, batch=batch, seed=seed)
    for share, same in zip(shares, again, strict=True):
        assert np.array_equal(share, same)
        assert bool((np.diff(share) > 0).all())
    assert 0.0 <= skew(labels, shares) < 1.0
    if how == "iid":
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_skew_tells_partitions_apart() -> None:
    labels = np.repeat(np.arange(10), 500)
    by_how = {how: skew(labels, partition(labels, 8, how, batch=20, seed=3)) for how in HOW}
    assert by_how["iid"] < by_how["dirichlet:0.5"] < by_how["shards"]
    assert by_how["iid"] < 0.1
    assert by_how["shards"] > 0.6
    whole = [np.arange(len(labels))]
    assert skew(labels, whole) == 0.0
    one_class_each = [np.flatnonzero(labels == label) for label in range(10)]
    assert skew(labels, one_class_each) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("how", "workers", "batch", "message"),
    [
        ("iid", 0, 1, "workers 0 is not at least 1"),
        ("iid-unequal", 2, 0, "batch 0 is not at least 1"),
        ("iid", 101, 1, "101 workers cannot share 100 images"),
        ("iid", 10, 11, "not a batch of 11 for each of 10"),
        ("dirichlet", 2, 1, "needs a number above 0"),
        ("dirichlet:0", 2, 1, "needs a number above 0"),
        ("dirichlet:much", 2, 1, "needs a number above 0"),
        ("dirichlet:nan", 2, 1, "needs a number above 0"),
        ("dirichlet:1e308", 2, 1, "too large to draw from: lower ALPHA"),
        ("dirichlet:0.01", 10, 9, "leaves a worker with fewer than 9 images"),
        ("iid:2", 2, 1, 'unknown partition "iid:2"'),
        ("random", 2, 1, "known: iid, iid-unequal, dirichlet:ALPHA, shards"),
    ],
)
def test_what_cannot_be_dealt_out(how: str, workers: int, batch: int, message: str) -> None:
    labels = np.arange(100) % 10
    with pytest.raises(ConfigurationError, match=message):
        partition(labels, workers, how, batch=batch, seed=0)
