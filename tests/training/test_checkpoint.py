"""A run that was stopped and resumed is the run that was not, bit for bit."""

from __future__ import annotations

import errno
import io
import os
import tracemalloc
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

import regtopk_bench as rb
from regtopk_bench.sparsify import PerLayer, State
from regtopk_bench.training import Checkpoints, checkpoint, rounds
from regtopk_bench.training.checkpoint import Checkpoint

ALGORITHMS = {
    "dense": rb.Dense(),
    "topk": rb.TopK(k=2),
    "regtopk": rb.RegTopK(k=2, mu=1.0),
    "current": rb.RegTopK(k=2, mu=1.0, denominator="current"),
    "randomk": rb.RandomK(k=2),
    "oracle": rb.Oracle(k=2),
    "per layer": PerLayer(rb.RegTopK(k=1, mu=1.0)),
}


class InLayers(rb.LinearRegression):
    """As if its parameters were those of two layers."""

    shapes = ((3,), (5,))


def train(sparsifier: rb.Sparsifier, **options: Any) -> rb.Trace:
    return rb.simulate(
        options.pop("workload", None) or InLayers.synthetic(3, 30, 8, seed=1),
        sparsifier,
        **{"rounds": 20, "learning_rate": 0.02, "momentum": 0.5, "processes": 1, **options},
    )


def stop_after(rounds: int) -> Any:
    return lambda info: info.round == rounds


def assert_same(first: rb.Trace, second: rb.Trace) -> None:
    assert np.array_equal(first.final_parameters, second.final_parameters)
    assert np.array_equal(first["gap"], second["gap"], equal_nan=True)
    assert first.summed_bytes == second.summed_bytes
    for name in ("uplink", "downlink", "coordination"):
        counted = (getattr(trace.bytes_sent, name) for trace in (first, second))
        assert np.array_equal(*counted)


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("every", [1, 3])
def test_a_resumed_run_equals_one_that_was_not_stopped(
    name: str, every: int, tmp_path: Path
) -> None:
    sparsifier, checkpoints = ALGORITHMS[name], Checkpoints(tmp_path / "run", 4)
    stopped = train(
        sparsifier, checkpoints=checkpoints, on_round=stop_after(10), evaluate_every=every
    )
    assert stopped.rounds == 10
    rounds = []
    resumed = train(
        sparsifier,
        checkpoints=checkpoints,
        evaluate_every=every,
        on_round=lambda info: rounds.append(info.round),
    )
    assert rounds == list(range(9, 21))
    assert_same(resumed, train(sparsifier, evaluate_every=every))
    assert checkpoints.folder.exists()  # until whoever has the trace says that it is safe
    checkpoints.remove()
    assert not checkpoints.folder.exists()


def test_the_callback_is_told_of_messages_before_saving_overwrites_them(tmp_path: Path) -> None:
    """Saving gathers rows of a state through the memory in which messages of a pool are."""
    seen: dict[int, list[Any]] = {1: [], 2: []}
    for processes, messages in seen.items():
        train(
            rb.TopK(k=2),
            processes=processes,
            checkpoints=Checkpoints(tmp_path / str(processes), 1),
            on_round=lambda info, to=messages: to.append(info.messages.to_dense().tolist()),
        )
    assert seen[1] == seen[2]


def test_it_can_be_resumed_with_other_processes(tmp_path: Path) -> None:
    sparsifier, checkpoints = ALGORITHMS["regtopk"], Checkpoints(tmp_path / "run", 5)
    train(sparsifier, checkpoints=checkpoints, on_round=stop_after(7), processes=2)
    train(sparsifier, checkpoints=checkpoints, on_round=stop_after(12), processes=1)
    resumed = train(sparsifier, checkpoints=checkpoints, processes=3)
    assert resumed.processes == 3
    assert_same(resumed, train(sparsifier))


def test_seconds_are_added_up(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "run", 5)
    train(rb.Dense(), checkpoints=checkpoints, on_round=stop_after(10))
    (_, newest) = sorted(checkpoints.folder.iterdir())
    before = Checkpoint(newest).facts["seconds"]
    resumed = train(rb.Dense(), checkpoints=checkpoints)
    assert all(resumed.seconds[phase] > before[phase] > 0.0 for phase in before)


