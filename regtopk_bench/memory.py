"""The memory of this machine, so that what cannot fit is refused before it is begun."""

from __future__ import annotations

import os

from regtopk_bench.errors import ConfigurationError


def present() -> int:
    """Return the bytes of memory that this machine has, free or not."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_room(needed: int, what: str, advice: str) -> None:
    """Raise ConfigurationError if something takes more bytes of memory than this machine has."""
    if needed > present():
        raise ConfigurationError(
            f"{what} take {needed / 2**30:.1f} GiB and this machine has "
            f"{present() / 2**30:.1f}: {advice}"
        )
