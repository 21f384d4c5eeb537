"""A record of an experiment that grows as its cells start and end, and survives a power cut.

`journal.jsonl` in a run's folder holds JSON, one object to a line: first the header of the
result, then `{"started": key, "resumed_at": round, "environment": {…}}` for a cell that begins
or resumes, and `{"run": {…}}` for one that has ended. A check adds `{"base": {…}}`, a run of the
code that it compares with, and `{"pair": {key: log ratio}}`. Lines are appended and never changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regtopk_bench.errors import ConfigurationError, RunError
from regtopk_bench.files import content_of, written_atomically
from regtopk_bench.results.checks import check_version, parsed, validated
from regtopk_bench.results.lines import Base, Pair, Started
from regtopk_bench.results.schema import Header, Result, Run
from regtopk_bench.results.values import Scalar

JOURNAL_FILE = "journal.jsonl"
Line = Started | Run | Base | Pair
_OF_CHECKS: dict[str, type[Base | Pair]] = {"base": Base, "pair": Pair}

_ATTEMPTS = 10
_ATTEMPT_SECONDS = 0.02

_VARYING = "load_average"
"""The fact about a machine that changes from one reading to the next."""


@dataclass
class Contents:
    """The contents of a journal."""

    header: Header

    runs: dict[str, Run] = field(default_factory=dict)
    """The last run of each cell, by the cell's key."""

    environments: dict[str, list[dict[str, Scalar]]] = field(default_factory=dict)
    """Where each cell has been computed since it last began at round 0, by its key."""

    order: dict[str, None] = field(default_factory=dict)
    """The cells' keys, in the order in which they began."""

    base: dict[str, Base] = field(default_factory=dict)
    """What the code that a check compares with gave, by the cell's key."""

    pairs: list[dict[str, float]] = field(default_factory=list)
    """Log ratios of times, by key, of each pair of processes."""

    @property
    def result(self) -> Result:
        """The result so far, in the order in which cells began."""
        runs = [self.runs[key] for key in self.order if key in self.runs]
        return Result(**dict(self.header), runs=runs)

    def take(self, line: Line) -> None:
        """Add one line."""
        if isinstance(line, Pair):
            self.pairs.append(line.pair)
            return
        if isinstance(line, Base):
            self.base[line.base.cell.key] = line
            return
        self.order.setdefault(line.cell.key if isinstance(line, Run) else line.started)
        if isinstance(line, Run):
            self.runs[line.cell.key] = line
            return
        if line.resumed_at == 0:
            self.environments[line.started] = []
        known = self.environments.setdefault(line.started, [])
        if not known or _compared(known[-1]) != _compared(line.environment):
            known.append(line.environment)


class Journal:
    """A journal open for appending; close it, or use it as a context manager."""

    def __init__(self, folder: Path, lock: int | None = None) -> None:
        """Open the journal of a run, dropping a truncated last line.

        Args:
            folder: The run's.
            lock: What `_locked` returned for it, if it has been called.

        Raises:
            ConfigurationError: If it cannot be read, is damaged before its last line, or is in use.
            RunError: If it cannot be written.
        """
        file = folder / JOURNAL_FILE
        self._folder = folder
        self._open = [_locked(folder) if lock is None else lock]
        try:
            self._descriptor = _opened(file)
            self._open.append(self._descriptor)
            self.contents, whole = _read(file)
            with _saving_to(folder):
                os.truncate(file, whole)
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(cls, folder: Path, header: Header, runs: Sequence[Run] = ()) -> Journal:
        """Create a journal in a run's folder.

        Args:
            folder: The run's.
            header: Of its result.
            runs: Runs that it has already; they are there with the journal or not at all.

        Raises:
            ConfigurationError: If the folder is in use.
            RunError: If it cannot be written.
        """
        lock = _locked(folder)
        try:
            with _saving_to(folder), written_atomically(folder / JOURNAL_FILE) as begun:
                begun.write(_line(header.model_dump(mode="json", by_alias=True)))
                begun.writelines(map(_run_line, runs))
        except BaseException:
            os.close(lock)
            raise
        return cls(folder, lock)

    def started(
        self, key: str, resumed_at: int, environment: Mapping[str, Scalar]
    ) -> list[dict[str, Scalar]]:
        """Record that a cell starts, or resumes after a round.

        Args:
            key: The cell's.
            resumed_at: The rounds already finished; 0 for a cell that starts.
            environment: Where it is computed from now on.

        Returns:
            Every environment of this run so far, in order: its `environments`.

        Raises:
            RunError: If it cannot be written.
        """
        line = Started(started=key, resumed_at=resumed_at, environment=dict(environment))
        self._append(_line(line.model_dump(mode="json")))
        self.contents.take(line)
        return list(self.contents.environments[key])

    def append(self, line: Run | Base | Pair) -> None:
        """Record a run that has ended, however it did; it is on disk when this returns.

        The same for a run of the code that a check compares with, and for a timed pair.

        Raises:
            RunError: If it cannot be written.
        """
        written = _run_line(line) if isinstance(line, Run) else _line(line.model_dump(mode="json"))
        self._append(written)
        self.contents.take(line)

    def close(self) -> None:
        """Close the file, and give up the folder."""
        while self._open:
            os.close(self._open.pop())

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, line: bytes) -> None:
        length = os.fstat(self._descriptor).st_size
        rest = memoryview(line)
        with _saving_to(self._folder):
            try:
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
                os.fsync(self._descriptor)
            except OSError:
                with contextlib.suppress(OSError):  # or a later line would follow half of this one
                    os.truncate(self._descriptor, length)
                raise


