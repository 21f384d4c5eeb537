"""Every error this package raises on purpose, with its exit code.

An error's text is one line: what was wrong, where, and what to do about it.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from regtopk_bench.misuse import (
    ConfigurationError,
    MissingPackageError,
    RegtopkBenchError,
    UnfitPackageError,
)

if TYPE_CHECKING:
    from regtopk_bench.trace import Trace

__all__ = [
    "ConfigurationError",
    "InterruptedRun",
    "MissingPackageError",
    "NonFiniteGradientError",
    "RegtopkBenchError",
    "RestartWarning",
    "RunError",
    "UnfitPackageError",
    "WorkerDiedError",
    "failures_of",
    "suggest",
]


class RunError(RegtopkBenchError, RuntimeError):
    """A run that started properly could not continue.

    Attributes:
        trace: What the run had computed by then, or None if it had not started.
    """

    trace: Trace | None = None


class NonFiniteGradientError(RunError):
    """A gradient holds NaN or infinity, as when the learning rate is too large.

    Attributes:
        worker: The lowest worker concerned, counted from 0.
        entries: How many entries of its accumulated gradient are not finite.
        round: The round, counted from 1; None when raised outside a training loop.
    """

    def __init__(self, worker: int, entries: int, round: int | None = None) -> None:
        """Describe the non-finite gradient of one worker."""
        super().__init__(worker, entries, round)
        self.worker, self.entries, self.round = worker, entries, round

    def __str__(self) -> str:
        """Say where the gradient stopped being finite and what to try."""
        where = f"worker {self.worker}" + (f" in round {self.round}" if self.round else "")
        noun = "entry" if self.entries == 1 else "entries"
        return (
            f"non-finite gradient at {where} ({self.entries} {noun}); "
            "lower the learning rate or check the data"
        )


class WorkerDiedError(RunError):
    """Another process ended before its work was done, or does not answer.

    Attributes:
        what: What happened, and to which process.
        advice: What to do about it.
        restarts: How often processes had been started again by then.
    """

    def __init__(self, what: str, advice: str = "") -> None:
        """Describe the process that was lost."""
        super().__init__(what, advice)
        self.what, self.advice, self.restarts = what, advice, 0

    def __str__(self) -> str:
        """Say what happened, after how many restarts, and what to do."""
        many = "s" if self.restarts > 1 else ""
        after = f", after {self.restarts} restart{many}" if self.restarts else ""
        return f"{self.what}{after}" + (f"; {self.advice}" if self.advice else "")


class RestartWarning(RuntimeWarning):
    """Processes that a run has lost were started again, and it goes on."""


class InterruptedRun(KeyboardInterrupt):
    """The user pressed Ctrl-C during a run, or another signal asked it to stop.

    Attributes:
        trace: The rounds finished by then.
    """

    def __init__(self, trace: Trace) -> None:
        """Keep what the run had computed."""
        super().__init__("interrupted")
        self.trace = trace


@contextlib.contextmanager
def failures_of(what: str) -> Iterator[None]:
    """Turn whatever code outside the package raises into a RunError that says whose it is.

    Errors of this package pass as they are, and so does a lack of memory.
    """
    try:
        yield
    except (RegtopkBenchError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())  # on one line
        raise RunError(f"{what} failed: {reason}") from error


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``'; did you mean "x"?'`` for the nearest known name, or list them all."""
    names = list(known)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if nearest:
        return f'; did you mean "{nearest[0]}"?'
    return f"; known: {', '.join(names)}"
