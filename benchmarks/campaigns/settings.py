"""Settings, outputs and systems that nobody would choose: refused in one line, or made do with."""

from __future__ import annotations

import json
import random
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from campaigns import hostile
from campaigns.trial import COMMAND, Ended, Sandbox, Verdict, outcomes, remove

_LIMIT_SECONDS = 60.0
_MEMORY = "ulimit -v 12000000; "
"""In KiB: no trial may take the machine's memory."""

_TINY: dict[str, dict[str, str]] = {
    "linreg": {
        **{"workers": "3", "samples": "10", "dim": "6", "algorithm": "topk", "density": "0.5"},
        **{"rounds": "5", "processes": "1", "format": "json", "save": "false"},
    },
    "cifar": {
        **{"dataset": "synthetic", "workers": "2", "batch": "2", "algorithm": "topk"},
        **{"density": "0.1", "rounds": "1", "processes": "1", "format": "json", "save": "false"},
    },
    "toy": {"rounds": "5", "format": "json"},
    "kernels": {
        **{"size": "1000", "density": "0.1", "repeats": "3", "implementation": "numba"},
        **{"format": "json", "save": "false"},
    },
}
"""Commands that take no time."""


@dataclass(frozen=True)
class Case:
    """A call that nobody would make, and what is right."""

    what: str
    arguments: tuple[str, ...]
    allowed: tuple[int, ...] = (0, 2, 3)
    shell: str = '"$@"'
    """How the program is called, in the language of the shell."""
    environment: Mapping[str, str] = field(default_factory=dict)
    toml: str = ""
    like: tuple[str, ...] = ()
    """A call with the same exit code and the same output."""
    mute: bool = False
    """Whether stderr cannot be read."""
    coloured: bool = False
    patient: bool = False
    """Whether it may be long work, which has to stop when interrupted."""


@dataclass
class Settings:
    """Calls with settings, outputs and systems that may be wrong."""

    trials: int
    seed: int
    home: Path
    _plain: dict[tuple[str, ...], Ended] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Choose the calls, and see what the undisturbed ones give."""
        sandbox = Sandbox(self.home / "plain")
        self._result = self.home / "result"
        sandbox.run(*_flags("linreg", {"save": "true"}), "-o", "saved")
        next((sandbox.work / "saved").iterdir()).rename(self._result)
        for command in self._commands():
            self._plain[command] = sandbox.run(*command)
        shown = json.loads(sandbox.run("config", "-f", "json").stdout)
        declared = {
            command: {name: each["value"] for name, each in settings.items()}
            for command, settings in shown.items()
            if command in _TINY
        }
        draw = random.Random(f"{self.seed} settings")
        given = [*_usage(), *_outputs(self._commands()), *_systems()]
        chosen = draw.sample(given, min(len(given), self.trials * 2 // 3))
        values = [_value(draw, declared) for _ in range(self.trials - len(chosen))]
        self._cases = [*chosen, *values]

    def run(self, number: int, folder: Path) -> Iterator[Verdict]:
        """Make a call."""
        case = self._cases[number]
        sandbox = Sandbox(folder)
        if case.toml:
            (sandbox.work / "benchmarks.toml").write_text(case.toml, errors="surrogateescape")
            sandbox.write(case.toml[:1000])
        program = sandbox.start(
            *case.arguments,
            command=("bash", "-c", _MEMORY + case.shell, "bash", *COMMAND),
            environment=case.environment,
        )
        ended = program.wait(_LIMIT_SECONDS, patient=case.patient)
        allowed = (*case.allowed, 130) if case.patient else case.allowed
        complaints = [*ended.complaints(allowed), *program.left()]
        if case.like:
            complaints += _unlike(ended, self._plain[case.like])
        if case.mute:
            complaints = [each for each in complaints if "without" not in each]
        if case.coloured:
            complaints = [each for each in complaints if "control characters" not in each]
        yield Verdict(case.what, complaints)
        sandbox.close()
        remove(sandbox.work)

    def _commands(self) -> list[tuple[str, ...]]:
        """Return calls of every kind, good and bad."""
        return [
            _flags("linreg"),
            _flags("linreg", {"format": "table"}),
            _flags("linreg", {"rounds": "abc"}),
            _flags("linreg", {"rounds": "3000", "learning_rate": "10"}),
            ("toy",),
            ("config",),
            ("show", str(self._result), "--no-plot"),
            ("show", str(self._result), "--no-plot", "-f", "json"),
            ("show", "nothing"),
            ("--help",),
            ("linreg", "--help"),
            ("--version",),
            ("linreg", "--raunds", "3"),
        ]


def _unlike(ended: Ended, plain: Ended) -> list[str]:
    """Say how an end differs from another one, but for times."""
    if ended.code != plain.code:
        return [f"exit code {ended.code}, and {plain.code} otherwise"]
    expected = outcomes(plain.stdout)
    same = outcomes(ended.stdout) == expected
    if expected is None:
        same = len(ended.stdout.splitlines()) == len(plain.stdout.splitlines())
    return [] if same else ["another output than otherwise"]


def _flags(command: str, other: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return a call of a command that takes no time, with some settings changed."""
    settings = _TINY[command] | dict(other or {})
    flags = [command]
    for name, value in settings.items():
        flag = "--" + name.replace("_", "-")
        if name == "save":
            flags.append("--save" if value == "true" else "--no-save")
        else:
            flags += [f"{flag}={value}"]
    return tuple(flags)


