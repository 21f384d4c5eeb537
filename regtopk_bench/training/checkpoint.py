"""Checkpoints of a run: written whole or not at all, and read back only if unharmed."""

from __future__ import annotations

import hashlib
import io
import pickle
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from regtopk_bench.errors import ConfigurationError, RunError
from regtopk_bench.files import written_atomically

_MAGIC = b"regtopk-bench checkpoint 1 "
_KEPT = 2
_SUFFIX = ".checkpoint"


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run, in a folder of their own; the last two are kept."""

    folder: Path
    """Made when the first checkpoint is written."""

    every: int
    """Rounds from one checkpoint to the next, at least 1."""

    identity: str = ""
    """What the run is, in words that change when anything does that decides about its course;
    only a checkpoint with the same identity is resumed."""

    def __post_init__(self) -> None:
        """Refuse an interval that never comes."""
        if self.every < 1:
            raise ConfigurationError(f"checkpoints every {self.every} rounds: at least 1")

    def due(self, finished: int) -> bool:
        """Tell whether a checkpoint is to be written after so many rounds."""
        return finished % self.every == 0

    def save(self, finished: int, content: Mapping[str, Any]) -> None:
        """Write the state after so many rounds.

        Args:
            finished: Rounds finished.
            content: Tensors, numbers, text and lists, tuples and dictionaries of them.

        Raises:
            RunError: If it cannot be written.
        """
        serialized = io.BytesIO()
        torch.save({"identity": self.identity, "finished": finished, **content}, serialized)
        body = serialized.getbuffer()
        path = self.folder / f"round-{finished:08d}{_SUFFIX}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with written_atomically(path) as file:
                file.write(_MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n")
                file.write(body)
            for old in self._paths()[:-_KEPT]:
                old.unlink()
        except OSError as error:
            raise RunError(f"cannot write checkpoint {path}: {error.strerror}") from error

    def latest(self) -> Path | None:
        """Return the newest checkpoint, if there is any."""
        paths = self._paths()
        return paths[-1] if paths else None

    def load(self, path: Path) -> dict[str, Any]:
        """Read a checkpoint of this run.

        Raises:
            RunError: If it is damaged, naming the one before it, if there is any.
            ConfigurationError: If it belongs to another configuration.
        """
        try:
            content = _read(path)
        except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            before = [other for other in self._paths() if other < path]
            way = (
                f"remove it to go on from the one before, {before[-1].name}"
                if before
                else "remove it to start this run again"
            )
            raise RunError(f"checkpoint {path} is damaged ({error}): {way}") from error
        if content["identity"] != self.identity:
            raise ConfigurationError(
                f"checkpoint {path} is of another configuration: resume with the settings and "
                "the data that it was made with"
            )
        return content

    def remove(self) -> None:
        """Remove all of them, as when the run is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob(f"round-*{_SUFFIX}"))


def _read(path: Path) -> dict[str, Any]:
    header, newline, body = path.read_bytes().partition(b"\n")
    if not newline or not header.startswith(_MAGIC):
        raise ValueError("it has no header")
    if hashlib.sha256(body).hexdigest().encode() != header.removeprefix(_MAGIC):
        raise ValueError("its checksum is another")
    content: dict[str, Any] = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    return content
