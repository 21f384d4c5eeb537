"""Zip archives, with everything compared that they say twice."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from regtopk_bench.errors import RunError

_PIECE = 2**20
_ENCRYPTED = 0x1
_END = struct.Struct("<4s6xH10x")
"""The end record without its comment: its signature, and the number of entries modulo 2¹⁶."""


def zip_members(archive: Path, file: IO[bytes]) -> Iterator[tuple[str, Iterator[bytes] | None]]:
    """Yield the name of every member, and the content of a file, which has to be read at once.

    Args:
        archive: What messages call it.
        file: Its content.

    Raises:
        RunError: If the archive is encrypted, or has a member that is neither a plain file nor a
            folder.
        NotImplementedError: If it is compressed in a way that Python does not know.
        Exception: Of many kinds, if it is damaged.
    """
    with zipfile.ZipFile(file) as zipped:
        _check_end(file, zipped)
        file.seek(0)  # for whoever looks how far it has been read
        for entry in zipped.infolist():
            _check_kind(archive, entry)
            yield entry.filename, None if entry.is_dir() else _content(zipped, entry)


def _content(zipped: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """Read a file to its end, where its checksum is compared."""
    size = 0
    with zipped.open(entry) as content:
        while piece := content.read(_PIECE):
            size += len(piece)
            yield piece
    if size != entry.file_size:
        raise zipfile.BadZipFile(f"{entry.filename!r} has {size} bytes of {entry.file_size}")


def _check_kind(archive: Path, entry: zipfile.ZipInfo) -> None:
    """Raise RunError for what is encrypted, and for links and other special files."""
    if entry.flag_bits & _ENCRYPTED:
        raise RunError(f"archive {archive} is encrypted: unpack it and give the folder")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or (entry.is_dir() and entry.file_size):
        raise RunError(f"archive {archive} has a member that is no file: {entry.filename!r}")


def _check_end(file: IO[bytes], zipped: zipfile.ZipFile) -> None:
    """Raise BadZipFile unless the file ends with the end record, and that counts the entries."""
    file.seek(-_END.size - len(zipped.comment), io.SEEK_END)
    signature, count = _END.unpack(file.read(_END.size))
    if signature != b"PK\5\6":
        raise zipfile.BadZipFile("something follows its end")
    entries = len(zipped.infolist())
    if count not in (entries % 2**16, 2**16 - 1):  # the latter where a longer record counts
        raise zipfile.BadZipFile(f"{entries} members of {count}")
