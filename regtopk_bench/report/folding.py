"""Long names on several lines: broken where their parts meet, and never cut."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, chop_cells

_PART = 14
"""Cells of a terminal; longer parts are broken anywhere if there is no room."""


def least_width(text: str, breaks: str) -> int:
    """Return the fewest cells of a terminal into which a text is folded.

    Args:
        text: One line.
        breaks: The characters after which it may be broken.
    """
    longest = max((cell_len(part.rstrip(" ")) for part in _parts(text, breaks)), default=0)
    return min(longest, _PART)


def folded(text: str, width: int, breaks: str) -> str:
    """Return a text with line breaks so that it fits into a width of at least two cells."""
    lines = [""]
    for part in _parts(text, breaks):
        whole = lines[-1] + part
        if cell_len(whole.rstrip(" ")) <= width:
            lines[-1] = whole
        else:
            lines += chop_cells(part, width) if cell_len(part.rstrip(" ")) > width else [part]
    return "\n".join(line.rstrip(" ") for line in lines if line)


def shared_out(room: int, least: Sequence[int], most: Sequence[int]) -> list[int]:
    """Return widths of columns, given cells beyond the least widths: the narrowest grow first."""
    widths = list(least)
    for at in sorted(range(len(widths)), key=lambda at: most[at]):
        grown = min(most[at] - least[at], max(room, 0))
        widths[at] += grown
        room -= grown
    return widths


def _parts(text: str, breaks: str) -> list[str]:
    """Return the pieces of a text, each ending with one of the characters or with the text."""
    parts = [""]
    for character in text:
        parts[-1] += character
        if character in breaks:
            parts.append("")
    return [part for part in parts if part]
