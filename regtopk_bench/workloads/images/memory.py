"""Whether what is about to be made fits into memory."""

from __future__ import annotations

import os

from regtopk_bench.errors import ConfigurationError


def check_room(needed: int, what: str, advice: str) -> None:
    """Raise ConfigurationError if something takes more bytes of memory than this machine has."""
    present = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > present:
        raise ConfigurationError(
            f"{what} take {needed / 2**30:.1f} GiB and this machine has "
            f"{present / 2**30:.1f}: {advice}"
        )
