"""Kills just before, just after and instead of the calls by which a run changes its files."""

from __future__ import annotations

import errno
import itertools
import os
import random
import re
import shutil
import signal
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from campaigns.runs import CHECKPOINTS, JOURNAL, Resumed, Undisturbed
from campaigns.samples import image_archive
from campaigns.trial import Sandbox, Verdict, remove

_LINREG = (
    "linreg -n 4 --samples 20 --dim 20 -a topk,regtopk -d 0.6 -r 600 --checkpoint-every 200 -p 1 "
    "-f json"
)
_CIFAR = (
    "cifar --data {archive} --cache cache -a topk -d 0.1 -n 2 -b 2 -r 4 --evaluate-every 2 "
    "--checkpoint-every 2 -p 1 -f json"
)
_ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES)

_MAY_SUCCEED = {"open", "mkdir", "unlink", "rmdir", "link"}
"""Calls whose failure need not matter: there may be another way, or nothing is lost."""


@dataclass(frozen=True)
class Call:
    """A call that changed a file, in a run that nothing happened to."""

    number: int
    kind: str
    path: str
    """Below the folder, without what chance has put into it."""

    def __str__(self) -> str:
        return f"{self.kind} {self.path}"

    @property
    def allowed(self) -> tuple[int, ...]:
        """Exit codes that are right after it failed."""
        harmless = self.kind in _MAY_SUCCEED or self.path.endswith(".png") or "." not in self.path
        refused = (2,) if self.kind in ("open", "mkdir") else ()
        return ((0,) if harmless else ()) + (*refused, 3)

    @property
    def kept(self) -> tuple[str, ...]:
        """Files that may be there, or missing, although the run finished with this failure."""
        return (JOURNAL, CHECKPOINTS, Path(self.path).name)


def unavailable() -> str | None:
    """Say why this campaign cannot be run here."""
    return None if _compiler() else "there is no C compiler"


def _compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


@dataclass
class Injected:
    """Runs that are hit at a chosen call, and then resumed."""

    count: int
    """How many calls to choose; each is hit in two ways."""
    seed: int
    home: Path

    def __post_init__(self) -> None:
        """Compile the shim, and see which calls the undisturbed runs make."""
        self._shim = self.home / "shim.so"
        source = Path(__file__).with_name("shim.c")
        compiler = _compiler()
        assert compiler
        shared = ["-shared", "-fPIC", "-O1", "-o", str(self._shim), str(source), "-ldl"]
        subprocess.run([compiler, *shared], check=True)
        archive = image_archive(self.home / "images.zip")
        commands = [_LINREG, _CIFAR.format(archive=archive)]
        draw = random.Random(f"{self.seed} injected")
        self._plan: list[tuple[Undisturbed, Call, str]] = []
        counts = (self.count - self.count // 3, self.count // 3)
        for command, count in zip(commands, counts, strict=True):
            undisturbed = Undisturbed.measure(command.split(), self.home / "undisturbed")
            chosen = _spread(self._calls(undisturbed), count, draw)
            for number, call in enumerate(chosen):
                failing = str(_ERRORS[number % len(_ERRORS)])
                killing = ("before", "after")[number % 2]  # of one call is before the next
                self._plan += [(undisturbed, call, how) for how in (killing, failing)]
        self.trials = len(self._plan)

    def run(self, number: int, folder: Path) -> Iterator[Verdict]:
        """Hit a run at a call, then resume it."""
        undisturbed, call, how = self._plan[number]
        sandbox = Sandbox(folder)
        run = Resumed(undisturbed, sandbox)
        program = run.start(**self._environment(sandbox, call.number, how))
        ended = program.wait()
        if how.isdigit():
            attempt = f"{errno.errorcode[int(how)]} from {call}"
            found = run.complaints(program, ended, call.allowed, call.kept)
        else:
            attempt = f"SIGKILL {how} {call}"
            found = run.complaints(program, ended, [-signal.SIGKILL])
        if not run.finished:
            program = run.start()
            again = run.complaints(program, program.wait(), [0])
            found += [f"then: {each}" for each in again]
        unfinished = {path.name[:8] for path in (sandbox.work / "cache").rglob(".*")}
        if how.isdigit() and call.kind in ("rmdir", "unlink"):  # it could not be removed
            unfinished = set()
        found += [f"left {name}… in the cache" for name in unfinished]
        yield Verdict(f"{undisturbed.arguments[0]}: {attempt}", found)
        sandbox.close()
        remove(sandbox.work)

    def _calls(self, undisturbed: Undisturbed) -> list[Call]:
        """Return the calls that change files in an undisturbed run."""
        sandbox = Sandbox(self.home / "counted")
        sandbox.run(*undisturbed.arguments, environment=self._environment(sandbox))
        lines = (sandbox.folder / "calls").read_text().splitlines()
        calls = []
        for line in lines:
            number, kind, path = line.split("\t")
            shown = os.path.relpath(path, sandbox.work.resolve())
            shown = re.sub(r"\d{4}-\d\d-\d\d_[\d-]+_", "…_", shown)
            shown = re.sub(r"(/\.[a-z]+)-[^/]+", r"\1-…", shown)
            calls.append(Call(int(number), kind, re.sub(r"[0-9a-f]{6,}|\d+", "…", shown)))
        remove(sandbox.folder)
        return calls

    def _environment(self, sandbox: Sandbox, at: int = 0, how: str = "") -> dict[str, str]:
        """Return what makes the shim count calls, and act at one."""
        return {
            "LD_PRELOAD": str(self._shim),
            "FAULTS_FOLDER": str(sandbox.work.resolve()),
            "FAULTS_LOG": str(sandbox.folder / "calls"),
        } | ({"FAULTS_AT": str(at), "FAULTS_ACTION": how} if how else {})


def _spread(calls: list[Call], count: int, draw: random.Random) -> list[Call]:
    """Choose calls: in turn, one of every kind on every file."""
    alike: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        alike[str(call)].append(call)
    for each in alike.values():
        draw.shuffle(each)
    kinds = list(alike.values())
    draw.shuffle(kinds)
    turns = itertools.zip_longest(*kinds)
    chosen = [call for turn in turns for call in turn if call][:count]
    return sorted(chosen, key=lambda call: call.number)
