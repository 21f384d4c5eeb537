"""What errors say that come from reading a foreign file."""

from __future__ import annotations

from regtopk_bench.errors import RunError
from regtopk_bench.files import system_refused


def unreadable(what: str, error: Exception, damaged: str) -> RunError:
    """Return the error to raise in place of one that came from reading a file.

    Readers raise almost anything for damage.

    Args:
        what: The file.
        error: What the reader raised.
        damaged: What to say of the file unless it was the system that could not read it.
    """
    if system_refused(error):
        return RunError(f"cannot read {what}: {error.strerror}")
    if isinstance(error, MemoryError):
        return RunError(f"cannot read {what}: there is no memory for it")
    return RunError(f"{what} {damaged}")


def reason(error: Exception) -> str:
    """Return what an error says, on one line."""
    return str(error).partition("\n")[0].rstrip(":") or type(error).__name__
