"""Damaged files: refused in one line, or read as if they were whole; never anything else."""

from __future__ import annotations

import contextlib
import json
import queue
import random
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from campaigns import damage
from campaigns.samples import image_archive, image_folder
from campaigns.trial import NOTES, ROOT, Sandbox, Verdict, remove

_WORKER = Path(__file__).with_name("worker.py")
_LIMIT_SECONDS = 30.0
_START_SECONDS = 120.0

_FORMATS = ("table", "json", "csv", "markdown", "latex")
_LINREG = "linreg -n 3 --samples 10 --dim 6 -a topk,regtopk -d 0.5 -r 8 -p 1 -f json"
_CIFAR = ("cifar", "--cache", "cache", "-r", "1", "-a", "topk", "-n", "2", "-b", "2", "--no-save")

Call = tuple[str, ...]
"""What the worker is to do: the name of a call and its arguments."""


@dataclass(frozen=True)
class Kind:
    """A kind of file, how it is damaged, and how it is read."""

    weight: int
    """Its share of the trials."""
    base: str
    """The folder with the sound files."""
    target: str
    """The pattern of the files of which one is damaged."""
    calls: tuple[Call, ...]
    """One is chosen for each trial."""
    checked: Literal["all", "shape", "none"] = "none"
    """What has a checksum, and so must not differ if the file is read."""
    damages: tuple[Callable[[bytes, random.Random], damage.Damage], ...] = (damage.of_bytes,)
    primed: bool = False
    """Whether the call is made once before the damage, as what it leaves is damaged."""


def _shows(path: str) -> tuple[Call, ...]:
    """Return how a result is shown: in any format, seldom with the plot, which takes longer."""
    printed = [("command", "show", path, "--no-plot", "-f", each) for each in _FORMATS]
    return (*printed, *printed, ("command", "show", path))


def _images(path: str) -> tuple[Call, ...]:
    """Return how images are read: mostly by the library, which takes less time."""
    command = ("resumed", *_CIFAR, "--data", path, "-f", "json")
    return (*[("images", path, "cache")] * 9, command)


_RESULT = (damage.of_bytes, damage.of_json, damage.of_json)
_FOLDER = "*/*/*.*"

KINDS = {
    "result": Kind(18, "linreg", "result.json", _shows("."), damages=_RESULT),
    "result of cifar": Kind(6, "cifar", "result.json", _shows("."), damages=_RESULT),
    "result of kernels": Kind(6, "kernels", "result.json", _shows("."), damages=_RESULT),
    "journal": Kind(12, "journal", "journal.jsonl", _shows("."), damages=_RESULT),
    "resumed journal": Kind(
        6, "journal", "journal.jsonl", (("resumed", "linreg", "--resume", "."),), damages=_RESULT
    ),
    "settings file": Kind(
        14,
        "toml",
        "benchmarks.toml",
        tuple(
            ("command", "config", *command, "-f", "json", "--profile", profile)
            for command in ((), ("linreg",), ("kernels",))
            for profile in ("quick", "paper")
        ),
        damages=(damage.of_bytes, damage.of_toml, damage.of_toml),
    ),
    "tar": Kind(6, "tar", "images.tar", _images("images.tar"), "shape"),
    "tgz": Kind(5, "tgz", "images.tgz", _images("images.tgz"), "all"),
    "txz": Kind(5, "txz", "images.txz", _images("images.txz"), "all"),
    "tar.bz2": Kind(5, "bz2", "images.tar.bz2", _images("images.tar.bz2"), "all"),
    "zip": Kind(6, "zip", "images.zip", _images("images.zip"), "all"),
    "png": Kind(6, "png", _FOLDER, _images("."), "all"),
    "png, 16 bits": Kind(3, "png16", _FOLDER, _images("."), "all"),
    "jpg": Kind(4, "jpg", _FOLDER, _images("."), "shape"),
    "bmp": Kind(3, "bmp", _FOLDER, _images("."), "shape"),
    "tiff": Kind(4, "tiff", _FOLDER, _images("."), "shape"),
    "tiff, 16 bits": Kind(3, "tiff16", _FOLDER, _images("."), "shape"),
    "checkpoint": Kind(10, "checkpoint", "*.npz", (("checkpoint", "."),), "all"),
    "weights": Kind(8, "weights", "weights.pt", (("weights", "weights.pt"),), "all"),
    "old weights": Kind(4, "oldweights", "weights.pt", (("weights", "weights.pt"),)),
    "decoded images": Kind(
        4, "tgz", "cache/decoded/*", _images("images.tgz")[:1], "all", primed=True
    ),
    "unpacked images": Kind(
        4, "tgz", "cache/unpacked/*/files/**/*", _images("images.tgz")[:1], "all", primed=True
    ),
}