def _value(draw: random.Random, declared: Mapping[str, Mapping[str, Any]]) -> Case:
    """Return a call with a hostile value of one setting, by flag, variable or file."""
    command = draw.choice(list(declared))
    name, default = draw.choice(list(declared[command].items()))
    value, allowed, patient = _hostile(draw, name, default)
    saved = {"save": "true"} if name in ("output", "plot_format", "plot_width") else {}
    flag = "--" + name.replace("_", "-")
    others = (flag, f"--no-{name}", *(["--dataset"] if name == "data" else []))
    call = [each for each in _flags(command, saved) if each.partition("=")[0] not in others]
    how = draw.choice(
        ("variable", "file") if isinstance(default, bool) else ("flag", "variable", "file")
    )
    what = f"{command}: {name} {value[:30]!r} by {how}"
    if how == "flag":
        return Case(what, (*call, f"{flag}={value}"), allowed, patient=patient)
    if how == "variable":
        given = {f"REGTOPK_BENCH_{name.upper()}": value}
        allowed = allowed if value else (0, 2, 3)  # an empty one counts as not given
        return Case(what, tuple(call), allowed, environment=given, patient=patient)
    written = value if value.isalnum() and draw.random() < 0.3 else json.dumps(value)
    toml = f"version = 1\n[defaults.{command}]\n{name} = {written}\n"
    return Case(what, tuple(call), allowed, toml=toml, patient=patient)


def _hostile(draw: random.Random, name: str, default: Any) -> tuple[str, tuple[int, ...], bool]:
    """Return a value, the exit codes that are right, and whether it may mean long work."""
    sound = default[0] if isinstance(default, list) and default else default
    if isinstance(sound, bool):
        return draw.choice(hostile.NO_SWITCH), (2,), False
    if isinstance(sound, int | float) or name in hostile.NUMERIC:
        if draw.random() < 0.6:
            return draw.choice(hostile.NO_NUMBERS), (2,), False
        return draw.choice(hostile.NUMBERS), (0, 2, 3), True
    own = {"algorithm": hostile.ALGORITHMS, "partition": hostile.PARTITIONS}.get(name, ())
    texts = [
        each for each in hostile.TEXTS if name not in ("output", "cache") or _stays_inside(each)
    ]
    return draw.choice([*texts, *own, *own]), (0, 2, 3), False


def _stays_inside(path: str) -> bool:
    """Tell whether nothing is written outside the trial's folder, not even by root."""
    return path.startswith(("/dev/", "~nouser")) or not path.startswith(("/", "..", "~"))


