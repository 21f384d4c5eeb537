"""The transport of a single process."""

from __future__ import annotations

import torch

from regtopk_bench.transport import LocalTransport


def test_rows_come_back_as_they_are() -> None:
    transport = LocalTransport(3)
    rows = torch.arange(3), torch.ones(3, 2)
    gathered = transport.all_gather(*rows)
    assert transport.workers == range(3)
    assert all(given is got for given, got in zip(rows, gathered, strict=True))
