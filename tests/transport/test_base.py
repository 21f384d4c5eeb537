"""Which workers each process hosts."""

from __future__ import annotations

import pytest

from regtopk_bench.transport import shards


@pytest.mark.parametrize("workers", [1, 2, 5, 20])
def test_shards_are_contiguous_and_even(workers: int) -> None:
    for processes in range(1, workers + 1):
        parts = shards(workers, processes)
        assert [n for part in parts for n in part] == list(range(workers))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
