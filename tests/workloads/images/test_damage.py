"""Errors of the system are told from damage."""

from __future__ import annotations

import errno

import pytest

from regtopk_bench.workloads.images.damage import unreadable


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.EACCES, "Permission denied"), "cannot read weights w: Permission denied"),
        (MemoryError(), "cannot read weights w: there is no memory for it"),
        (OSError("no header"), "weights w are damaged"),
        (OSError(errno.EINVAL, "Invalid argument"), "weights w are damaged"),
        (KeyError("x"), "weights w are damaged"),
    ],
)
def test_what_cannot_be_read_is_not_called_damaged(error: Exception, message: str) -> None:
    assert str(unreadable("weights w", error, "are damaged")) == message
