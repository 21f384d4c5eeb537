"""`all_gather` through shared memory: every row, in worker order, or an error everywhere."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import regtopk_bench as rb
from regtopk_bench.transport import Transport, open_pool

# What a process gives, as a function of the workers it hosts.
Rows = Callable[[range], tuple[Tensor, ...]]


def _gather(transport: Transport, calls: list[Rows]) -> list[tuple[Tensor, ...]]:
    """Gather rows in several calls, and keep copies of what comes back."""
    gathered = []
    for rows in calls:
        got = transport.all_gather(*rows(transport.workers))
        gathered.append(tuple(tensor.clone() for tensor in got))
    return gathered


def _save(folder: Path, calls: list[Rows], transport: Transport) -> None:
    torch.save(_gather(transport, calls), folder / f"{transport.workers.start}")


def gather(
    calls: list[Rows], folder: Path, workers: int, processes: int
) -> list[tuple[Tensor, ...]]:
    """Gather in all processes of a pool, see that they got the same, and return it."""
    job = functools.partial(_save, folder, calls)
    with open_pool(workers, processes, dim=50, itemsize=8, job=job) as transport:
        gathered = _gather(transport, calls)
    saved = list(folder.iterdir())
    assert len(saved) == processes - 1
    for file in saved:
        for ours, theirs in zip(gathered, torch.load(file), strict=True):
            for one, other in zip(ours, theirs, strict=True):
                assert one.dtype == other.dtype
                assert torch.equal(one, other)
    return gathered


def _alike(width: int, workers: range) -> tuple[Tensor, ...]:
    """Tell worker, column and width, in tensors of several kinds."""
    mine = torch.tensor(workers)
    wide = (mine[:, None] * 1000 + torch.arange(width) + width).float()
    tall = mine[:, None, None].expand(-1, 2, 3).double() + width
    return mine + width, wide, tall


def test_every_row_comes_in_worker_order(tmp_path: Path) -> None:
    widths = [1, 4, 0, 4, 2, 50] * 3
    calls: list[Rows] = [functools.partial(_alike, width) for width in widths]
    for width, (ids, wide, tall) in zip(widths, gather(calls, tmp_path, 5, 3), strict=True):
        assert ids.tolist() == [n + width for n in range(5)]
        assert wide.shape == (5, width)
        for n in range(5):
            assert wide[n].tolist() == [n * 1000 + i + width for i in range(width)]
        assert bool((tall == torch.arange(5)[:, None, None] + width).all())


def _ragged(widths: dict[int, int], workers: range) -> tuple[Tensor, ...]:
    """Give rows as long as `widths` says for the first worker of the process."""
    mine, width = torch.tensor(workers), widths[workers.start]
    columns = torch.arange(width)
    wide = mine[:, None] * 100 + columns + 1
    deep = (wide[:, :, None] + torch.zeros(2)).float()
    return mine, wide, deep, mine.double()


@pytest.mark.parametrize("widths", [(3, 1, 5), (0, 2, 1), (4, 0, 0), (2, 2, 1)])
def test_shorter_rows_are_padded_with_zeros(widths: tuple[int, ...], tmp_path: Path) -> None:
    starts = dict(zip((0, 1, 3), widths, strict=True))  # 5 workers in 3 processes: 1, 2 and 2
    of_worker = [widths[0], widths[1], widths[1], widths[2], widths[2]]
    calls: list[Rows] = [
        functools.partial(_alike, 7),  # leaves other bits where rows are padded
        functools.partial(_ragged, starts),
        functools.partial(_alike, 7),
        functools.partial(_ragged, starts),
    ]
    gathered = gather(calls, tmp_path, 5, 3)
    for ids, wide, deep, doubles in (gathered[1], gathered[3]):
        assert ids.tolist() == doubles.tolist() == list(range(5))
        assert wide.shape == (5, max(widths))
        assert deep.shape == (5, max(widths), 2)
        for n, width in enumerate(of_worker):
            row = [n * 100 + i + 1 for i in range(width)] + [0] * (max(widths) - width)
            assert wide[n].tolist() == row
            assert deep[n].tolist() == [[entry, entry] for entry in row]


def _trade_places(transport: Transport) -> list[list[int]]:
    """Give what a call returned for the other process's workers to the next call, uncopied."""
    start = 2 - transport.workers.start
    rows: Tensor = torch.tensor(transport.workers)
    results = []
    for _ in range(6):
        (gathered,) = transport.all_gather(rows)
        results.append(gathered.tolist())
        rows = gathered[start : start + 2]
    return results


