"""The cache of images: where everything in it lies, what it takes, and how it is cleared.

    cifar10/    what was fetched
    unpacked/   a folder for each archive
    decoded/    pixels in `.npy` files, each with its checksum

Whatever else lies there is left alone. Nothing here imports PyTorch.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from regtopk_bench.errors import ConfigurationError, RunError

FILES = "files"
"""In the folder of an archive: what was unpacked."""

CIFAR10 = "cifar-10-batches-py"
"""The folder of CIFAR-10's own files."""

UNFINISHED = ".unpacking-"
"""Begins the name of a folder in which an archive is being unpacked."""

_OWN = {
    "fetched": ("cifar10", r"cifar-10-(python\.tar\.gz|batches-py)"),
    "unpacked": ("unpacked", rf".+-[0-9a-f]{{16}}|{re.escape(UNFINISHED)}.+"),
    "decoded": ("decoded", r"\.?[0-9a-f]{24}\.(npy|sha256)(\.\d+)?"),
}


def fetched(cache: Path) -> Path:
    """Return the folder for CIFAR-10."""
    return cache / _OWN["fetched"][0]


def unpacked(cache: Path) -> Path:
    """Return the folder for archives."""
    return cache / _OWN["unpacked"][0]


def decoded(cache: Path, identity: str) -> Path:
    """Return the file for decoded images, given a digest of what they are, in hexadecimal."""
    return cache / _OWN["decoded"][0] / f"{identity[:24]}.npy"


def is_own(path: Path) -> bool:
    """Tell whether something in the cache is a file or a folder, not a link, of a trusted user.

    That is this one, root, or whoever owns the folder that it is in.

    Raises:
        OSError: If it does not exist.
    """
    facts = path.lstat()
    plain = stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)
    return plain and facts.st_uid in (0, os.geteuid(), path.parent.stat().st_uid)


@dataclass(frozen=True)
class Kept:
    """What of one kind is kept."""

    kind: str
    """"fetched", "unpacked" or "decoded"."""

    folder: Path

    items: list[Path]
    """Files and folders that this program has made, and nothing else."""

    @property
    def size(self) -> int:
        """Bytes, those of what another process removes meanwhile left out."""
        return sum(map(_size, self.items))


def contents(cache: Path) -> list[Kept]:
    """Return what is kept, by kind; a kind of which there is nothing has no items.

    Raises:
        RunError: If the cache cannot be read.
    """
    try:
        return [
            Kept(kind, cache / name, sorted(_items(cache / name, re.compile(pattern))))
            for kind, (name, pattern) in _OWN.items()
        ]
    except OSError as error:
        raise RunError(f"cannot read {error.filename or cache}: {error.strerror}") from error


def clear(cache: Path) -> int:
    """Remove what is kept, and return how many bytes it took.

    A process that uses decoded images goes on using them.

    Raises:
        ConfigurationError: If another process is unpacking an archive.
        RunError: If something cannot be removed.
    """
    freed = 0
    try:
        with _nobody_unpacks(unpacked(cache)):
            for kept in contents(cache):
                for item in kept.items:
                    size = _size(item)
                    shutil.rmtree(item) if item.is_dir() else item.unlink(missing_ok=True)
                    freed += size
    except OSError as error:
        raise RunError(f"cannot remove {error.filename or cache}: {error.strerror}") from error
    return freed


def _items(folder: Path, own: re.Pattern[str]) -> Iterator[Path]:
    if not folder.is_dir() or not is_own(folder):
        return
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # by another process
            if own.fullmatch(path.name) and is_own(path) and _is_whole_or_left(folder, path):
                yield path


def _is_whole_or_left(folder: Path, path: Path) -> bool:
    """Tell whether something has what its kind has inside, or was left by a killed process."""
    return (
        folder.name != _OWN["unpacked"][0]
        or path.name.startswith(UNFINISHED)
        or (path / FILES).is_dir()
    )


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder."""
    found = [path] if not path.is_dir() else []
    found += [Path(parent, name) for parent, _, names in os.walk(path) for name in names]
    total = 0
    for each in found:
        with contextlib.suppress(FileNotFoundError):
            total += each.lstat().st_size
    return total


@contextlib.contextmanager
def _nobody_unpacks(folder: Path) -> Iterator[None]:
    """Keep other processes from unpacking for a while; they wait."""
    if not folder.is_dir():
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems know no locks
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigurationError(
                    f"another process is unpacking in {folder}: wait until it has ended"
                ) from None
        yield
    finally:
        os.close(descriptor)
