"""What errors say that come from reading a foreign file."""

from __future__ import annotations

import errno

from regtopk_bench.errors import RunError


def unreadable(what: str, error: Exception, damaged: str) -> RunError:
    """Return the error to raise in place of one that came from reading a file.

    Readers raise almost anything for damage, among it OSError without a number, or with that of
    a place before the file's beginning.

    Args:
        what: The file.
        error: What the reader raised.
        damaged: What to say of the file unless it was the system that could not read it.
    """
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        return RunError(f"cannot read {what}: {error.strerror}")
    return RunError(f"{what} {damaged}")


def reason(error: Exception) -> str:
    """Return what an error says, on one line."""
    return str(error).partition("\n")[0].rstrip(":") or type(error).__name__
