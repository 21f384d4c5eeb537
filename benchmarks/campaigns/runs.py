"""A run that is disturbed and resumed, held to the same run undisturbed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from campaigns.trial import COMMAND, Ended, Program, Sandbox, outcomes, remove

RESULT, JOURNAL, TRACES, CHECKPOINTS = "result.json", "journal.jsonl", "traces.csv", "checkpoints"
LAUNCH = "launch"
"""Of a run that torchrun may start again."""
COMPARISONS = "comparisons.csv"
"""Only of several seeds."""
_PLOTS = {"linreg": "convergence.png", "cifar": "accuracy.png"}


@dataclass(frozen=True)
class Undisturbed:
    """A command, and what it gives if nothing happens to it."""

    arguments: tuple[str, ...]
    runs: list[dict[str, Any]]
    seconds: float

    @classmethod
    def measure(
        cls, arguments: Sequence[str], folder: Path, launcher: Sequence[str] = COMMAND
    ) -> Undisturbed:
        """Run a command to its end; nothing can be tested if that fails."""
        sandbox = Sandbox(folder)
        started = time.monotonic()
        ended = sandbox.run(*arguments, command=launcher)
        runs = outcomes(ended.stdout)
        if ended.code != 0 or not runs:
            raise RuntimeError(f"undisturbed, {' '.join(arguments)} fails: {ended.stderr}")
        remove(folder)
        return cls(tuple(arguments), runs, time.monotonic() - started)


class Resumed:
    """A run in a sandbox, started and resumed until it has finished."""

    def __init__(
        self, undisturbed: Undisturbed, sandbox: Sandbox, launcher: Sequence[str] = COMMAND
    ) -> None:
        """Start nothing yet; later, the arguments after what launches the program."""
        self.undisturbed, self.sandbox, self._launcher = undisturbed, sandbox, launcher
        self.finished = False
        self._settled = 0

    @property
    def folder(self) -> Path | None:
        """The folder of the run, if there is anything to resume."""
        known = [
            path
            for path in (self.sandbox.work / "runs").glob("*")
            if (path / JOURNAL).exists() or (path / RESULT).exists()
        ]
        return max(known, default=None, key=lambda path: path.stat().st_mtime)

    def start(self, **environment: str) -> Program:
        """Start the run, or resume it."""
        command, folder = self.undisturbed.arguments[0], self.folder
        self._before = set((self.sandbox.work / "runs").glob("*"))
        arguments = [command, "--resume", str(folder)] if folder else self.undisturbed.arguments
        return self.sandbox.start(*arguments, command=self._launcher, environment=environment)

    def restart(self) -> None:
        """Forget a finished run."""
        remove(self.sandbox.work / "runs")
        self.finished, self._settled = False, 0

    def complaints(
        self,
        program: Program,
        ended: Ended,
        allowed: Iterable[int],
        kept: Iterable[str] = (),
        *,
        errors: int = 1,
    ) -> list[str]:
        """Say what is wrong with how the program ended, and with what it has written.

        Args:
            program: What was started.
            ended: How it ended.
            allowed: Exit codes that are right.
            kept: Files of the run that may be left although the run has finished.
            errors: How many there may be: one each time that torchrun has started the program.
        """
        self.finished = ended.code == 0
        found = [*ended.complaints(allowed, errors), *program.left()]
        return [*found, *self._unlike(ended), *self._files(ended, kept), *self._shown()]

    def _unlike(self, ended: Ended) -> list[str]:
        """Compare what was printed and saved with the undisturbed run."""
        expected, folder = self.undisturbed.runs, self.folder
        text = (folder / RESULT).read_text() if folder and (folder / RESULT).exists() else ""
        printed, saved = outcomes(ended.stdout), outcomes(text)
        found = []
        if self.finished and printed != expected:
            found.append("exit code 0, and the printed result is another than undisturbed")
        if self.finished and saved != expected:
            found.append("exit code 0, and the saved result is another than undisturbed")
        if printed == expected and saved != expected and ended.code <= 0:
            found.append("a run that was printed as finished is not saved")
        if text and saved is None:
            found.append("the saved result is damaged")
        return found

    def _files(self, ended: Ended, kept: Iterable[str]) -> list[str]:
        """Say which files should not be there, or should be."""
        runs = self.sandbox.work / "runs"
        command, folder = self.undisturbed.arguments[0], self.folder
        whole = {RESULT, TRACES, _PLOTS[command]}
        found = []
        if folder:
            names = {path.name for path in folder.iterdir()}
            unfinished = {JOURNAL, CHECKPOINTS, LAUNCH}
            known = whole | {COMPARISONS} | (set(kept) if self.finished else unfinished)
            found += [f"left {_kind(name)} in the run's folder" for name in names - known]
            if self.finished:
                found += [f"no {name}" for name in whole - names - set(kept)]
        if ended.code == -9:  # nobody could clean up
            return [each for each in found if "unfinished" not in each]
        if folder:
            found += [
                f"left {_kind(path.name)} among checkpoints"
                for path in (folder / CHECKPOINTS).glob("*/*")
                if path.suffix != ".npz" or path.name.startswith(".")
            ]
        new = set(runs.glob("*")) - self._before - {folder}
        found += ["left a folder with nothing to resume" for _ in new]
        return found

    def _shown(self) -> list[str]:
        """Say what is wrong with what `show` says about the run."""
        folders = list((self.sandbox.work / "runs").glob("*"))
        if not folders:
            return []
        folder = self.folder
        shown = self.sandbox.run("show", str(folder or folders[0]), "--no-plot", "-f", "json")
        allowed = [0] if folder else [2]
        found = [f"show: {each}" for each in shown.complaints(allowed)]
        if folder and not found:
            settled = [run for run in outcomes(shown.stdout) or [] if run["status"] == "finished"]
            if any(run not in self.undisturbed.runs for run in settled):
                found.append("show: a finished run is another than undisturbed")
            if len(settled) < self._settled:
                found.append("a run that had finished is lost")
            self._settled = max(self._settled, len(settled))
        return found


def _kind(name: str) -> str:
    """Return what a file is, in words that are the same for every run."""
    return "an unfinished file" if name.startswith(".") else name