def test_the_last_two_are_kept_and_nothing_else(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "run", 2)
    train(rb.TopK(k=1), checkpoints=checkpoints, on_round=stop_after(9))
    names = sorted(path.name for path in checkpoints.folder.iterdir())
    assert names == ["round-00000006.npz", "round-00000008.npz"]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "other", "method", "pipe"])
def test_a_damaged_one_is_refused_and_the_one_before_offered(damage: str, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "run", 4)
    train(rb.TopK(k=1), checkpoints=checkpoints, on_round=stop_after(10))
    newest = checkpoints.latest()
    assert newest is not None
    content = bytearray(newest.read_bytes())
    match damage:
        case "truncated":
            newest.write_bytes(content[: len(content) // 2])
        case "flipped":
            content[len(content) // 2] ^= 1
            newest.write_bytes(content)
        case "empty":
            newest.write_bytes(b"")
        case "other":
            newest.write_text("something else\n")
        case "method":  # of compression, which no version of ZIP has
            content[content.index(b"PK\x01\x02") + 10] = 77
            newest.write_bytes(content)
        case "pipe":
            newest.unlink()
            os.mkfifo(newest)
    expected = r"round-00000008.* is damaged .* remove it to resume from .* round-00000004"
    with pytest.raises(rb.RunError, match=expected):
        train(rb.TopK(k=1), checkpoints=checkpoints)
    newest.unlink()
    assert_same(train(rb.TopK(k=1), checkpoints=checkpoints), train(rb.TopK(k=1)))


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), rb.RunError, "cannot read checkpoint"),
        (OSError(errno.EMFILE, "Too many open files"), rb.RunError, "cannot read checkpoint"),
        (MemoryError("no memory left"), MemoryError, "no memory left"),
    ],
)
def test_one_that_the_system_cannot_read_is_not_to_be_removed(
    error: Exception,
    kind: type[Exception],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: Path) -> None:
        raise error

    checkpoints = Checkpoints(tmp_path / "run", 4)
    train(rb.TopK(k=1), checkpoints=checkpoints, on_round=stop_after(5))
    monkeypatch.setattr(checkpoint, "opened", fail)
    with pytest.raises(kind, match=message) as caught:
        train(rb.TopK(k=1), checkpoints=checkpoints)
    assert "remove" not in str(caught.value)


def test_other_files_are_left_alone_and_rounds_compared_as_numbers(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 4)
    names = ["round-backup.npz", "round-00000004 (copy).npz", "round-7.npz.old"]
    for name in [*names, "round-99999999.npz", "round-100000000.npz"]:
        (tmp_path / name).touch()
    assert checkpoints.latest() == tmp_path / "round-100000000.npz"
    checkpoints.save(100000001, [], {})
    left = ["round-100000000.npz", "round-100000001.npz"]
    assert {path.name for path in tmp_path.iterdir()} == {*names, *left}


def test_without_one_before_the_run_starts_again(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "run", 4)
    train(rb.TopK(k=1), checkpoints=checkpoints, on_round=stop_after(5))
    newest = checkpoints.latest()
    assert newest is not None
    newest.write_bytes(b"")
    with pytest.raises(rb.RunError, match="remove it to start this run again"):
        train(rb.TopK(k=1), checkpoints=checkpoints)


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"momentum": 0.0}, "momentum 0.5, and now 0.0"),
        ({"encoding": "compact"}, "encoding None, and now compact"),
        ({"learning_rate": 0.03}, "learning_rate 0.02, and now 0.03"),
        ({"rounds": 30}, "rounds 20, and now 30"),
        ({"seed": 5}, "seed 0, and now 5"),
        ({"initial": [0.0] * 8}, "initial None, and now"),
        ({"sparsifier": rb.RegTopK(k=1, mu=2.0)}, "sparsifier_mu 1.0, and now 2.0"),
        ({"workload": rb.LinearRegression.synthetic(3, 30, 8, seed=2)}, "workload_"),
    ],
    ids=lambda changed: next(iter(changed), "") if isinstance(changed, dict) else "",
)
def test_another_configuration_is_refused(
    changed: dict[str, Any], what: str, tmp_path: Path
) -> None:
    """Whatever decides about the run decides whether a checkpoint is of it, and is named."""
    checkpoints = Checkpoints(tmp_path / "run", 4)
    sparsifier = rb.RegTopK(k=1, mu=1.0)
    train(sparsifier, checkpoints=checkpoints, on_round=stop_after(5))
    with pytest.raises(rb.ConfigurationError, match=rf"is of another configuration \({what}"):
        train(**{"sparsifier": sparsifier, "checkpoints": checkpoints, **changed})


