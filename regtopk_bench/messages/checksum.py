"""A checksum of eight bytes: what structure cannot show, as a bit of a value that was flipped."""

from __future__ import annotations

import numpy as np

from regtopk_bench import kernels
from regtopk_bench.kernels.gaps import Array


def checksum(content: Array) -> Array:
    """Return the checksum of bytes, uint8 (8,): the two sums of `regtopk_bench.kernels.sums`.

    The number of bytes is added to the first: zeros that are missing at the end show, too.
    """
    whole = len(content) // 4 * 4
    words = np.require(content[:whole].view("<u4"), requirements="A")
    last = int.from_bytes(content[whole:].tobytes(), "little")
    plain, weighted = kernels.over_bytes("sums").sums(words, last)
    return np.array([(plain + len(content)) % 2**32, weighted], "<u4").view(np.uint8)
