"""One table, every format: the builder behind everything the commands print."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.align import Align, AlignMethod
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from regtopk_bench.report.folding import folded, least_width, shared_out
from regtopk_bench.report.latex import latex
from regtopk_bench.report.markdown import code, escaped

_UNLIMITED = 10_000
"""A console width that fits every table."""


def printable(text: str) -> str:
    """Return a text with escapes instead of what would end its line or steer a terminal."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


@dataclass(frozen=True)
class Entry:
    """A value in a table, as people read it and as programs do."""

    text: str
    raw: Any = None
    """For CSV, in SI units; the text when None."""

    def __post_init__(self) -> None:
        """Keep the text on its line: it may be a name that anybody has chosen."""
        object.__setattr__(self, "text", printable(self.text))
        if isinstance(self.raw, str):
            object.__setattr__(self, "raw", printable(self.raw))


@dataclass(frozen=True)
class Column:
    """A column's two names: a heading, and the key that CSV uses."""

    heading: str
    key: str
    left: bool = False
    """Text, set flush left; numbers are set flush right."""
    drawing: bool = False
    """A drawing made of characters, left out where text is not monospaced or there is no room."""
    hidden: bool = False
    """Only in CSV; people read it in the title."""
    compact: bool = True
    """Each entry stays on one line; a heading breaks only at its own line breaks."""
    breaks: str = ""
    """Characters after which a long entry may be folded, where there is no room."""
    spare: bool = False
    """Left out where folding does not make enough room, those on the right first."""

    @property
    def line(self) -> str:
        """The heading on one line."""
        return self.heading.replace("\n", " ")


@dataclass(frozen=True)
class Row:
    """The entries of a row, one per column."""

    entries: Sequence[Entry]
    marked: bool = False
    """Stands out: bold, and with an asterisk that needs no colour."""
    section_ends: bool = False
    """A line is drawn below."""


@dataclass(frozen=True)
class Command:
    """A note that is a command line, to be copied whole: it is never folded."""

    line: str

    def __post_init__(self) -> None:
        """Keep it on one line."""
        object.__setattr__(self, "line", printable(self.line))


