"""Processes that form a process group, and run what a test gives them, each its part."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

SECONDS = 100.0
"""How long a test may take in the ranks; hangs are found so."""


class Ranks:
    """Some ranks of gloo, waiting for work."""

    def __init__(self, pipes: list[Connection]) -> None:
        self._pipes = pipes

    def __len__(self) -> int:
        return len(self._pipes)

    def run(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call a function of a module in every rank; return what each of them returns."""
        for pipe in self._pipes:
            pipe.send((function, arguments))
        answers = []
        for rank, pipe in enumerate(self._pipes):
            assert pipe.poll(SECONDS), f"rank {rank} hangs"
            answers.append(pipe.recv())
        for rank, (fine, answer) in enumerate(answers):
            assert fine, f"rank {rank}: {answer}"
        return [answer for _, answer in answers]


@contextlib.contextmanager
def ranks(count: int, store: Path) -> Iterator[Ranks]:
    """Start ranks, and end them afterwards; they are forked from a process that has imports."""
    context = multiprocessing.get_context("forkserver")
    imports = [__name__, "regtopk_bench.distributed", "torch.distributed.fsdp", "numba"]
    context.set_forkserver_preload(imports)
    pipes, processes = [], []
    for rank in range(count):
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(rank, count, str(store), theirs))
        process.start()
        pipes.append(ours)
        processes.append(process)
        theirs.close()
    try:
        yield Ranks(pipes)
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join(5.0)
            process.kill()


def _serve(rank: int, count: int, store: str, pipe: Connection) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=count)
    with contextlib.suppress(EOFError):
        while True:
            function, arguments = pipe.recv()
            torch.manual_seed(0)
            try:
                answer = True, function(*arguments)
            except Exception:
                answer = False, traceback.format_exc()
            pipe.send(answer)
    os._exit(0)  # whatever a test has left behind
