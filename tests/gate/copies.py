"""Copies of the package, in which a line of a file reads otherwise."""

from __future__ import annotations

import shutil
from pathlib import Path

import regtopk_bench


class Copy:
    """A copy of the package in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._package = folder / "regtopk_bench"
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(regtopk_bench.__file__).parent, self._package, ignore=ignored)
        # Every copy would compile its own Numba kernels; the plain ones give the same bits.
        numba = 'implementation("numba" if tensor.is_cpu else "triton")'
        self.edit("kernels/__init__.py", numba, "None")

    def edit(self, file: str, before: str, after: str) -> None:
        """Replace what is there once."""
        path = self._package / file
        text = path.read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{file} no longer has one line that reads {before}"
        path.write_text(text.replace(before, after), encoding="utf-8")