def test_saving_needs_no_memory_to_speak_of(tmp_path: Path) -> None:
    """Residuals are written from where they are: the peak is far below one copy of them."""
    residual = torch.zeros(40, 100_000)
    pieces = list(residual.split(10))
    tracemalloc.start()
    Checkpoints(tmp_path, 1).save(1, [("residual", pieces)], {})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < residual.nbytes / 4
    (path,) = tmp_path.iterdir()
    assert np.array_equal(np.load(path)["residual"], residual.numpy())


def test_nothing_but_plain_data_is_loaded(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path(tmp_path / "harmed").touch, ())

    checkpoints = Checkpoints(tmp_path / "run", 4)
    train(rb.TopK(k=1), checkpoints=checkpoints, on_round=stop_after(5))
    newest = checkpoints.latest()
    assert newest is not None
    with zipfile.ZipFile(newest) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    harmful = io.BytesIO()
    np.save(harmful, np.array([Evil()], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(newest, "w") as archive:
        for name, written in (content | {"shared.parameters.npy": harmful.getvalue()}).items():
            archive.writestr(name, written)
    with pytest.raises(rb.RunError, match=r"is damaged .*holds objects instead of numbers"):
        train(rb.TopK(k=1), checkpoints=checkpoints)
    assert not (tmp_path / "harmed").exists()


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file in the way")
    with pytest.raises(rb.RunError, match="cannot write checkpoint") as caught:
        train(rb.TopK(k=1), checkpoints=Checkpoints(tmp_path / "run", 4))
    assert caught.value.trace is not None
    assert caught.value.trace.rounds == 4
    assert caught.value.trace.metrics
    with pytest.raises(rb.ConfigurationError, match="at least 1"):
        Checkpoints(tmp_path, 0)


@dataclass(kw_only=True)
class UnevenState(State):
    """Whose rows depend on the worker."""

    rows_Nk: Tensor | None = None


@dataclass(frozen=True)
class Uneven(rb.Sparsifier):
    """Sends everything, and remembers more of some workers than of others."""

    splits: ClassVar[bool] = True

    widths: tuple[int | None, ...] = (None, 1, 2)
    """How much of each worker; None for nothing."""

    def init(self, placement: rb.Placement) -> UnevenState:
        return UnevenState(placement=placement)

    def compress(self, state: UnevenState, grad_NJ: Tensor) -> rb.DenseGradient:
        width = self.widths[state.placement.workers.start]
        if width is not None:
            state.rows_Nk = torch.zeros(len(grad_NJ), width)
        return rb.DenseGradient(grad_NJ)


@pytest.mark.parametrize("widths", [(None, 1, 1), (1, 2, 2), (1, None, None)])
@pytest.mark.parametrize("processes", [1, 3])
def test_a_state_that_is_not_the_same_for_all_workers_is_refused(
    widths: tuple[int | None, ...],
    processes: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rather than saved wrongly, or exchanged with what is not meant for it."""
    monkeypatch.setattr(rounds, "_CPU_ENTRIES", 1)  # a chunk for each worker
    with pytest.raises(rb.ConfigurationError, match=r"cannot be saved.*for all workers"):
        train(Uneven(widths), checkpoints=Checkpoints(tmp_path, 4), processes=processes)


def test_an_empty_row_can_be_saved(tmp_path: Path) -> None:
    checkpoints, sparsifier = Checkpoints(tmp_path, 4), Uneven((0, 0, 0))
    train(sparsifier, checkpoints=checkpoints, on_round=stop_after(6))
    assert_same(train(sparsifier, checkpoints=checkpoints), train(sparsifier))


@dataclass(kw_only=True)
class NotByWorkerState(State):
    momentum_J: Tensor


class NotByWorker(Uneven):
    def init(self, placement: rb.Placement) -> Any:
        return NotByWorkerState(placement=placement, momentum_J=torch.zeros(placement.dim))


def test_what_cannot_be_saved_is_found_before_the_first_round(tmp_path: Path) -> None:
    seen: list[int] = []
    with pytest.raises(rb.ConfigurationError, match="momentum_J cannot be saved"):
        train(
            NotByWorker(),
            checkpoints=Checkpoints(tmp_path, 4),
            on_round=lambda info: seen.append(info.round),
        )
    assert seen == []
