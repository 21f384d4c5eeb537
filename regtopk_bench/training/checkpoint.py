"""Checkpoints of a run: written completely or not at all, and read back only if intact.

A checkpoint is an uncompressed `.npz` archive, which NumPy reads too: an array for each tensor, and
`facts.json`. Tensors are written piece by piece and read one at a time, so saving needs hardly
any memory. Nothing in it can be executed.
"""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from regtopk_bench.arguments import shown, whole
from regtopk_bench.errors import ConfigurationError, RunError
from regtopk_bench.files import opened, system_refused, written_atomically

_FACTS = "facts.json"
_KEPT = 2
_SUFFIX = ".npz"
_NAMED = re.compile(rf"round-\d{{8,}}{re.escape(_SUFFIX)}")

Pieces = tuple[str, Sequence[Tensor]]
"""The name of a tensor, and its pieces, to be stacked in order."""


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run, in their own folder; the last two are kept.

    They stay after the run has finished, because its result may not be safe yet: call `remove`
    once it is.
    """

    folder: Path
    """Created when the first checkpoint is written."""

    every: int
    """Rounds between checkpoints, at least 1."""

    def __post_init__(self) -> None:
        """Validate folder and interval."""
        if not isinstance(self.folder, Path):
            raise ConfigurationError(f"folder of checkpoints {shown(self.folder)} is not a Path")
        object.__setattr__(self, "every", whole(self.every, "rounds between checkpoints", 1))

    def due(self, finished: int) -> bool:
        """Tell whether a checkpoint is due after this many rounds."""
        return finished % self.every == 0

    def save(self, finished: int, tensors: Iterable[Pieces], facts: Mapping[str, Any]) -> None:
        """Write the state after this many rounds.

        Args:
            finished: Rounds finished.
            tensors: Tensors by name, in pieces.
            facts: Everything else, as numbers, text, lists and dictionaries.

        Raises:
            RunError: If it cannot be written.
        """
        path = self.folder / f"round-{finished:08d}{_SUFFIX}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with written_atomically(path) as file, zipfile.ZipFile(file, "w") as archive:
                for name, pieces in tensors:
                    _write(archive, name, pieces)
                archive.writestr(_FACTS, json.dumps({"finished": finished, **facts}))
            for old in self._paths()[:-_KEPT]:
                old.unlink()
        except OSError as error:
            raise RunError(f"cannot write checkpoint {path}: {error.strerror}") from error

    def latest(self) -> Path | None:
        """Return the newest checkpoint, if there is any."""
        paths = self._paths()
        return paths[-1] if paths else None

    def finished(self) -> int:
        """Return how many rounds were finished at the newest checkpoint; 0 if there is none."""
        latest = self.latest()
        return self._round_of(latest) if latest else 0

    @staticmethod
    def _round_of(path: Path) -> int:
        """Return how many rounds were finished when a checkpoint was written."""
        return int(path.stem.removeprefix("round-"))

    def read(self, path: Path, identity: Mapping[str, Any]) -> Checkpoint:
        """Read a checkpoint of this run.

        Args:
            path: One of the folder.
            identity: Identifies the run: a checkpoint of this run has the same in its facts.

        Raises:
            RunError: If it cannot be read; or if it is damaged, naming the one before it, if any.
            ConfigurationError: If it belongs to another configuration.
        """
        try:
            found = Checkpoint(path)
        except MemoryError:
            raise
        except Exception as error:  # a damaged archive may raise anything
            if system_refused(error):
                raise RunError(f"cannot read checkpoint {path}: {error.strerror}") from error
            before = [each for each in self._paths() if self._round_of(each) < self._round_of(path)]
            way = (
                f"remove it to resume from the one before, {before[-1].name}"
                if before
                else "remove it to start this run again"
            )
            raise RunError(f"checkpoint {path} is damaged ({error}): {way}") from error
        # Compared as JSON, where a tuple is a list.
        stored, expected = found.facts.get("identity"), json.loads(json.dumps(dict(identity)))
        if stored != expected:
            raise ConfigurationError(
                f"checkpoint {path} is of another configuration{_difference(stored, expected)}: "
                "resume with the settings and the data that it was made with"
            )
        return found

    def remove(self) -> None:
        """Remove all of them."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _paths(self) -> list[Path]:
        """Return the files of this folder that `save` has named, oldest first."""
        own = (path for path in self.folder.glob("*") if _NAMED.fullmatch(path.name))
        return sorted(own, key=self._round_of)


class Checkpoint:
    """A checkpoint that was found intact.

    Attributes:
        facts: What it holds besides tensors.
    """

    def __init__(self, path: Path) -> None:
        """Open a checkpoint and compare all checksums."""
        self._path = path
        with opened(path) as file, zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
            if damaged is not None:
                raise ValueError(f"the checksum of {damaged} is another")
            self.facts: dict[str, Any] = json.loads(archive.read(_FACTS))
            self._names = [name for name in archive.namelist() if name != _FACTS]
            for name in self._names:
                with archive.open(name) as content:
                    _check_plain(content, name)

    def tensors(self, start: str) -> Iterator[tuple[str, Tensor]]:
        """Yield the tensors whose names have a prefix, named without it, one at a time."""
        with opened(self._path) as file, zipfile.ZipFile(file) as archive:
            for member in self._names:
                name = member.removesuffix(".npy")
                if name.startswith(start):
                    with archive.open(member) as content:
                        array = npy.read_array(content, allow_pickle=False)
                    yield name.removeprefix(start), torch.from_numpy(array)


def _check_plain(content: IO[bytes], name: str) -> None:
    """Check that an array holds numbers, not objects, which would have to be unpickled."""
    if npy.read_magic(content) != (1, 0):
        raise ValueError(f"{name} is of an unknown version")
    _, _, dtype = npy.read_array_header_1_0(content)
    if dtype.hasobject:
        raise ValueError(f"{name} holds objects instead of numbers")


def _write(archive: zipfile.ZipFile, name: str, pieces: Sequence[Tensor]) -> None:
    """Stack the pieces of a tensor and write them as one array."""
    arrays = [piece.detach().cpu().contiguous().numpy() for piece in pieces]
    first = arrays[0]
    header = {
        "descr": npy.dtype_to_descr(first.dtype),
        "fortran_order": False,
        "shape": (sum(map(len, arrays)), *first.shape[1:]),
    }
    with archive.open(f"{name}.npy", "w", force_zip64=True) as content:
        npy.write_array_header_1_0(content, header)
        for array in arrays:
            if array.size:
                content.write(np.ascontiguousarray(array).data.cast("B"))


def _difference(stored: Any, expected: Mapping[str, Any]) -> str:
    """Name the first fact that differs."""
    if isinstance(stored, dict):
        for name in [*expected, *stored]:
            if stored.get(name) != expected.get(name):
                return f" ({name} {stored.get(name)}, and now {expected.get(name)})"
    return ""