def _locked(folder: Path) -> int:
    """Have a run's folder to ourselves, journal or not, until what is returned is closed."""
    with _saving_to(folder):
        descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(_ATTEMPTS):  # `in_use` may have it for a moment
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            time.sleep(_ATTEMPT_SECONDS)
        except OSError:  # some network file systems know no locks
            return descriptor
    os.close(descriptor)
    raise ConfigurationError(
        f"{folder} is being written to by another process: wait until it has ended"
    )


def _opened(file: Path) -> int:
    """Open a journal to append to it."""
    try:
        return os.open(file, os.O_WRONLY | os.O_APPEND)
    except FileNotFoundError as error:
        raise ConfigurationError(f"cannot read journal {file}: {error.strerror}") from error
    except OSError as error:
        raise RunError(f"cannot save to {file.parent}: {error.strerror}") from error


def in_use(folder: Path) -> bool:
    """Tell whether a process writes to a run's folder, if that can be known."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # some network file systems know no locks
        pass
    finally:
        os.close(descriptor)
    return False


def read(folder: Path) -> Contents:
    """Read the journal in a run's folder; a last line that was cut is ignored.

    Raises:
        ConfigurationError: If it is missing, of another version or damaged.
    """
    return _read(folder / JOURNAL_FILE)[0]


def _read(file: Path) -> tuple[Contents, int]:
    """Return a journal's contents, and the length in bytes of its complete lines."""
    try:
        lines = io.BytesIO(content_of(file)).readlines()
    except OSError as error:
        raise ConfigurationError(f"cannot read journal {file}: {error.strerror}") from error
    if not lines:
        raise ConfigurationError(f"journal {file} is empty")
    whole = len(lines) - _is_cut(lines[-1])
    header = parsed(lines[0], f"journal {file}, line 1,")
    check_version(header, file)
    if not whole:
        raise ConfigurationError(f"journal {file}, line 1, is damaged: it has no end")
    contents = Contents(validated(Header, header, f"journal {file}, line 1,"))
    for number, line in enumerate(lines[1:whole], start=2):
        where = f"journal {file}, line {number},"
        try:
            contents.take(_entry(parsed(line, where), where))
        except ConfigurationError as error:
            raise ConfigurationError(f"{error}; remove the line to run its cell again") from error
    return contents, sum(map(len, lines[:whole]))


def _is_cut(line: bytes) -> bool:
    """Tell whether a power cut ended a line, or left zeros where it had been written."""
    return not line.endswith(b"\n") or b"\0" in line


def _entry(content: Any, where: str) -> Line:
    if isinstance(content, dict) and "run" in content:
        return validated(Run, content["run"], where)
    for name, model in _OF_CHECKS.items():
        if isinstance(content, dict) and name in content:
            return validated(model, content, where)
    return validated(Started, content, where)


def _line(content: Mapping[str, Any]) -> bytes:
    return f"{json.dumps(content, allow_nan=False)}\n".encode()


def _run_line(run: Run) -> bytes:
    return _line({"run": run.model_dump(mode="json")})


def _compared(environment: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return the facts in which environments are compared."""
    return {name: value for name, value in environment.items() if name != _VARYING}


@contextlib.contextmanager
def _saving_to(folder: Path) -> Iterator[None]:
    """Turn a file system error into a one-line error for the user."""
    try:
        yield
    except OSError as error:
        raise RunError(f"cannot save to {folder}: {error.strerror}") from error