def _usage() -> Iterator[Case]:
    """Yield calls with flags and variables that do not exist, or not like that."""
    tiny = _flags("linreg")
    for more in ("--raunds 5", "-z", "more", "--rounds", "--profile nope", "--config nope", "-d="):
        yield Case(f"linreg {more}", (*tiny, *more.split()), (2,))
    for wrong in (("lineg",), ("show",), ("show", "a", "b"), ("config", "x"), ("--rounds", "5")):
        yield Case(" ".join(wrong), wrong, (2,))
    yield Case("-d and -k", (*tiny, "-k", "2"), (2,))
    others: dict[str, tuple[int, ...]] = {
        "ROUND": (2,),
        "MU": (2,),
        "LEARNINGRATE": (2,),
        "Rounds": (2,),
        "BATCH": (0,),
    }
    for name, allowed in others.items():
        given = {f"REGTOPK_BENCH_{name}": "5"}
        yield Case(f"the variable REGTOPK_BENCH_{name}", tiny, allowed, environment=given)
    yield Case("an empty variable", tiny, (0,), environment={"REGTOPK_BENCH_SEEDS": ""})
    for path in ("/", "/dev/null", "/dev/full", "~nouser/x", "a\nb", "x" * 300, ""):
        for option in ("--config", "--output"):
            call = _flags("linreg", {"save": "true"})
            if option == "--output" and not _stays_inside(path):
                continue
            allowed = (0, 2) if option == "--output" and path == "a\nb" else (2,)
            yield Case(f"{option} {path[:20]!r}", (*call, f"{option}={path}"), allowed)
    fifo = 'mkfifo pipe; exec "$@"'
    for option in ("config", "resume"):
        yield Case(f"--{option} FIFO", (*tiny, f"--{option}=pipe"), (2,), shell=fifo)
    yield Case("show FIFO", ("show", "pipe"), (2,), shell=fifo)
    for option in ("data", "weights"):
        call = (*_flags("cifar"), f"--{option}=pipe", "--cache=cache")
        if option == "data":
            call = tuple(each for each in call if not each.startswith("--dataset"))
        yield Case(f"--{option} FIFO", call, (2, 3), shell=fifo)


def _outputs(commands: Sequence[tuple[str, ...]]) -> Iterator[Case]:
    """Yield calls whose output cannot be written, or in another way than usual."""
    closed = {
        "stdout full": '"$@" > /dev/full',
        "stdout closed": '"$@" >&-',
    }
    unread = {
        "a pipe to head": '"$@" | head -1; exit ${PIPESTATUS[0]}',
        "a pipe to nobody": '"$@" | true; exit ${PIPESTATUS[0]}',
    }
    mute = {
        "stderr closed": '"$@" 2>&-',
        "stderr full": '"$@" 2> /dev/full',
        "stdin and stderr closed": '"$@" <&- 2>&-',
    }
    other = {
        "stdin closed": '"$@" <&-',
        **{f"COLUMNS={each}": f'COLUMNS={each} "$@"' for each in ("0", "1", "-5", "abc", "100000")},
        **{
            f"PYTHONIOENCODING={each}": f'LC_ALL=C LANG=C PYTHONIOENCODING={each} "$@"'
            for each in ("ascii", "latin-1", "cp1252", "ascii:strict")
        },
        "PYTHONUTF8=0": 'LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 "$@"',
        "no terminal": 'TERM=dumb NO_COLOR=1 "$@"',
        "an unknown terminal": 'env -u TERM FORCE_COLOR=1 "$@"',
    }
    for command in commands:
        shown = " ".join(command[:2])
        wrong = "nothing" in command or "--raunds" in command or "--rounds=abc" in command
        diverges = "--learning-rate=10" in command
        code = 2 if wrong else 3 if diverges else 0
        for what, shell in closed.items():
            allowed = (code,) if code == 2 else (3,)
            yield Case(f"{shown}: {what}", command, allowed, shell)
        for what, shell in unread.items():
            yield Case(f"{shown}: {what}", command, (code,), shell)
        for what, shell in mute.items():
            yield Case(f"{shown}: {what}", command, (code,), shell, like=command, mute=True)
        for what, shell in other.items():
            same = () if "COLUMNS" in what else command
            colour = "FORCE_COLOR" in shell
            yield Case(f"{shown}: {what}", command, (code,), shell, like=same, coloured=colour)