@dataclass(frozen=True)
class Table:
    """Rows under columns, with a title and notes below."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str | Command] = field(default=())

    def __post_init__(self) -> None:
        """Keep the title and each note on its line."""
        object.__setattr__(self, "title", printable(self.title))
        notes = [note if isinstance(note, Command) else printable(note) for note in self.notes]
        object.__setattr__(self, "notes", notes)

    def print_to(self, console: Console) -> None:
        """Print with Rich, within the console's width.

        If space is short, gaps are narrowed first, then drawings are left out, then what can be
        is folded, then spare columns are left out.
        """
        if self.columns:
            console.print(Text(self.title, style="bold"))
            console.print(self._fitting(console))
        else:
            console.print(Text(f"{self.title}\n", style="bold"))
        for note in self.notes:
            if isinstance(note, Command):
                console.print(Text(note.line), soft_wrap=True)
            else:
                console.print(Text(note, style="dim"))

    def _fitting(self, console: Console) -> RichTable:
        unlimited = console.options.update(max_width=_UNLIMITED)

        def spare(table: RichTable) -> int:
            return console.width - Measurement.get(console, unlimited, table).maximum

        for padding, drawings in ((1, True), (0, True), (0, False)):
            table = self._rich(padding, self._shown(drawings))
            if spare(table) >= 0:
                return table
        shown = self._shown()
        while any(self.columns[i].breaks for i in shown):
            foldable = [i for i in shown if self.columns[i].breaks]
            least, most = zip(*(self._widths(i) for i in foldable), strict=True)
            room = spare(self._rich(0, shown, dict(zip(foldable, least, strict=True))))
            widths = shared_out(room, least, most)
            table = self._rich(0, shown, dict(zip(foldable, widths, strict=True)))
            last = max((i for i in shown if self.columns[i].spare), default=None)
            if room >= 0 or last is None:
                break
            shown.remove(last)
        return table

    def _widths(self, at: int) -> tuple[int, int]:
        """Return the least width of a column that can be folded, and the one that it needs."""
        column = self.columns[at]
        texts = [self._texts(row)[at] for row in self.rows]
        heading = max(map(cell_len, column.heading.split("\n")))
        least = max((least_width(text, column.breaks) for text in texts), default=0)
        return max(heading, least), max(heading, *map(cell_len, texts), 0)

    def _rich(
        self, padding: int, shown: Sequence[int], widths: Mapping[int, int] | None = None
    ) -> RichTable:
        """Return a table of these columns, some of them folded to a width."""
        table = RichTable(box=SIMPLE_HEAD, pad_edge=False, padding=(0, padding, 0, 0))
        for column in (self.columns[i] for i in shown):
            justify: AlignMethod = "left" if column.left else "right"
            table.add_column(
                Align(Text(column.heading), justify, vertical="bottom"),
                justify=justify,
                no_wrap=column.compact,
                overflow="fold",
            )
        for row in self.rows:
            style = "bold" if row.marked else ""
            texts = self._texts(row)
            for i, width in (widths or {}).items():
                texts[i] = folded(texts[i], width, self.columns[i].breaks)
            table.add_row(
                *(Text(texts[i]) for i in shown), style=style, end_section=row.section_ends
            )
        return table

    @property
    def keys(self) -> list[str]:
        """The headings of CSV."""
        return [column.key for column in self.columns if not column.drawing] + ["marked"]

    def csv(self, header: bool = True) -> str:
        """Return comma-separated values in SI units, under keys instead of headings."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        kept = [i for i, column in enumerate(self.columns) if not column.drawing]
        if header:
            writer.writerow(self.keys)
        for row in self.rows:
            entries = [row.entries[i] for i in kept]
            values = [entry.text if entry.raw is None else entry.raw for entry in entries]
            writer.writerow([*values, int(row.marked)])
        return out.getvalue()

    def markdown(self) -> str:
        """Return a GitHub-flavoured table."""
        lines = [f"**{escaped(self.title)}**\n"]
        kept = self._shown()
        if kept:
            lines += [
                "| " + " | ".join(escaped(self.columns[i].line) for i in kept) + " |",
                "|" + "|".join(":--" if self.columns[i].left else "--:" for i in kept) + "|",
            ]
        for row in self.rows:
            texts = self._texts(row)
            shown = [escaped(texts[i]) for i in kept]
            shown = [f"**{text}**" if row.marked and text else text for text in shown]
            lines.append("| " + " | ".join(shown) + " |")
        notes = [
            code(note.line) if isinstance(note, Command) else escaped(note) for note in self.notes
        ]
        lines += ["", *(f"{note}  " for note in notes)]
        return "\n".join(lines).rstrip() + "\n"

    def latex(self) -> str:
        """Return a table for the booktabs package."""
        kept = self._shown()
        lines = [
            rf"% {self.title}",
            r"\begin{tabular}{" + "".join("l" if self.columns[i].left else "r" for i in kept) + "}",
            r"\toprule",
            " & ".join(latex(self.columns[i].line) for i in kept) + r" \\",
            r"\midrule",
        ]
        for number, row in enumerate(self.rows):
            texts = self._texts(row)
            shown = [latex(texts[i]) for i in kept]
            shown = [rf"\textbf{{{text}}}" if row.marked and text else text for text in shown]
            lines.append(" & ".join(shown) + r" \\")
            if row.section_ends and number + 1 < len(self.rows):
                lines.append(r"\midrule")
        lines += [r"\bottomrule", r"\end{tabular}"]
        lines += [f"% {note.line if isinstance(note, Command) else note}" for note in self.notes]
        return "\n".join(lines) + "\n"

    def _shown(self, drawings: bool = False) -> list[int]:
        """Return the columns that people see."""
        return [
            i
            for i, column in enumerate(self.columns)
            if not column.hidden and (drawings or not column.drawing)
        ]

    def _texts(self, row: Row) -> list[str]:
        texts = [entry.text for entry in row.entries]
        if row.marked:
            texts[self._shown()[0]] += " *"
        return texts


def print_tables(printed: Sequence[Table], output_format: str, console: Console) -> None:
    """Print tables to a console in any format but JSON.

    In CSV, tables with the same columns become one.
    """
    for number, table in enumerate(printed):
        alike = output_format == "csv" and number > 0 and table.keys == printed[number - 1].keys
        if number and not alike:
            console.file.write("\n")
        match output_format:
            case "csv":
                console.file.write(table.csv(header=not alike))
            case "markdown":
                console.file.write(table.markdown())
            case "latex":
                console.file.write(table.latex())
            case _:
                table.print_to(console)