def _trade(transport: Transport) -> None:
    _trade_places(transport)


def test_what_a_call_returned_can_be_given_to_the_next() -> None:
    with open_pool(4, 2, dim=50, itemsize=8, job=_trade) as transport:
        results = _trade_places(transport)
    assert results == [[0, 1, 2, 3], [2, 3, 0, 1]] * 3


# Rows that cannot be put together: the first process gives `GIVEN`, one of the others something
# else, and each is told the same.

GIVEN = ((torch.float32, (3, 2)), (torch.int64, ()))
Kinds = tuple[tuple[torch.dtype, tuple[int, ...]], ...]


def _outcome(odd: Kinds, transport: Transport) -> str:
    """Gather, and return the error's text."""
    kinds = odd if transport.workers.start == 1 else GIVEN
    rows = [torch.ones(len(transport.workers), *shape, dtype=dtype) for dtype, shape in kinds]
    try:
        transport.all_gather(*rows)
    except rb.RunError as error:
        return str(error)
    return "no error"


def _write_outcome(folder: Path, odd: Kinds, transport: Transport) -> None:
    (folder / f"{transport.workers.start}").write_text(_outcome(odd, transport))


@pytest.mark.parametrize(
    ("odd", "difference"),
    [
        (GIVEN[:1], r"process 0 gives 2 tensors and process 1 gives 1 tensor$"),
        ((), r"process 0 gives 2 tensors and process 1 gives 0 tensors$"),
        (
            ((torch.int32, (3, 2)), GIVEN[1]),
            r"tensor 1 of 2 is float32 \(n, 3, 2\) in process 0 and int32 \(n, 3, 2\) in process 1",
        ),
        (
            ((torch.float32, (3, 1)), GIVEN[1]),
            r"float32 \(n, 3, 2\) in process 0 and float32 \(n, 3, 1\) in process 1",
        ),
        (
            ((torch.float32, (6,)), GIVEN[1]),
            r"float32 \(n, 3, 2\) in process 0 and float32 \(n, 6\) in process 1",
        ),
        (
            (GIVEN[0], (torch.int64, (1,))),
            r"tensor 2 of 2 is int64 \(n\) in process 0 and int64 \(n, 1\) in process 1",
        ),
    ],
)
def test_rows_that_differ_otherwise_are_refused_in_every_process(
    odd: Kinds, difference: str, tmp_path: Path
) -> None:
    job = functools.partial(_write_outcome, tmp_path, odd)
    with open_pool(3, 3, dim=50, itemsize=8, job=job) as transport:
        outcome = _outcome(odd, transport)
    with pytest.raises(rb.RunError, match=difference):
        raise rb.RunError(outcome)
    assert [file.read_text() for file in tmp_path.iterdir()] == [outcome] * 2


def _nothing(transport: Transport) -> None:
    pass


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([torch.zeros(2, 10**6)], r"too long .*: 4,000,\d{3} bytes, and at most 131,\d{3} fit"),
        ([torch.zeros(3, 5)], r"hosts 2 workers exchanges a tensor of shape \(3, 5\)"),
        ([torch.zeros(1, 5)], r"its first dimension must be 2"),
        ([torch.tensor(1.0)], r"a tensor of shape \(\)"),
        ([torch.zeros(2)] * 20_000, r"20000 tensors are too many"),
    ],
)
def test_rows_that_no_other_process_could_match_are_refused(rows: list[Tensor], error: str) -> None:
    with (
        pytest.raises(rb.RunError, match=error),
        open_pool(4, 2, dim=50, itemsize=8, job=_nothing) as transport,
    ):
        transport.all_gather(*rows)


def _too_long(transport: Transport) -> None:
    transport.all_gather(torch.zeros(len(transport.workers), 10**6))


def test_rows_too_long_in_another_process_end_the_pool() -> None:
    with (
        pytest.raises(rb.RunError, match="too long to exchange"),
        open_pool(4, 2, dim=50, itemsize=8, job=_too_long) as transport,
    ):
        transport.all_gather(torch.zeros(2, 3))
