"""A bench runs the cells of a suite in a process of one tree, and starts another if that dies."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.gate.process import CellError, CrashError, HangError, Process
from regtopk_bench.gate.suite import Suite, suite_of
from regtopk_bench.gate.tree import Tree
from regtopk_bench.results import Run
from regtopk_bench.results.verdict import Reason

NUDGED = 3
"""A cell whose initial parameters are nudged is run so many times."""


@dataclass(frozen=True)
class Ended:
    """How a cell ended."""

    run: Run | None
    """None if it failed."""
    failure: tuple[Reason, str] | None = None
    """Why, as a reason and a sentence."""
    nudged: Mapping[str, float] = field(default_factory=dict)
    """How much each metric changed with nudged initial parameters, if asked for."""
    seconds: float = 0.0
    """What a run took."""


class Bench:
    """Runs the cells of a suite; close it, or use it as a context manager."""

    def __init__(self, tree: Tree, profile: str, request: dict[str, Any], timeout: float) -> None:
        """Start a process, without waiting for it.

        Args:
            tree: Where the code comes from.
            profile: The suite's profile.
            request: The suite, as `gate.suite.request` returns it.
            timeout: Seconds that a cell may take.
        """
        self.tree, self.request, self.timeout = tree, request, timeout
        self._profile = profile
        self._process: Process | None = Process(tree, request, timeout)
        self._suite: Suite | None = None
        self._began, self._runs = 0.0, 1

    @property
    def suite(self) -> Suite:
        """The suite, once the process has taken it.

        Raises:
            ConfigurationError: If it cannot be made.
            RunError: If the process died or hangs.
        """
        if self._suite is None:
            assert self._process is not None
            self._suite = suite_of(self._process, self._profile, self.tree, self.request)
        return self._suite

    def begin(self, key: str, *, nudge: bool = False) -> None:
        """Begin a cell, and look how firm its numbers are if asked for; `end` waits for it."""
        if self._process is None:
            self._process = Process(self.tree, self.request, self.timeout)
            self._process.suite()
        self._began, self._runs = time.monotonic(), NUDGED if nudge else 1
        self._process.send(do="run", key=key, nudge=nudge)

    def end(self) -> Ended:
        """Return how the cell ended that was begun."""
        assert self._process is not None
        try:
            answer = self._process.receive(self._runs)
        except (CellError, ConfigurationError) as error:
            return Ended(None, ("crashed", f"the cell failed: {error}"))
        except CrashError as error:
            self.close()
            return Ended(None, ("crashed", str(error)))
        except HangError:
            self.close()
            return Ended(None, ("timed-out", f"the cell took longer than {self.timeout:g} s"))
        seconds = (time.monotonic() - self._began) / (NUDGED if answer["nudged"] else 1)
        return Ended(Run.model_validate(answer["run"]), None, answer["nudged"], seconds)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
