"""The memory of this machine, so that what cannot fit is refused before it is begun."""

from __future__ import annotations

import os


def present() -> int:
    """Return the bytes of memory that this machine has, free or not."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
