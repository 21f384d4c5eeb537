"""What campaigns share: the program in a folder of its own, and what is wrong with how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from memory import family

ROOT = Path(__file__).resolve().parents[2]
"""The repository, whose code is tried, installed or not."""

COMMAND = (sys.executable, "-m", "regtopk_bench")
LIMIT_SECONDS = 180.0
"""No program of a campaign works for longer, even on a busy machine: else it hangs."""

_MARK = "FAULTS_TRIAL"
_GRACE_SECONDS = 10.0  # a pool process looks a few times a second whether its parent is there
_STOP_SECONDS = 20.0
_LOOK_SECONDS = 0.02
_SHOWN_CHARACTERS = 1000

_PROCESSES = 64  # no program of a campaign needs as many

_ERROR = re.compile(r"^(?:error:|Error:|(?:╭─|\+-|\?+) Error )", re.MULTILINE)
NOTES = re.compile(
    r"saved |drew |to resume: |the plot could not be drawn|run again with --debug"
    r"|one seed: |\d+ seeds: |left out: |run \d+ of |warning: .*\(restart \d of \d\)$"
)
"""The lines that may follow an error, or stand on stderr without one."""

_OF_TORCHRUN = re.compile(
    r"^[WE]\d{4} [^\n]*torch/distributed/[^\n]*\n"
    r"|^Traceback (?:(?!^Traceback ).)*ChildFailedError.*",
    re.MULTILINE | re.DOTALL,
)
"""What torchrun says of its processes, in lines and, in the end, with a traceback of its own."""

_UNWANTED = {
    "a traceback": r"Traceback \(most recent call last\)",
    "an internal error": r"internal error",
    "an ignored exception": r"Exception ignored",
    "a warning": r"Warning: ",
    "a crash": r"Fatal Python error|Segmentation fault|core dumped|terminate called",
    "control characters": r"[\x00-\x08\x0b-\x1f\x7f-\x9f]",
}


@dataclass(frozen=True)
class Verdict:
    """What a trial showed."""

    attempt: str
    """What was done, in words."""
    complaints: Sequence[str]
    """What went wrong; nothing if the fault was handled."""


class Campaign(Protocol):
    """A kind of trials, numbered from 0; a number and the seed determine one."""

    trials: int

    def run(self, number: int, folder: Path) -> Iterator[Verdict]:
        """Run a trial, or several that build on each other, in an empty folder."""


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    code: int
    stdout: str
    stderr: str
    hung: bool = False

    def complaints(self, allowed: Iterable[int], errors: int = 1) -> list[str]:
        """Say what is wrong with exit code and stderr, where there may be so many errors."""
        if self.hung:
            return ["hangs"]
        codes = sorted(set(allowed))
        found = [
            f"{what} on stderr"
            for what, pattern in _UNWANTED.items()
            if re.search(pattern, self.stderr)
        ]
        if self.code not in codes:
            found.append(f"exit code {self.code}, not {' or '.join(map(str, codes))}")
        if self.code > 0 and not self.stderr.strip():
            found.append(f"exit code {self.code} without a word")
        elif not found:
            found += self._lines(errors)
        return found

    def _lines(self, errors: int) -> list[str]:
        """Say what is wrong with the lines of an error: it is one, or a box about usage."""
        *_, last = [match.start() for match in _ERROR.finditer(self.stderr)] or [-1]
        if self.code in (1, 2, 3) and last < 0:
            return [f"exit code {self.code} without an error"]
        if len(_ERROR.findall(self.stderr)) > errors:
            return ["more errors than there may be"]
        first, *after = self.stderr[max(last, 0) :].splitlines() or [""]
        if first.startswith("error:") and any(line and not NOTES.match(line) for line in after):
            return ["an error of several lines"]
        return []


@dataclass
class Program:
    """A started command."""

    popen: subprocess.Popen[bytes]
    sandbox: Sandbox
    outputs: tuple[Path, Path]
    shared_memory: set[str] = field(default_factory=set)
    """The named shared memory that its processes were seen to use."""

    def running(self) -> bool:
        """Tell whether the main process has not ended yet."""
        return self.popen.poll() is None

    def look(self) -> list[int]:
        """Return its processes, and note which shared memory they use."""
        processes = family(self.popen.pid)
        for process in processes:
            with contextlib.suppress(OSError):
                maps = Path(f"/proc/{process}/maps").read_text()
                self.shared_memory |= set(re.findall(r"/dev/shm/(\S+)$", maps, re.MULTILINE))
        return processes

    def send(self, process: int, number: int, *, group: bool = False) -> None:
        """Send a signal, and write it down."""
        self.look()
        self.sandbox.write(f"{signal.Signals(number).name} to {described(process)}")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, number) if group else os.kill(process, number)

    def wait(self, limit: float = LIMIT_SECONDS, *, patient: bool = False) -> Ended:
        """Wait for the end of the main process; one that hangs is killed.

        Args:
            limit: In seconds.
            patient: Whether it may be at work still, and has to stop when it is interrupted.
        """
        hung = not self._ends_within(limit)
        if hung and patient and len(family(self.popen.pid)) <= _PROCESSES:
            self.send(self.popen.pid, signal.SIGINT, group=True)
            hung = not self._ends_within(_STOP_SECONDS)
        if hung:
            self.sandbox.write("hangs:\n" + "\n".join(map(described, self.sandbox.processes())))
            self.popen.kill()
            self.popen.wait()
            self.sandbox.close()
        out, err = (file.read_text(errors="replace") for file in self.outputs)
        ended = Ended(self.popen.returncode, out, _OF_TORCHRUN.sub("", err), hung)
        self.sandbox.write(
            f"exit code {ended.code}\nstdout ({self.outputs[0].name}): {out[:_SHOWN_CHARACTERS]}\n"
            f"stderr ({self.outputs[1].name}): {err[-_SHOWN_CHARACTERS:]}\n"
        )
        return ended

    def _ends_within(self, seconds: float) -> bool:
        """Wait for the end; give up at once if it starts processes without end."""
        deadline = time.monotonic() + seconds
        while self.running() and time.monotonic() < deadline:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(0.25)
            if len(self.look()) > _PROCESSES:
                break
        return not self.running()

    def left(self) -> list[str]:
        """Say what it left behind: processes, temporary files, shared memory; and remove it."""
        found = []
        deadline = time.monotonic() + _GRACE_SECONDS
        while (orphans := self.sandbox.processes()) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        for orphan in orphans:
            found.append(f"left a process: {kind_of(orphan)}")
            self.sandbox.write(f"left: {described(orphan)}")
            with contextlib.suppress(ProcessLookupError):
                os.kill(orphan, signal.SIGKILL)
        names = [Path("/dev/shm", name) for name in self.shared_memory]
        for path in [*self.sandbox.temporary.iterdir(), *filter(Path.exists, names)]:
            found.append(f"left {path.parent.name}/{_without_digits(path.name)}")
            self.sandbox.write(f"left: {path}")
            remove(path)
        return sorted(set(found))


class Sandbox:
    """The folders of a trial: `work`, where programs run, and `tmp` for their temporary files."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        """Make the folders."""
        self.folder, self.work, self.temporary = folder, folder / "work", folder / "tmp"
        for each in (self.work, self.temporary):
            each.mkdir(parents=True)
        self._mark = secrets.token_hex(8)
        kept = {k: v for k, v in os.environ.items() if not k.startswith("REGTOPK_BENCH_")}
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        kept |= {"PYTHONPATH": os.pathsep.join(paths)}
        kept |= {"TMPDIR": str(self.temporary), _MARK: self._mark}
        self.environment = kept | dict(environment or {})
        self._started = 0

    def start(
        self,
        *arguments: str,
        command: Sequence[str] = COMMAND,
        environment: Mapping[str, str] | None = None,
    ) -> Program:
        """Start the program, in a process group of its own as a terminal does."""
        self._started += 1
        outputs = tuple(self.folder / f"{self._started}.{name}" for name in ("out", "err"))
        added = dict(environment or {})
        shown = " ".join([*(f"{k}={v}" for k, v in added.items()), shlex.join(arguments)])
        self.write(f"$ {shown if len(shown) < _SHOWN_CHARACTERS else shown[:200] + ' …'}")
        with outputs[0].open("wb") as out, outputs[1].open("wb") as err:
            popen = subprocess.Popen(
                [*command, *arguments],
                cwd=self.work,
                env=self.environment | added,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        return Program(popen, self, (outputs[0], outputs[1]))

    def run(self, *arguments: str, **how: Any) -> Ended:
        """Run the program to its end."""
        program = self.start(*arguments, **how)
        return program.wait()

    def processes(self) -> list[int]:
        """Return every process that was started here, by whomever, and has not ended."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                marked = f"{_MARK}={self._mark}".encode() in (path / "environ").read_bytes()
                if marked and _state(int(path.name)) not in "ZX":
                    found.append(int(path.name))
        return found

    def write(self, text: str) -> None:
        """Add to what is kept about the trial."""
        with (self.folder / "transcript.txt").open("a", encoding="utf-8") as file:
            file.write(f"{text.encode(errors='replace').decode()}\n")

    def close(self) -> None:
        """End what is still running."""
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def kind_of(process: int) -> str:
    """Return what a process is: main, fork server, pool process, torchrun, rank 0, …."""
    command, variables = _read(process, "cmdline"), _read(process, "environ")
    state = " that is stopped" if _state(process) == "T" else ""
    if "torch.distributed.run" in command:
        return f"torchrun{state}"
    if "regtopk_bench" in command and (rank := re.search(r"(?:^| )RANK=(\d+)", variables)):
        return f"rank {rank[1]}{state}"
    if "resource_tracker" in command:
        return f"resource tracker{state}"
    if "multiprocessing" not in command:
        return f"main{state}"
    if "forkserver" in command and "forkserver" not in _read(_parent(process), "cmdline"):
        return f"fork server{state}"
    return f"pool process{state}"


