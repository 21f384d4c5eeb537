"""Reads damaged files, one after another, in a process that may crash or hang: see files.py.

A request is a line of JSON on stdin, its reply one on stdout.
"""

from __future__ import annotations

import faulthandler
import hashlib
import json
import os
import resource
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from typer.testing import CliRunner

import regtopk_bench as rb
from regtopk_bench.cli.main import app
from regtopk_bench.errors import RegtopkBenchError
from regtopk_bench.results import Header, store
from regtopk_bench.results.journal import Journal
from regtopk_bench.workloads.images import build_model, load_images

_MEMORY_BYTES, _FILE_BYTES = 12 << 30, 1 << 30
_RUNNER = CliRunner()

Reply = dict[str, Any]
"""`code`, the exit code; `stderr` and `stdout`; `outcome`, equal if the content was; `shape`, equal
if everything was that has a checksum in any format."""


def command(*arguments: str) -> Reply:
    """Call the command line."""
    done = _RUNNER.invoke(app, arguments)
    escaped = done.exception if not isinstance(done.exception, SystemExit) else None
    stderr = done.stderr
    if escaped:
        stderr += "".join(traceback.format_exception(escaped))
    return {"code": done.exit_code, "stdout": done.stdout, "stderr": stderr}


def resumed(*arguments: str) -> Reply:
    """Call a command that trains; its outcome is what does not depend on when and where."""
    reply = command(*arguments)
    if reply["code"] == 0:
        runs = json.loads(reply["stdout"])["runs"]
        for run in runs:
            del run["execution"], run["environments"]
        reply["outcome"] = digest(json.dumps(runs).encode())
    return reply


def images(path: str, cache: str) -> Reply:
    """Load images."""
    data = load_images(Path(path), Path(cache))
    parts = (data.train, data.test)
    pixels = b"".join(part.pixels_NCHW.contiguous().numpy().tobytes() for part in parts)
    labels = [part.labels_N.tolist() for part in parts]
    sizes = [list(part.pixels_NCHW.shape) for part in parts]
    return {"outcome": digest(pixels), "shape": json.dumps([data.classes, labels, sizes])}


def checkpoint(folder: str) -> Reply:
    """Resume training from a checkpoint."""
    trace = train(Path(folder))
    return {"outcome": digest(trace.final_parameters.tobytes() + trace["gap"].tobytes())}


def train(folder: Path, rounds: int = 30, stop: int | None = None) -> rb.Trace:
    """Train a little, with a checkpoint every ten rounds."""
    return rb.simulate(
        rb.LinearRegression.synthetic(3, 30, 8, seed=1),
        rb.RegTopK(k=2, mu=1.0),
        rounds=rounds,
        learning_rate=0.02,
        momentum=0.5,
        processes=1,
        checkpoints=rb.Checkpoints(folder, every=10),
        on_round=lambda info: info.round == stop,
    )


def weights(path: str) -> Reply:
    """Build a network from stored parameters."""
    torch.manual_seed(0)
    model = build_model("cnn", classes=2, side=8, weights=path)
    values = b"".join(value.numpy().tobytes() for value in model.state_dict().values())
    return {"outcome": digest(values)}


def samples(result: str) -> Reply:
    """Make sound files in the working directory: a checkpoint, weights, and a journal.

    The journal is that of a run that was killed in its second cell.
    """
    train(Path("checkpoint"), stop=20)
    state = build_model("cnn", classes=2, side=8).state_dict()
    for name in ("weights", "oldweights"):
        Path(name).mkdir()
        recent = name == "weights"
        torch.save(state, f"{name}/weights.pt", _use_new_zipfile_serialization=recent)
    whole = store.read(Path(result))
    Path("journal").mkdir()
    with Journal.create(Path("journal"), Header(**dict(whole))) as journal:
        first, second, *_ = whole.runs
        journal.started(first.cell.key, 0, first.environments[0])
        journal.append(first)
        journal.started(second.cell.key, 0, second.environments[0])
    return {}


def digest(content: bytes) -> str:
    """Return what tells contents apart."""
    return hashlib.sha256(content).hexdigest()


_CALLS: dict[str, Callable[..., Reply]] = {
    each.__name__: each for each in (command, resumed, images, checkpoint, weights, samples)
}


def answer(name: str, arguments: list[str], folder: str) -> Reply:
    """Make a call in a folder; what the library raises is as if the program had printed it."""
    os.chdir(folder)
    reply: Reply = {"code": 0, "stdout": "", "stderr": ""}
    try:
        reply |= _CALLS[name](*arguments)
    except RegtopkBenchError as error:
        reply |= {"code": error.exit_code, "stderr": f"error: {error}\n"}
    except BaseException:
        reply |= {"code": 1, "stderr": traceback.format_exc()}
    return reply


def main() -> None:
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_BYTES, _FILE_BYTES))
    torch.set_num_threads(1)
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        print(json.dumps(answer(*json.loads(line))), file=replies, flush=True)


if __name__ == "__main__":
    main()
