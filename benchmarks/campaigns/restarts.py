"""Processes that are killed or stopped at random moments, and started again without being asked.

The program does so with its pools and its cells, and torchrun with the ranks. Where a run loses
processes more often than it may start them again, it ends with an error, and is then resumed.
"""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from campaigns.kills import Attack, strike
from campaigns.runs import Resumed, Undisturbed
from campaigns.trial import COMMAND, Sandbox, Verdict, remove

_LINREG = "linreg -a topk,regtopk -d 0.6 -r 1000 --checkpoint-every 100 -f json"
_CIFAR = (
    "cifar --dataset synthetic -a topk,regtopk -d 0.01 -n 4 -b 4 -r 12 --evaluate-every 6 "
    "--checkpoint-every 3 -f json"
)
_POOL = ("pool process", "pool process", "pool process", "fork server")
_RANKS = ("rank 0", "rank 1")
_RUNS = {
    "linreg -p 2": (f"{_LINREG} -p 2", _POOL),
    "cifar -p 2": (f"{_CIFAR} -p 2", _POOL),
    "linreg --jobs 2": (f"{_LINREG} --jobs 2", _POOL[:1]),
    "torchrun linreg": (_LINREG, _RANKS),
    "torchrun cifar": (_CIFAR, _RANKS),
}
"""Commands by a short name, and which of their processes are lost."""
_ORDER = [
    *("linreg -p 2", "torchrun linreg", "cifar -p 2", "torchrun linreg"),
    *("linreg --jobs 2", "torchrun cifar"),
]
"""Which command a trial takes, in turn."""

_ALLOWED = 3
"""How often a run may start processes again, unless it is to come to an end."""
_TIMEOUT_SECONDS, _NEVER_SECONDS = 20, 1000
"""How long a process may not answer: one that was stopped, and one on a busy machine."""
_LIMIT_SECONDS = 300.0
"""torchrun waits for half a minute before it kills a process that was stopped."""


@dataclass
class Restarts:
    """Runs that lose processes."""

    name: str
    number: int
    """The signal."""
    count: int
    """How many runs are disturbed."""
    seed: int
    home: Path

    def __post_init__(self) -> None:
        """See what every run gives undisturbed."""
        self.trials = self.count
        self._undisturbed = {
            name: Undisturbed.measure(
                _RUNS[name][0].split(), self.home / "undisturbed", _launcher(name, 0)
            )
            for name in dict.fromkeys(_ORDER)
        }

    def run(self, number: int, folder: Path) -> Iterator[Verdict]:
        """Disturb a run, and see it through to its end."""
        draw = random.Random(f"{self.seed} {self.name} {number}")
        name = _ORDER[number % len(_ORDER)]
        undisturbed, targets = self._undisturbed[name], _RUNS[name][1]
        losses = 1 if self.number == signal.SIGSTOP else draw.choice((1, 1, 2))
        allowed = draw.choice((_ALLOWED, _ALLOWED, _ALLOWED, losses - 1))
        sandbox = Sandbox(folder, self._environment(allowed))
        run = Resumed(undisturbed, sandbox, _launcher(name, allowed))
        program, struck = run.start(), list[str]()
        for _ in range(losses):
            attack = Attack(draw.choice(targets), (self.number,), ())
            # Ranks are there from the beginning on, and others when a third of the time is over.
            within = undisturbed.seconds * (2.0 if targets is _RANKS else 1.3)
            if when := strike(attack, within, program, draw):
                struck.append(f"{attack}, {when}")
        ended = program.wait(_LIMIT_SECONDS)
        failure = 1 if "torchrun" in name else 3
        codes = (0,) if len(struck) <= allowed else (0, failure)
        found = run.complaints(program, ended, codes, errors=1 + len(struck))
        if not run.finished and not found:
            program = run.start()
            found = run.complaints(program, program.wait(_LIMIT_SECONDS), (0,))
        told = f"{name}, at most {allowed} restarts"
        yield from (Verdict(f"{told}: {each}", []) for each in struck[:-1])
        if struck or found:
            yield Verdict(f"{told}: {'; '.join(struck) or 'nothing'}", found)
        sandbox.close()
        remove(sandbox.work)

    def _environment(self, allowed: int) -> dict[str, str]:
        """Return the variables that say how much a run may lose."""
        stopped = self.number == signal.SIGSTOP
        seconds = _TIMEOUT_SECONDS if stopped else _NEVER_SECONDS
        return {
            "REGTOPK_BENCH_TIMEOUT": str(seconds),
            "REGTOPK_BENCH_RESTARTS": str(allowed),
            "OMP_NUM_THREADS": "1",  # torchrun sets it, and says so
        }


def _launcher(name: str, restarts: int) -> tuple[str, ...]:
    """Return what a command's arguments come after."""
    if "torchrun" not in name:
        return COMMAND
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone")
    # Its folders of logs, empty, it leaves behind, and else among temporary files.
    how = ("--nproc-per-node=2", f"--max-restarts={restarts}", "--log-dir=../torchrun")
    return (*torchrun, *how, "-m", "regtopk_bench")


def restarts(count: int, seed: int, home: Path) -> Restarts:
    """Return the campaign of SIGKILLs."""
    return Restarts("restarts", signal.SIGKILL, count, seed, home)


def hangs(count: int, seed: int, home: Path) -> Restarts:
    """Return the campaign of SIGSTOPs."""
    return Restarts("hangs", signal.SIGSTOP, count, seed, home)
