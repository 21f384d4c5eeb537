"""Two sums over bytes, which show almost any change to them: the definition, in plain NumPy.

They are like Fletcher's (1982). The bytes are words of four, little-endian; what is left over is
filled up with zeros to a last one. The first sum is that of all words, modulo 2^32. The second adds
up the words, each times its distance from the end, 1 for the last, modulo the prime 2^32 - 5. A
change within one word always changes the first; any other leaves both as they are with a
probability of about 2^-64. A CRC takes several times as long.

`regtopk_bench.kernels.numba_cpu.sums` has the same function, compiled.
"""

from __future__ import annotations

import numpy as np

from regtopk_bench.kernels.gaps import Array

PRIME = 2**32 - 5

CHUNK = 2**12
"""Words whose weighted sum is below 2^64 whatever they are."""


def sums(words: Array, last: int) -> tuple[int, int]:
    """Return both sums of words, uint32 (n,), followed by another one."""
    plain = weighted = 0
    for start in range(0, len(words), CHUNK):
        chunk = words[start : start + CHUNK].astype(np.uint64)
        distances = np.arange(len(chunk), 0, -1, dtype=np.uint64)
        weighted += len(chunk) * plain + int(chunk @ distances)
        plain += int(chunk.sum())
    plain += last
    return plain % 2**32, (weighted + plain) % PRIME
