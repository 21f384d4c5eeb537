"""Kills and signals, at random moments, of any process of a run that is then resumed."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from memory import family

from campaigns.runs import Resumed, Undisturbed
from campaigns.trial import Program, Sandbox, Verdict, kind_of, remove

_LINREG = "linreg -a topk,regtopk,oracle -d 0.6 -r 1500 --checkpoint-every 100 -f json"
_CIFAR = (
    "cifar --dataset synthetic -a topk,regtopk -d 0.01 -n 4 -b 4 -r 12 --evaluate-every 6 "
    "--checkpoint-every 3 -f json"
)
_RUNS = {
    "linreg -p 1": (f"{_LINREG} -p 1", 6),
    "linreg -p 2": (f"{_LINREG} -p 2", 6),
    "linreg --jobs 2": (f"{_LINREG} --jobs 2", 4),
    "cifar -p 1": (f"{_CIFAR} -p 1", 2),
    "cifar -p 2": (f"{_CIFAR} -p 2", 2),
}
"""Commands by a short name, and how many of twenty chains take each."""

_ATTACKS_PER_CHAIN = 4
_STARTS_PER_CHAIN = 10
_UP_SECONDS = 1.5
_TWICE_SECONDS = 0.2
_LOOK_SECONDS = 0.005
_TIMEOUT_SECONDS, _NEVER_SECONDS = 20, 1000
"""How long a process may not answer: one that was stopped, and one on a busy machine."""

_MILESTONES = (
    "runs/*",
    "runs/*/journal.jsonl",
    "runs/*/checkpoints",
    "runs/*/checkpoints/*/round-*",
    "runs/*/result.json",
    "runs/*/traces.csv",
    "runs/*/comparisons.csv",
)
"""Files that show what a run is doing."""


@dataclass(frozen=True)
class Attack:
    """A signal, or several, for a process of a run."""

    target: str
    """A kind of process, or "group", all of them."""
    signals: tuple[int, ...]
    allowed: tuple[int, ...]
    """Exit codes that are right afterwards."""

    def __str__(self) -> str:
        names = " and ".join(signal.Signals(number).name for number in self.signals)
        return f"{names} to {self.target}"


_INTERRUPTED = (0, 130)
_STARTED_AGAIN = (0,)
_KILLED = (0, -signal.SIGKILL)

KILLS = (
    Attack("main", (signal.SIGKILL,), _KILLED),
    Attack("group", (signal.SIGKILL,), _KILLED),
    *[Attack("pool process", (signal.SIGKILL,), _STARTED_AGAIN)] * 3,
    Attack("fork server", (signal.SIGKILL,), _STARTED_AGAIN),
    Attack("resource tracker", (signal.SIGKILL,), _STARTED_AGAIN),
)
SIGNALS = (
    *(
        Attack(target, (number,), _INTERRUPTED)
        for target in ("main", "group")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    ),
    Attack("group", (signal.SIGINT, signal.SIGINT), _INTERRUPTED),
    Attack("group", (signal.SIGTERM, signal.SIGTERM), _INTERRUPTED),
)
STOPS = (
    Attack("pool process", (signal.SIGSTOP,), _STARTED_AGAIN),
    Attack("fork server", (signal.SIGSTOP,), _STARTED_AGAIN),
)
"""For a version that ends a run whose processes do not answer."""


@dataclass
class Chains:
    """Runs that are attacked, resumed and attacked again; a trial is one run, to its end."""

    name: str
    attacks: tuple[Attack, ...]
    count: int
    """How many attacks to make."""
    seed: int
    home: Path
    has_timeout: bool
    """Whether this version ends a run whose processes do not answer."""

    def __post_init__(self) -> None:
        """See what every run gives undisturbed."""
        self.trials = -(-self.count // _ATTACKS_PER_CHAIN)
        self._undisturbed = {
            name: Undisturbed.measure(command.split(), self.home / "undisturbed")
            for name, (command, _) in _RUNS.items()
        }
        self._names = [name for name, (_, weight) in _RUNS.items() for _ in range(weight)]
        random.Random(self.seed).shuffle(self._names)

    def run(self, number: int, folder: Path) -> Iterator[Verdict]:
        """Attack a run several times, then resume it to its end."""
        draw = random.Random(f"{self.seed} {self.name} {number}")
        name = self._names[number % len(self._names)]
        undisturbed = self._undisturbed[name]
        sandbox = Sandbox(folder)
        run = Resumed(undisturbed, sandbox)
        attempt, found = "", list[str]()
        made = 0
        for _ in range(_STARTS_PER_CHAIN):
            attack = self._attack(name, draw) if made < _ATTACKS_PER_CHAIN else None
            if run.finished:
                run.restart()
            stops = attack is not None and signal.SIGSTOP in attack.signals
            program = run.start(**self._timeout(stops))
            struck = attack and strike(attack, 1.1 * undisturbed.seconds, program, draw)
            ended = program.wait()
            allowed = attack.allowed if attack and struck else (0,)
            more = run.complaints(program, ended, allowed)
            if attack and struck:
                if attempt:
                    yield Verdict(attempt, found)
                made += 1
                attempt, found = f"{name}: {attack}, {struck}", more
            else:  # what a resumed run does shows what the attack before it has done
                found += [each for each in more if each not in found]
            if made == _ATTACKS_PER_CHAIN and run.finished:
                break
        else:
            found.append("not finished after many resumptions")
        yield Verdict(attempt, found)
        sandbox.close()
        remove(sandbox.work)

    def _timeout(self, short: bool) -> dict[str, str]:
        """Return the variable that says how long a process may not answer."""
        seconds = _TIMEOUT_SECONDS if short else _NEVER_SECONDS
        return {"REGTOPK_BENCH_TIMEOUT": str(seconds)} if self.has_timeout else {}

    def _attack(self, name: str, draw: random.Random) -> Attack:
        alone = name.endswith("-p 1")
        return draw.choice(
            [each for each in self.attacks if not alone or each.target in ("main", "group")]
        )


def strike(attack: Attack, within: float, program: Program, draw: random.Random) -> str | None:
    """Wait for a random moment, then send the signals; say when, or None if it was too late.

    Args:
        attack: What to send, and to which process.
        within: How many seconds from now the moment is at most; half as many from when the process
            is there, if it is not the main one.
        program: Of which the process is one.
        draw: Determines the moment.
    """
    milestone, delay = None, draw.uniform(0.0, within)
    kind = draw.choice(("any moment", "any moment", "start", "milestone"))
    if kind == "start":
        delay = draw.uniform(0.0, 0.5)
    elif kind == "milestone":
        milestone, delay = draw.choice(_MILESTONES), draw.uniform(0.0, 0.05)
    elif attack.target not in ("main", "group"):
        delay /= 2  # it counts from when the target is there
    began = time.monotonic()
    _wait_until_up(attack, program)
    while program.running():
        reached = milestone is None or any(program.sandbox.work.glob(milestone))
        if reached and _target(attack, program, draw) is not None:
            break
        time.sleep(_LOOK_SECONDS)
    deadline = time.monotonic() + delay
    while program.running() and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    while program.running():
        target = _target(attack, program, draw)
        if target is None:
            time.sleep(_LOOK_SECONDS)
            continue
        for number in attack.signals:
            if program.running():
                program.send(target, number, group=attack.target == "group")
            if number != attack.signals[-1] or len(attack.signals) > 1:
                time.sleep(_TWICE_SECONDS)
        return f"{time.monotonic() - began:.2f} s after its start ({milestone or kind})"
    return None


def _wait_until_up(attack: Attack, program: Program) -> None:
    """Wait until the program can know of signals: before that, nobody could handle them."""
    if set(attack.signals) & {signal.SIGKILL, signal.SIGSTOP}:
        return
    deadline = time.monotonic() + _UP_SECONDS
    status = Path(f"/proc/{program.popen.pid}/status")
    while program.running() and time.monotonic() < deadline:
        lines = dict(line.split(":\t") for line in status.read_text().splitlines() if ":\t" in line)
        if int(lines.get("SigCgt", "0"), 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(_LOOK_SECONDS)


def _target(attack: Attack, program: Program, draw: random.Random) -> int | None:
    """Return the process to send to, if it is there yet."""
    if attack.target in ("main", "group"):
        return program.popen.pid
    fitting = [each for each in family(program.popen.pid) if kind_of(each) == attack.target]
    return draw.choice(fitting) if fitting else None


def kills(count: int, seed: int, home: Path) -> Chains:
    """Return the campaign of SIGKILLs."""
    return Chains("kills", KILLS, count, seed, home, _has_timeout(home))


def signals(count: int, seed: int, home: Path) -> Chains:
    """Return the campaign of signals that a program can handle, and of stopped processes."""
    has_timeout = _has_timeout(home)
    attacks = SIGNALS + (STOPS if has_timeout else ())
    return Chains("signals", attacks, count, seed, home, has_timeout)


def _has_timeout(home: Path) -> bool:
    """Tell whether this version ends a run whose processes do not answer."""
    shown = Sandbox(home / "settings").run("config", "linreg", "-f", "json")
    return "timeout" in json.loads(shown.stdout)["linreg"]
