"""Archives of images, unpacked into a cache without trusting their contents."""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from regtopk_bench.errors import RunError

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".zip")

_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError)


def is_archive(path: Path) -> bool:
    """Tell by its name whether a file is an archive that can be unpacked."""
    return path.name.lower().endswith(SUFFIXES)


def unpack(archive: Path, cache: Path) -> Path:
    """Unpack an archive into a folder of the cache, once, and return the folder.

    Raises:
        RunError: If it is damaged, or has a member that is not a plain file inside the folder.
    """
    folder = cache / "unpacked" / fingerprint(archive)
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder.parent))
    try:
        for name, content in _members(archive):
            target = unfinished / _inside(archive, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                shutil.copyfileobj(content, file)
        try:
            unfinished.rename(folder)
        except OSError:  # another process was faster
            if not folder.is_dir():
                raise
    except _DAMAGED as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        raise RunError(
            f"archive {archive} is damaged or truncated ({reason}): fetch it again"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def fingerprint(path: Path) -> str:
    """Return a name for a file or folder that changes when it does."""
    facts = path.stat()
    identity = f"{path.resolve()}|{facts.st_size}|{facts.st_mtime_ns}"
    return f"{path.name.split('.')[0]}-{hashlib.sha256(os.fsencode(identity)).hexdigest()[:16]}"


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the name and the content of every file."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as zipped:
            for entry in zipped.infolist():
                if not entry.is_dir():
                    with zipped.open(entry) as content:
                        yield entry.filename, content
        return
    with tarfile.open(archive) as tarred:
        for member in tarred:
            if member.isdir():
                _inside(archive, member.name)
            else:
                file = tarred.extractfile(member) if member.isfile() else None
                if file is None:
                    raise RunError(f"archive {archive} has a member that is no file: {member.name}")
                yield member.name, file


def _inside(archive: Path, name: str) -> PurePosixPath:
    """Return a member's path, if it stays below the folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise RunError(f"archive {archive} has a path that climbs out: {name}; it is not unpacked")
    return path
