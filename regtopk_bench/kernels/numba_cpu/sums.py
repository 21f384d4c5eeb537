"""Two sums over words, compiled: see `regtopk_bench.kernels.sums`."""

from __future__ import annotations

from typing import Any

import numpy as np

from regtopk_bench.kernels.gaps import Array
from regtopk_bench.kernels.numba_cpu.in_cache import compiled
from regtopk_bench.kernels.sums import CHUNK, PRIME


def sums(words: Array, last: int) -> tuple[int, int]:
    """See `regtopk_bench.kernels.sums.sums`."""
    plain, weighted = _sums(words, last)
    return int(plain), int(weighted)


@compiled
def _sums(words: Array, last: int) -> tuple[Any, Any]:
    plain = weighted = np.uint64(0)
    prime = np.uint64(PRIME)
    for start in range(0, len(words), CHUNK):
        count = min(CHUNK, len(words) - start)
        own = own_weighted = np.uint64(0)
        for i in range(count):
            word = np.uint64(words[np.uintp(start + i)])
            own += word
            own_weighted += word * np.uint64(np.uint32(count - i))
        weighted = (weighted + plain % prime * np.uint64(count) + own_weighted % prime) % prime
        plain += own
    plain += np.uint64(last)
    return plain & np.uint64(0xFFFFFFFF), (weighted + plain % prime) % prime
