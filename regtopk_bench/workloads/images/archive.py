"""Archives of images, unpacked into a cache without trusting their contents."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import TypeVar

from regtopk_bench.errors import RegtopkBenchError, RunError
from regtopk_bench.image_cache import FILES, UNFINISHED, is_own, unpacked
from regtopk_bench.workloads.images.cache import keeping, own_folder
from regtopk_bench.workloads.images.damage import reason, unreadable
from regtopk_bench.workloads.images.tar import tar_members
from regtopk_bench.workloads.images.zip import zip_members

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".zip")

_CHECKSUM = "files.sha256"
_BLOCK = 4096
_DEEPEST = 32

OnRead = Callable[[int, int], None]
"""Called with the bytes of an archive that have been read, and their total."""

T = TypeVar("T")


def is_archive(path: Path) -> bool:
    """Tell by its name whether a file is an archive that can be unpacked."""
    return path.name.lower().endswith(SUFFIXES)


def unpack(archive: Path, cache: Path, limit: float, on_read: OnRead | None = None) -> Path:
    """Unpack an archive into a folder of the cache, and return the folder.

    It is unpacked once, and again if any of its files has changed since.

    Args:
        archive: A file whose name ends in one of `SUFFIXES`.
        cache: Folder in which all archives are unpacked.
        limit: Bytes that it may take, 4 KiB for each member besides its content.
        on_read: Called after each member, if it has to be unpacked.

    Raises:
        RunError: If the archive cannot be read, is damaged or encrypted, unpacks to more than the
            limit, has a member that is not a plain file inside the folder, or has one twice; or
            if the cache cannot be written.
    """
    home = unpacked(cache) / fingerprint(archive)
    with keeping(f"what {archive} holds", home.parent):
        own_folder(home.parent)
        with _alone_in(home.parent) as alone:
            if alone:  # what is there was left by a process that was killed
                for left in home.parent.glob(f"{UNFINISHED}*"):
                    shutil.rmtree(left, ignore_errors=True)
            if _is_whole(home):
                return home / FILES
            aside = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=home.parent))
            new = aside / "new"
            try:
                _write(archive, new / FILES, limit, on_read)
                (new / _CHECKSUM).write_text(_checksum(new / FILES))
                try:
                    new.rename(home)
                except OSError:  # another process was faster, or what is there is damaged
                    if not _is_whole(home):
                        home.rename(aside / "old")
                        new.rename(home)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
    return home / FILES


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[bool]:
    """Wait until no other process unpacks into a folder; tell whether that can be known."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            alone = True
        except OSError:  # some network file systems know no locks
            alone = False
        yield alone
    finally:
        os.close(descriptor)


def fingerprint(path: Path) -> str:
    """Return a name for a file or folder that changes when it does."""
    facts = path.stat()
    identity = f"{path.resolve()}|{facts.st_size}|{facts.st_mtime_ns}"
    return f"{path.name.split('.')[0]}-{hashlib.sha256(os.fsencode(identity)).hexdigest()[:16]}"


def _write(archive: Path, folder: Path, limit: float, on_read: OnRead | None) -> None:
    """Write all members of an archive into a new folder."""
    used = 0

    def take(size: int) -> None:
        nonlocal used
        used += size
        if used > limit:
            raise RunError(
                f"archive {archive} unpacks to more than {limit / 2**30:g} GiB: "
                "if that is right, raise --unpacked-limit"
            )

    folder.mkdir(parents=True)
    for name, content in _blamed(archive, _members(archive, on_read)):
        target = folder / _inside(archive, name)
        take(_BLOCK)
        try:
            (target if content is None else target.parent).mkdir(parents=True, exist_ok=True)
            if content is not None:
                with target.open("xb") as file:
                    for piece in _blamed(archive, content):
                        take(len(piece))
                        file.write(piece)
        except (FileExistsError, NotADirectoryError) as error:
            twice = content is not None and target.is_file()
            how = "twice" if twice else "as a file and as a folder"
            raise RunError(f"archive {archive} has {name!r} {how}") from error


def _members(archive: Path, on_read: OnRead | None) -> Iterator[tuple[str, Iterator[bytes] | None]]:
    read = zip_members if archive.name.lower().endswith(".zip") else tar_members
    size = archive.stat().st_size
    with archive.open("rb") as file:
        for member in read(archive, file):
            yield member
            if on_read:
                on_read(file.tell(), size)


def _blamed(archive: Path, read: Iterator[T]) -> Iterator[T]:
    """Pass on what is read from an archive, and say so if it is the archive that fails."""
    try:
        yield from read
    except RegtopkBenchError:
        raise
    except NotImplementedError as error:
        raise RunError(f"archive {archive} cannot be unpacked here: {reason(error)}") from error
    except Exception as error:
        damaged = f"is damaged or truncated ({reason(error)}): fetch it again"
        raise unreadable(f"archive {archive}", error, damaged) from error


def _inside(archive: Path, name: str) -> PurePosixPath:
    """Return a member's path, if it stays below the folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in "".join(path.parts[:1]):
        raise RunError(f"archive {archive} has a path that climbs out: {name!r}")
    if "\0" in name or len(path.parts) > _DEEPEST:
        raise RunError(f"archive {archive} has a path that cannot be: {name!r}")
    return path


def _is_whole(home: Path) -> bool:
    """Tell whether an archive has been unpacked, and every file is still as it was written."""
    with contextlib.suppress(OSError, ValueError):
        if is_own(home) and is_own(home / FILES) and is_own(home / _CHECKSUM):
            return (home / _CHECKSUM).read_text() == _checksum(home / FILES)
    return False


def _checksum(folder: Path) -> str:
    """Return a digest of all paths, sizes and times below a folder."""
    found = []
    for parent, folders, files in os.walk(folder):
        found += [f"{parent}/{name}/" for name in folders]
        for name in files:
            facts = os.lstat(f"{parent}/{name}")
            found.append(f"{parent}/{name}|{facts.st_size}|{facts.st_mtime_ns}")
    below = "\n".join(sorted(each.removeprefix(str(folder)) for each in found))
    return hashlib.sha256(os.fsencode(below)).hexdigest()
