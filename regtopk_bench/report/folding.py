"""Long text on several lines: broken where its parts meet, and never within a number."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich.cells import cell_len

_PART = 14
"""Cells of a terminal; longer parts are broken anywhere if there is no room."""

_NUMBER = r"[-+]?\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?"
_ATOMS = re.compile(rf"\[{_NUMBER}, {_NUMBER}\]|{_NUMBER}|.", re.DOTALL)
"""Intervals, numbers, and all other characters one by one."""


def least_width(text: str, breaks: str) -> int:
    """Return the fewest cells of a terminal into which a text is folded.

    Args:
        text: One line.
        breaks: The characters after which it may be broken.
    """
    return max((_least(part) for part in _parts(text, breaks)), default=0)


def folded(text: str, width: int, breaks: str) -> list[str]:
    """Return the lines of a text so that they fit into a width.

    Only a number or an interval that is longer than a line goes beyond it.
    """
    lines = [""]
    for part in _parts(text, breaks):
        whole = lines[-1] + part
        if cell_len(whole.rstrip(" ")) <= width:
            lines[-1] = whole
        else:
            lines += _chopped(part, width)
    return [line.rstrip(" ") for line in lines if line] or [""]


def shared_out(room: int, least: Sequence[int], most: Sequence[int]) -> list[int]:
    """Return widths of columns, given cells beyond the least widths: the narrowest grow first."""
    widths = list(least)
    for at in sorted(range(len(widths)), key=lambda at: most[at]):
        grown = min(most[at] - least[at], max(room, 0))
        widths[at] += grown
        room -= grown
    return widths


def _least(part: str) -> int:
    whole = cell_len(part.rstrip(" "))
    return whole if whole <= _PART else max(_PART, *map(len, _ATOMS.findall(part)))


def _chopped(part: str, width: int) -> Iterator[str]:
    """Yield pieces of a part, as long as a line may be."""
    line = ""
    for atom in _ATOMS.findall(part):
        if line and cell_len((line + atom).rstrip(" ")) > width:
            yield line
            line = ""
        line += atom
    yield line


def _parts(text: str, breaks: str) -> list[str]:
    """Return the pieces of a text, each ending with one of the characters or with the text."""
    parts = [""]
    for atom in _ATOMS.findall(text):
        parts[-1] += atom
        if atom in breaks:
            parts.append("")
    return [part for part in parts if part]