def described(process: int) -> str:
    """Return a process in words."""
    return f"{kind_of(process)} {process} ({_state(process)}) {_read(process, 'cmdline')[:120]}"


def _parent(process: int) -> int:
    stat = _read(process, "stat")
    return int(stat.rpartition(")")[2].split()[1]) if stat else 0


def _state(process: int) -> str:
    """Return the letter of a process's state, X if it has gone."""
    stat = _read(process, "stat")
    return stat.rpartition(")")[2].split()[0] if stat else "X"


def _read(process: int, what: str) -> str:
    try:
        return Path(f"/proc/{process}/{what}").read_text(errors="replace").replace("\0", " ")
    except OSError:
        return ""


def _without_digits(name: str) -> str:
    """Return a name without what chance has put into it."""
    return re.sub(r"(?<=[-.])\w{6,}$|\d+", "…", name)


def outcomes(text: str) -> list[dict[str, Any]] | None:
    """Return the runs of a result in JSON, without what depends on when and where they were.

    None if the text is not a whole result.
    """
    try:
        runs: list[dict[str, Any]] = json.loads(text)["runs"]
        for run in runs:
            del run["execution"], run["environments"]
    except (ValueError, KeyError, TypeError):
        return None
    return runs


def remove(path: Path) -> None:
    """Remove a file or a folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