def _systems() -> Iterator[Case]:
    """Yield calls on systems that lack something."""
    saved = {"save": "true", "algorithm": "topk,dense", "rounds": "20"}
    calls = {
        "linreg -p 1": _flags("linreg", saved),
        "linreg -p 2": _flags("linreg", saved | {"processes": "2"}),
        "linreg --jobs 2": (*_flags("linreg", saved), "--jobs=2"),
        "cifar -p 1": _flags("cifar", saved),
    }
    lacking: dict[str, tuple[tuple[int, ...], str]] = {
        "TMPDIR missing": ((0, 2, 3), 'TMPDIR=/dev/null/x "$@"'),
        "TMPDIR a file": ((0, 2, 3), 'touch file; TMPDIR=$PWD/file "$@"'),
        "TMPDIR long": (
            (0, 3),
            f'd=$TMPDIR/{"x" * 100}; mkdir $d; TMPDIR=$d "$@"; code=$?; rmdir $d; exit $code',
        ),
        **{f"{n} open files": ((0, 2, 3), f'ulimit -n {n}; exec "$@"') for n in (10, 20, 32, 64)},
        **{f"{n} GB of memory": ((0, 2, 3), f'ulimit -v {n}000000; exec "$@"') for n in (1, 2, 4)},
        **{f"files of {n} KiB": ((2, 3), f'ulimit -f {n}; exec "$@"') for n in (0, 1, 4)},
        "HOME missing": ((0,), 'HOME=/dev/null/x "$@"'),
        "no HOME": ((0,), 'env -u HOME "$@"'),
        "HOME a device": ((0,), 'HOME=/dev/null "$@"'),
        "no environment": ((0,), 'env -i PYTHONPATH="$PYTHONPATH" TMPDIR="$TMPDIR" "$@"'),
        "one core": ((0,), 'taskset -c 0 "$@"'),
        "threads misspelt": ((0, 2, 3), 'OMP_NUM_THREADS=abc MKL_NUM_THREADS=-1 "$@"'),
        "the working directory gone": ((2, 3), 'mkdir d; cd d; rmdir ../d; exec "$@"'),
        "all closed": ((3,), '"$@" <&- >&- 2>&-'),
    }
    if _may_mount():
        lacking |= {
            "no room in /dev/shm": ((0, 3), _mounted("/dev/shm", "size=4k")),
            "/dev/shm read-only": ((0, 3), _mounted("/dev/shm", "ro")),
            "a full disk": ((2, 3), _mounted(".", "size=8k")),
            "a read-only disk": ((2,), _mounted(".", "ro")),
            "TMPDIR full": ((0, 3), _mounted('"$TMPDIR"', "size=4k,nr_inodes=2")),
            "TMPDIR read-only": ((0, 3), _mounted('"$TMPDIR"', "ro")),
        }
    for name, call in calls.items():
        for what, (allowed, shell) in lacking.items():
            mute = what in ("all closed", "files of 0 KiB")
            yield Case(f"{name}: {what}", call, allowed, shell, mute=mute)


def _mounted(place: str, options: str) -> str:
    """Return how to call the program with a file system of its own somewhere."""
    inside = f'mount -t tmpfs -o {options} tmpfs {place} && cd "$PWD" && exec "$@"'
    return f'unshare -m bash -c {shlex.quote(inside)} bash "$@"'


def _may_mount() -> bool:
    """Tell whether the user may mount file systems, which takes root."""
    probe = ["bash", "-c", _mounted("/dev/shm", "size=4k"), "bash", "true"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0
