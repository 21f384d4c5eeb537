"""Columns of text side by side where they fit a width, else one entry per line.

Nothing is ever cut. If space is short, gaps are narrowed first, then drawings are left out, then
what can be is folded, then spare columns are left out. If even the others do not fit, each row
becomes a block: its name, and below it every entry after its heading.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from regtopk_bench.report.folding import folded, least_width, shared_out

_GAPS = (2, 1)
"""Cells between columns, and those where space is short."""


def on_one_line(heading: str) -> str:
    """Return a heading of several lines on one."""
    return heading.replace("/\n", "/").replace("\n", " ")


@dataclass(frozen=True)
class Strip:
    """A column of text."""

    heading: str
    """One line or several."""
    texts: Sequence[str]
    left: bool = False
    """Flush left, else flush right."""
    breaks: str = ""
    """Characters after which a text may be folded; without any it stays on its line."""
    drawing: bool = False
    """Left out as soon as there is no room."""
    spare: int = 0
    """Left out where folding does not make enough room, the largest first; never if 0."""

    @property
    def line(self) -> str:
        """The heading on one line."""
        return on_one_line(self.heading)

    @functools.cached_property
    def most(self) -> int:
        """The width that it needs."""
        return max(self._heading, *map(cell_len, self.texts), 0)

    @functools.cached_property
    def least(self) -> int:
        """The width that it needs when it is folded."""
        if not self.breaks:
            return self.most
        return max(self._heading, *(least_width(text, self.breaks) for text in self.texts), 0)

    @property
    def _heading(self) -> int:
        return max(map(cell_len, self.heading.split("\n")))

    def lines(self, text: str, width: int) -> list[str]:
        """Return a text of it, folded if it may be."""
        if not self.breaks or cell_len(text) <= width:
            return [text]
        return folded(text, width, self.breaks)

    def set(self, line: str, width: int) -> str:
        """Return a line flush to its side of a width."""
        space = " " * (width - cell_len(line))
        return line + space if self.left else space + line


@dataclass(frozen=True)
class Layout:
    """The lines of a table."""

    head: Sequence[str]
    """The headings; none where rows are blocks."""
    rows: Sequence[Sequence[str]]
    left_out: Sequence[int] = ()
    """Columns that there was no room for."""
    needed: int = 0
    """The width that would show them as well."""


def laid_out(strips: Sequence[Strip], width: int, rule: str = "─") -> Layout:
    """Return the lines of a table.

    Args:
        strips: Its columns, with as many texts each.
        width: Of a line.
        rule: The character of the line below the headings.
    """
    shown = list(range(len(strips)))
    most = [strip.most for strip in strips]
    for gap in _GAPS:
        if _taken(most, gap) <= width:
            return _side_by_side(strips, shown, most, gap, rule)
    drawings = any(strip.drawing for strip in strips)
    needed = _taken(most if drawings else [strip.least for strip in strips], _GAPS[-1])
    shown = [at for at in shown if not strips[at].drawing]
    while shown:
        least, most = ([getattr(strips[at], name) for at in shown] for name in ("least", "most"))
        room = width - _taken(least, _GAPS[-1])
        if room >= 0:
            widths = shared_out(room, least, most)
            return _side_by_side(strips, shown, widths, _GAPS[-1], rule, needed)
        sparest = max(shown, key=lambda at: (strips[at].spare, at))
        if not strips[sparest].spare:
            break
        shown.remove(sparest)
    return Layout((), list(_blocks(strips, width)))


def _taken(widths: Sequence[int], gap: int) -> int:
    """Return the width of a table, which starts with a space."""
    return 1 + sum(widths) + gap * (len(widths) - 1)


def _side_by_side(
    strips: Sequence[Strip],
    shown: Sequence[int],
    widths: Sequence[int],
    gap: int,
    rule: str,
    needed: int = 0,
) -> Layout:
    columns = [strips[at] for at in shown]

    def lines(cells: Sequence[Sequence[str]]) -> Iterator[str]:
        for number in range(max(map(len, cells))):
            parts = [
                column.set(cell[number] if number < len(cell) else "", width)
                for column, cell, width in zip(columns, cells, widths, strict=True)
            ]
            yield f" {(' ' * gap).join(parts)}".rstrip()

    headings = [column.heading.split("\n") for column in columns]
    height = max(map(len, headings))
    head = lines([[""] * (height - len(heading)) + heading for heading in headings])
    rows = [
        list(
            lines(
                [
                    each.lines(text, width)
                    for each, text, width in zip(columns, texts, widths, strict=True)
                ]
            )
        )
        for texts in zip(*(column.texts for column in columns), strict=True)
    ]
    left_out = [at for at in range(len(strips)) if at not in shown]
    return Layout([*head, f" {rule * (_taken(widths, gap) - 1)}"], rows, left_out, needed)


def _blocks(strips: Sequence[Strip], width: int) -> Iterator[list[str]]:
    """Yield the lines of each row: its name, which an empty one takes from above, and the rest."""
    first, *others = strips
    heading_width = min(max((cell_len(each.line) for each in others), default=0), width // 2)
    name = ""
    for text, *texts in zip(first.texts, *(each.texts for each in others), strict=True):
        name = text or name
        block = first.lines(name if first.left else f"{first.line} {name}", width)
        for strip, entry in zip(others, texts, strict=True):
            if entry:
                block += _field(strip, entry, heading_width, width)
        yield block


def _field(strip: Strip, text: str, heading_width: int, width: int) -> list[str]:
    """Return the lines of an entry: after its heading if there is room, else below."""
    heading, indent = strip.line, heading_width + 4
    room = width - indent
    least = least_width(text, strip.breaks) if strip.breaks else cell_len(text)
    if cell_len(heading) > heading_width or least > room:
        return [f"  {heading}", *(f"    {line}" for line in strip.lines(text, width - 4))]
    first, *rest = strip.lines(text, room)
    space = " " * (heading_width - cell_len(heading))
    return [f"  {heading}{space}  {first}", *(f"{' ' * indent}{line}" for line in rest)]