class Worker:
    """A process that reads files, started again after a crash."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Start it."""
        self._errors = sandbox.folder / "worker.err"
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, _WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=sandbox.environment,
                text=True,
            )
        self._warm = False

    def ask(self, call: Call, folder: Path) -> dict[str, Any]:
        """Return the reply to a call; one without a code if the process crashed or hung."""
        assert self._process.stdin
        assert self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            print(
                json.dumps([call[0], call[1:], str(folder)]), file=self._process.stdin, flush=True
            )
        limit = _LIMIT_SECONDS if self._warm else _START_SECONDS
        if not select.select([self._process.stdout], [], [], limit)[0]:
            self.close()
            return {"gone": "hangs"}
        line = self._process.stdout.readline()
        if not line:
            return {"gone": f"crashes the interpreter, exit code {self._process.wait()}"}
        self._warm = True
        reply: dict[str, Any] = json.loads(line)
        return reply

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


@dataclass
class Files:
    """Files that are damaged, one at a time, and read."""

    trials: int
    seed: int
    home: Path
    _workers: queue.LifoQueue[Worker] = field(default_factory=queue.LifoQueue, init=False)
    _expected: dict[tuple[str, Call], dict[str, Any]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Make the sound files, and see what reading them gives."""
        self._sandbox = Sandbox(self.home / "workers")
        self._bases = self.home / "sound"
        _make(self._bases, Sandbox(self.home / "making"))
        for kind in KINDS.values():
            for call in dict.fromkeys(kind.calls):
                with _copied(self._bases / kind.base, self.home / "copy") as copy:
                    reply = self._ask(call, copy)
                if reply.get("code") != 0:
                    raise RuntimeError(f"{call} fails on a sound file: {reply}")
                self._expected[kind.base, call] = reply
        everything = [(name, other) for name in KINDS for other in damage.NO_FILES]
        fair = min(len(everything), self.trials // 4)
        self._replaced = random.Random(f"{self.seed} files").sample(everything, fair)
        self._names = [name for name, kind in KINDS.items() for _ in range(kind.weight)]

    def run(self, number: int, folder: Path) -> Iterator[Verdict]:
        """Damage a file, or put something else in its place, and read it."""
        draw = random.Random(f"{self.seed} files {number}")
        name, other = draw.choice(self._names), None
        if number < len(self._replaced):
            name, other = self._replaced[number]
        kind = KINDS[name]
        call = draw.choice(kind.calls)
        work = folder / "files"
        with _copied(self._bases / kind.base, work):
            if kind.primed:
                self._ask(call, work)
            file = draw.choice(sorted(path for path in work.glob(kind.target) if path.is_file()))
            if other:
                how = other
                file.unlink()
                damage.NO_FILES[other](file)
            else:
                sound = file.read_bytes()
                how, content = draw.choice(kind.damages)(sound, draw)
                while content == sound:
                    how, content = damage.of_bytes(sound, draw)
                file.write_bytes(content)
                shutil.copy(file, folder / file.name)
            reply = self._ask(call, work)
        complaints = _complaints(kind, self._expected[kind.base, call], reply)
        if other == "missing" and kind.base in _IMAGES:  # a folder with one image fewer is fine
            complaints = [each for each in complaints if "silently" not in each]
        shown = {key: str(value)[:3000] for key, value in reply.items()}
        text = [f"{file.relative_to(work)}: {how}", " ".join(call), json.dumps(shown, indent=1)]
        (folder / "transcript.txt").write_text("\n".join(text), encoding="utf-8", errors="replace")
        yield Verdict(f"{name}: {how}, {' '.join(call[:3])}", complaints)

    def _ask(self, call: Call, folder: Path) -> dict[str, Any]:
        try:
            worker = self._workers.get_nowait()
        except queue.Empty:
            worker = Worker(self._sandbox)
        reply = worker.ask(call, folder)
        if "gone" not in reply:
            self._workers.put(worker)
        return reply


def _complaints(kind: Kind, expected: dict[str, Any], reply: dict[str, Any]) -> list[str]:
    """Say what is wrong with a reply, given the one that the sound file has."""
    if "gone" in reply:
        return [reply["gone"]]
    code, stderr = reply["code"], reply["stderr"]
    if "Traceback" in stderr:
        return [f"a traceback: {stderr.strip().splitlines()[-1].partition(':')[0]}"]
    if "internal error" in stderr:
        error = re.search(r"internal error:\s*(\w+)", stderr)
        return [f"an internal error: {error[1] if error else ''}"]
    if code not in (0, 2, 3):
        return [f"exit code {code}"]
    lines = [line for line in stderr.splitlines() if line and not NOTES.match(line)]
    found = []
    if code and (len(lines) != 1 or not lines[0].startswith("error:")):
        found.append(f"{len(lines)} lines for an error")
    if not code and lines:
        found.append("exit code 0 with an error")
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", stderr + reply.get("stdout", "")):
        found.append("control characters are printed")
    if code == 0 and kind.checked == "all" and _read(reply) != _read(expected):
        found.append("accepted silently, and is another than the sound one")
    if code == 0 and kind.checked == "shape" and reply.get("shape") != expected.get("shape"):
        found.append("accepted silently, and is another in what has a checksum")
    return found


def _read(reply: dict[str, Any]) -> tuple[Any, Any]:
    return reply.get("outcome"), reply.get("shape")


@contextlib.contextmanager
def _copied(base: Path, folder: Path) -> Iterator[Path]:
    """Yield a copy of a folder, as a place to work in."""
    shutil.copytree(base, folder)
    try:
        yield folder
    finally:
        remove(folder)


_IMAGES = ("png", "png16", "jpg", "bmp", "tiff", "tiff16")


def _make(bases: Path, sandbox: Sandbox) -> None:
    """Make sound files of every kind."""
    bases.mkdir()
    for name in _IMAGES:
        image_folder(bases / name, f".{name.removesuffix('16')}", deep=name.endswith("16"))
    for name, suffix in (("tar", ".bmp"), ("tgz", ".png"), ("txz", ".png"), ("zip", ".png")):
        (bases / name).mkdir()
        image_archive(bases / name / f"images.{name}", suffix)
        remove(bases / name / f"images.{name}.images")
    (bases / "bz2").mkdir()
    image_archive(bases / "bz2" / "images.tar.bz2")
    remove(bases / "bz2" / "images.tar.bz2.images")
    kernels = "kernels -n 1000 -d 0.1 -r 3 -i numba,torch.topk -f json"
    cifar = "cifar --dataset synthetic -a topk,regtopk -n 2 -b 2 -r 4 --evaluate-every 2 -f json"
    for name, command in (("linreg", _LINREG), ("cifar", cifar), ("kernels", kernels)):
        ended = sandbox.run(*command.split(), "-o", name)
        if ended.code:
            raise RuntimeError(f"{command} fails: {ended.stderr}")
        (folder,) = (sandbox.work / name).iterdir()
        folder.rename(bases / name)
    (bases / "toml").mkdir()
    shutil.copy(ROOT / "benchmarks.toml", bases / "toml")
    worker = Worker(sandbox)
    reply = worker.ask(("samples", str(bases / "linreg" / "result.json")), bases)
    worker.close()
    if reply.get("code") != 0:
        raise RuntimeError(f"no samples: {reply}")
