"""Paths as users write them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class UserPath(os.PathLike[str]):
    """A path as it was written, which is what results store; its ~ counts where it is opened."""

    text: str

    def __fspath__(self) -> str:
        """Return the path with the home folder that ~ or ~user stands for.

        Raises:
            RuntimeError: If there is no such user.
        """
        return str(Path(self.text).expanduser())

    def __str__(self) -> str:
        """Return the path as it was written."""
        return self.text


CACHE = UserPath("~/.cache/regtopk-bench")
"""Where whatever can be made again is kept."""
