"""Progress on stderr, for runs that are long enough to need it."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_DELAY_SECONDS = 1.5
_REFRESH_SECONDS = 0.1


class _RateColumn(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.speed or 0.0
        return Text(f"{speed:.{0 if speed >= 10 else 1}f} {self._unit}/s")


class Counted:
    """A progress bar over the rounds (or other units) of all runs, shown if they take a while."""

    def __init__(self, console: Console, total: int, unit: str = "rounds") -> None:
        """Count up to a total, and show it on a console."""
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            _RateColumn(unit),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            auto_refresh=False,
        )
        self.total = total
        self._task = self._progress.add_task("", total=total)
        self._finished = 0
        self._next_update = time.monotonic() + _DELAY_SECONDS
        self._description = ""
        self._started = False

    def begin(self, description: str, finished: int) -> None:
        """Start a run, with this many rounds finished before it."""
        self._description, self._finished = description, finished

    def update(self, round: int) -> None:
        """Note that a run has finished this many rounds; cheap enough to call after each."""
        now = time.monotonic()
        if now < self._next_update:
            return
        self._progress.start()
        self._started = True
        self._next_update = now + _REFRESH_SECONDS
        completed = self._finished + round
        self._progress.update(
            self._task, completed=completed, total=self.total, description=self._description
        )
        self._progress.refresh()

    def __enter__(self) -> Counted:
        return self

    def __exit__(self, *error: object) -> None:
        if self._started:
            self._progress.stop()
