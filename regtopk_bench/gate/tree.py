"""Where code under test comes from: this installation, another checkout, another environment."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from regtopk_bench.errors import ConfigurationError

_HERE = Path(__file__).parents[1]
_HOME = _HERE.parent


@dataclass(frozen=True)
class Tree:
    """A Python with the code that it finds."""

    name: str
    """What messages call it."""

    python: Path = Path(sys.executable)
    folder: Path = field(default_factory=Path.cwd)
    """Its working directory, from which algorithms are imported as well."""

    path: tuple[Path, ...] = (_HOME,)
    """Where it looks for packages first."""

    @property
    def where(self) -> Path:
        """The checkout, or the environment where there is none."""
        return self.folder if self.path else self.python.parents[1]

    def environment(self) -> dict[str, str]:
        """Return the variables for its processes."""
        inherited = os.environ.get("PYTHONPATH", "")
        parts = [*map(str, self.path), *([inherited] if inherited else [])]
        # OpenMP's threads would spin on a core for milliseconds after each call.
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(parts),
            "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
        }


def head() -> Tree:
    """Return the code that is running, with algorithms from the working directory.

    Raises:
        ConfigurationError: If that is a checkout of this package, and not the one that is running:
            whoever changed something there would be told that all is well.
    """
    here = Path.cwd() / _HERE.name
    if (here / "__init__.py").exists() and not here.samefile(_HERE):
        raise ConfigurationError(
            f"this folder holds another {_HERE.name} than the one that is running, {_HERE}: to "
            f"check the one here, call it as python -m {_HERE.name}"
        )
    return Tree("head")


def base(folder: Path) -> Tree:
    """Return another checkout, of this package or of one with algorithms, or an environment.

    Raises:
        ConfigurationError: If the folder is neither.
    """
    try:
        folder = folder.expanduser().resolve(strict=True)
    except OSError as error:
        raise ConfigurationError(f"--against {folder}: {error.strerror}") from error
    python = folder / "bin" / "python"
    if python.exists():
        return Tree("base", python=python, path=())
    if not folder.is_dir():
        raise ConfigurationError(f"--against {folder} is no folder")
    return Tree("base", folder=folder, path=(folder, folder / "src", _HOME))
