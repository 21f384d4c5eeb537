"""What a checkpoint of a run holds, and how processes write and read it together.

Rows of a sparsifier's state are saved in worker order, whichever process hosted them, so a run can
be resumed with a different number of processes.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.training.checkpoint import Pieces
from regtopk_bench.training.plan import Plan
from regtopk_bench.transport import Transport

_ROWS, _SHARED = "rows.", "shared."


def save(
    plan: Plan,
    finished: int,
    states: Sequence[Mapping[str, Tensor]],
    tensors: Mapping[str, Tensor],
    recorded: Mapping[str, Any] | None,
    transport: Transport,
) -> None:
    """Write a checkpoint: all processes send their rows, the one that records writes them.

    Args:
        plan: What is trained.
        finished: Rounds finished.
        states: For each chunk of the workers hosted here, the rows of the sparsifier's state.
        tensors: Tensors that are the same in every process.
        recorded: What was recorded; None in processes that do not record.
        transport: Connects the processes.
    """
    rows = _gathered(states, transport)
    if recorded is None:
        for _ in rows:
            pass
    elif plan.checkpoints:
        shared = ((f"{_SHARED}{name}", [tensor]) for name, tensor in tensors.items())
        facts = {"identity": plan.identity, **recorded}
        plan.checkpoints.save(finished, itertools.chain(shared, rows), facts)


def load(
    plan: Plan,
    checkpoint: Path,
    placed: Sequence[tuple[range, Any]],
    tensors: Mapping[str, Tensor],
) -> Mapping[str, Any]:
    """Restore the state from a checkpoint.

    Args:
        plan: What is trained.
        checkpoint: One of the plan's.
        placed: The workers hosted here, in chunks, each with a fresh state.
        tensors: Tensors that are the same in every process; filled in.

    Returns:
        The facts of the checkpoint.
    """
    assert plan.checkpoints
    found = plan.checkpoints.read(checkpoint, plan.identity)
    for name, tensor_J in found.tensors(_SHARED):
        tensors[name].copy_(tensor_J)
    rows: list[dict[str, Tensor]] = [{} for _ in placed]
    for name, rows_N in found.tensors(_ROWS):
        for own, (workers, _) in zip(rows, placed, strict=True):
            part = rows_N[workers.start : workers.stop].clone()
            own[name] = part.to(plan.workload.device)
    for own, (_, state) in zip(rows, placed, strict=True):
        plan.sparsifier.load_state_dict(state, own)
    return found.facts


def _gathered(states: Sequence[Mapping[str, Tensor]], transport: Transport) -> Iterator[Pieces]:
    """Yield the rows of all workers, in pieces: with one process, they need not be copied.

    Raises:
        ConfigurationError: If not all workers have the same rows to save.
    """
    _check_alike(states, transport)
    for name in states[0]:
        pieces = [state[name] for state in states]
        if transport.processes > 1:
            pieces = list(transport.all_gather(torch.cat(pieces)))
        yield f"{_ROWS}{name}", pieces


def _check_alike(states: Sequence[Mapping[str, Tensor]], transport: Transport) -> None:
    """Check that all chunks and processes have rows of the same names, dtypes and widths."""
    first, *others = (
        {name: [str(row.dtype), *row.shape[1:]] for name, row in state.items()} for state in states
    )
    for other in others:
        for name in sorted(first.keys() | other.keys()):
            if first.get(name) != other.get(name):
                raise ConfigurationError(
                    f'the state cannot be saved: "{name}" is not there, or not equally wide, for '
                    "all workers"
                )
    if transport.processes > 1:
        layout = hashlib.sha256(json.dumps(first, sort_keys=True).encode()).digest()
        digest_N = torch.full((len(transport.workers),), int.from_bytes(layout[:7]))
        (digests_N,) = transport.all_gather(digest_N)
        if bool((digests_N != digest_N[0]).any()):
            raise ConfigurationError(
                "the state cannot be saved: its rows are not there, or not equally wide, for all "
                "workers"
            )
