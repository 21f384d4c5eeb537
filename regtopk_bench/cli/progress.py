"""Progress on stderr, for work that is long enough to need it: a bar, or lines in a log file."""

from __future__ import annotations

import math
import time

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from regtopk_bench.cli.invocation import Invocation

_BAR_AFTER_SECONDS = 1.5
_REFRESH_SECONDS = 0.1
_LINE_SECONDS = 30.0
_MEASURED_SECONDS = 5.0
_PATIENCE_SECONDS = 30.0
_LONG_SECONDS = 60.0


class Counted:
    """Progress over the rounds (or other units) of all runs.

    On a terminal it is a bar, shown if the runs take a while; elsewhere, as in a log file, a line
    every half a minute. With --quiet it is nothing.
    """

    def __init__(self, invocation: Invocation, total: float, unit: str = "rounds") -> None:
        """Count up to a total."""
        self._invocation, err = invocation, invocation.err
        self._draws = err.is_terminal and err.file.isatty() and not err.is_dumb_terminal
        self._estimate: tuple[str, str, float] | None = None
        self._bar: _Bar | None = None
        self.restart(total, unit)

    def restart(self, total: float, unit: str) -> None:
        """Count something else, from 0."""
        self._close()
        self._total, self._unit = total, unit
        self._description, self._before, self._skipped = "", 0.0, 0.0
        self._first: tuple[float, float] | None = None
        now = time.monotonic()
        self._due = math.inf if self._invocation.quiet else 0.0
        self._visible = now + (_BAR_AFTER_SECONDS if self._draws else _LINE_SECONDS)

    def estimate(self, what: str, advice: str, least: float = 0.0) -> None:
        """Say once, unless it is short, how long all of it takes if it goes on as it begins.

        Args:
            what: What there is to do, such as "70 runs".
            advice: What else is to be known before a long wait.
            least: Units after which the speed is known; it is not waited for much longer than
                half a minute.
        """
        self._estimate = what, advice, least

    def begin(self, description: str, before: float = 0.0) -> None:
        """Start a part, with this many units done before it."""
        self._description, self._before = description, before

    def skip(self, units: float) -> None:
        """Leave units that needed no work, as those of a resumed run, out of the speed."""
        self._skipped += units

    def update(self, done: float) -> None:
        """Note that so much of the part is done; cheap enough to call after each round."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + _REFRESH_SECONDS
        completed = self._before + done
        if self._first is None:
            self._first, self._skipped = (now, completed), 0.0
        self._say_estimate(now, completed)
        if now < self._visible:
            return
        if self._draws:
            self._bar = self._bar or _Bar(self._invocation, self._unit, completed, self._total)
            self._bar.show(self._description, completed)
        else:
            self._visible = now + _LINE_SECONDS
            self._invocation.note(self._line(now, completed))

    def __enter__(self) -> Counted:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _say_estimate(self, now: float, completed: float) -> None:
        assert self._first is not None
        elapsed, worked, left = self._pace(now, completed)
        if self._estimate is None or elapsed < _MEASURED_SECONDS or left is None:
            return
        what, advice, least = self._estimate
        if worked < least and elapsed < _PATIENCE_SECONDS:
            return
        self._estimate = None
        if left >= _LONG_SECONDS:
            rest = "" if worked >= least else ", evaluations not counted"
            first = "one" if worked == 1.0 else f"{worked:,.0f} {self._unit}"
            self._invocation.note(
                f"{what}, about {duration(left)} at the speed of the first {first}{rest}; {advice}"
            )

    def _line(self, now: float, completed: float) -> str:
        share = 100.0 * completed / self._total if self._total else 100.0
        _, _, left = self._pace(now, completed)
        rest = "" if left is None else f", about {duration(left)} left"
        return (
            f"{self._description}: {completed:,.0f} of {self._total:,.0f} {self._unit} "
            f"({share:.0f} %){rest}"
        )

    def _pace(self, now: float, completed: float) -> tuple[float, float, float | None]:
        """Return the seconds so far, the units worked in them, and the seconds left if known."""
        assert self._first is not None
        began, first = self._first
        elapsed, worked = now - began, completed - first - self._skipped
        rest = self._total - completed
        left = elapsed / worked * rest if worked > 0.0 and rest > 0.0 else None
        return elapsed, worked, left


def duration(seconds: float) -> str:
    """Return about how long something takes, in words: "40 s", "38 min", "2.5 h", "3.1 days"."""
    if seconds < 95.0:
        return f"{10 * max(1, round(seconds / 10.0))} s"
    if seconds < 5400.0:
        return f"{seconds / 60.0:.0f} min"
    if seconds < 2 * 86400.0:
        return f"{seconds / 3600.0:.1f} h"
    return f"{seconds / 86400.0:.1f} days"


def announce(invocation: Invocation, what: str, seconds: float, advice: str) -> None:
    """Say, unless it is short, how long something takes of which that is known beforehand.

    Args:
        invocation: The call.
        what: What there is to do, such as "70 cells".
        seconds: What it takes, about.
        advice: What else is to be known before a long wait.
    """
    if seconds >= _LONG_SECONDS:
        invocation.note(f"{what}, about {duration(seconds)}; {advice}")


class _RateColumn(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.speed or 0.0
        return Text(f"{speed:.{0 if speed >= 10 else 1}f} {self._unit}/s")


class _Bar:
    """A bar on a terminal, which disappears when it is stopped."""

    def __init__(self, invocation: Invocation, unit: str, completed: float, total: float) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            _RateColumn(unit),
            TimeRemainingColumn(),
            console=invocation.err,
            transient=True,
            auto_refresh=False,
        )
        self._task = self._progress.add_task("", total=total, completed=completed)  # type: ignore[arg-type]

    def show(self, description: str, completed: float) -> None:
        """Draw it."""
        self._progress.update(self._task, completed=completed, description=description)
        self._progress.start()
        self._progress.refresh()

    def stop(self) -> None:
        """Erase it."""
        self._progress.stop()
