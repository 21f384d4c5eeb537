"""Virtual environments without a download: links to what is installed here, and the wheel.

An environment has the packages that the wheel requires, and those that they require, and no others:
what an extra would bring is absent, and not merely hidden. pip itself installs the wheel, from no
index, so it fails if a requirement is not met.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

QUIET = ("--quiet", "--disable-pip-version-check")


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the wheel."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def program(self) -> Path:
        """The command as installed by pip."""
        return self.folder / "bin" / "regtopk-bench"

    def run(
        self, command: Iterable[str | Path], folder: Path, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a folder, where only this environment is seen."""
        hidden = ("PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "VIRTUAL_ENV")
        ours = {name: value for name, value in os.environ.items() if name not in hidden}
        return subprocess.run(
            [str(part) for part in command],
            cwd=folder,
            env=ours | {"PATH": f"{self.folder / 'bin'}:{os.defpath}", **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )

    def bench(self, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run the program."""
        return self.run([self.program, *arguments], folder)


def make(folder: Path, wheel: Path, extras: Iterable[str] = ()) -> Environment:
    """Make an environment with a wheel and some of its extras."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (own,) = Distribution.discover(name="regtopk-bench", path=[str(wheel)])
    for found in _required(own, frozenset(extras), set()):
        for name in {file.parts[0] for file in found.files or ()}:
            target = Path(str(found.locate_file(name)))
            if name not in ("..", "__pycache__") and not (site / name).exists():
                (site / name).symlink_to(target.resolve())
    made = Environment(folder)
    wanted = f"{wheel}[{','.join(extras)}]" if extras else str(wheel)
    pip = [sys.executable, "-m", "pip", "--isolated", "--python", made.python, "install"]
    subprocess.run([*pip, "--no-index", *QUIET, wanted], check=True, timeout=300)
    return made


def _required(
    of: Distribution, extras: frozenset[str], seen: set[tuple[str, str]]
) -> Iterator[Distribution]:
    """Yield what a distribution requires here, itself and through others."""
    for line in of.requires or ():
        wanted = Requirement(line)
        name = canonicalize_name(wanted.name)
        if wanted.marker and not any(wanted.marker.evaluate({"extra": e}) for e in ("", *extras)):
            continue
        for extra in ("", *wanted.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            found = of if name == "regtopk-bench" else distribution(name)
            if name != "regtopk-bench" and not extra:
                yield found
            if extra or found is not of:
                yield from _required(found, frozenset({extra} - {""}), seen)
