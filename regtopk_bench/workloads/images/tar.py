"""Tar archives, read to their very end: what Python's reader takes for an end may be damage."""

from __future__ import annotations

import bz2
import functools
import gzip
import lzma
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from regtopk_bench.errors import RunError

_PIECE = 2**20
_LONGEST_NAME = 2**16
_LONGEST_PADDING = 2**26
_BEFORE_A_HEADER = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


def tar_members(archive: Path, file: IO[bytes]) -> Iterator[tuple[str, Iterator[bytes] | None]]:
    """Yield the name of every member, and the content of a file, which has to be read at once.

    Args:
        archive: What messages call it.
        file: Its content.

    Raises:
        RunError: If a member is neither a plain file nor a folder.
        Exception: Of many kinds, if the archive is damaged.
    """
    stream = _decompressed(file)
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as tarred:
        while (header := tarred.next()) is not None:
            tarred.members.clear()  # type: ignore[attr-defined]  # or there would be one for each of a million files
            if header.isdir():
                yield header.name, None
                continue
            content = tarred.extractfile(header) if header.isreg() else None
            if content is None or header.issparse():
                raise RunError(f"archive {archive} has a member that is no file: {header.name!r}")
            if header.size < 0:
                raise tarfile.ReadError("a negative size")
            yield header.name, iter(functools.partial(content.read, _PIECE), b"")
        _check_end(tarred.fileobj)


class _Header(tarfile.TarInfo):
    """A header that is whole, or an error: tarfile takes the first that is not for the end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf == bytes(tarfile.BLOCKSIZE):  # the end
                raise
            raise tarfile.ReadError(str(error)) from error
        if header.type in _BEFORE_A_HEADER and not 0 <= header.size <= _LONGEST_NAME:
            raise tarfile.ReadError(f"a name of {header.size} bytes")
        return header


def _check_end(stream: Any) -> None:
    """Raise ReadError unless another block of zeros follows the first, and nothing but zeros."""
    padding = 0
    while piece := stream.read(_PIECE):
        padding += len(piece)
        if piece.count(0) < len(piece) or padding > _LONGEST_PADDING:
            raise tarfile.ReadError("something follows its end")
    if padding < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("its end is missing")


def _decompressed(file: IO[bytes]) -> Any:
    """Return what reads a tar archive, compressed in whatever way its first bytes say."""
    start = file.read(6)
    file.seek(0)
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)
    if start.startswith(b"BZh"):
        return _Streams(file, bz2.BZ2Decompressor)
    if start == b"\xfd7zXZ\0":
        return _Streams(file, functools.partial(lzma.LZMADecompressor, lzma.FORMAT_XZ))
    return file


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Streams:
    """Compressed streams, one after another, each read to its end, where its checksum is.

    The readers of bz2 and lzma ignore whatever follows the first.
    """

    def __init__(self, file: IO[bytes], new: Callable[[], _Decompressor]) -> None:
        self._file, self._new = file, new
        self._stream, self._ahead = new(), b""

    def read(self, size: int) -> bytes:
        """Return at most so many bytes, none at the end."""
        while True:
            if self._stream.eof:
                self._ahead = self._stream.unused_data.lstrip(b"\0")
                while not self._ahead:  # zeros may be between streams and after them
                    if not (more := self._file.read(_PIECE)):
                        return b""
                    self._ahead = more.lstrip(b"\0")
                self._stream = self._new()
            if self._stream.needs_input and not self._ahead:
                self._ahead = self._file.read(_PIECE)
                if not self._ahead:
                    raise EOFError("a compressed stream without end")
            piece = self._stream.decompress(self._ahead, size)
            self._ahead = b""
            if piece:
                return piece
