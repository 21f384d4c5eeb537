"""One table, every format: the builder behind everything the commands print."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

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
class Table:
    """Rows under columns, with a title and notes below."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        """Keep the title and each note on its line."""
        object.__setattr__(self, "title", printable(self.title))
        object.__setattr__(self, "notes", [printable(note) for note in self.notes])

    def print_to(self, console: Console) -> None:
        """Print with Rich, within the console's width.

        If space is short, gaps are narrowed first, then drawings are left out.
        """
        unlimited = console.options.update(max_width=_UNLIMITED)
        for padding, drawings in ((1, True), (0, True), (0, False)):
            table = self._rich(padding, drawings)
            if Measurement.get(console, unlimited, table).maximum <= console.width:
                break
        console.print(Text(self.title, style="bold"))
        console.print(table)
        for note in self.notes:
            console.print(Text(note, style="dim"))

    def _rich(self, padding: int, drawings: bool) -> RichTable:
        table = RichTable(box=SIMPLE_HEAD, pad_edge=False, padding=(0, padding, 0, 0))
        shown = self._shown(drawings)
        for column in (self.columns[i] for i in shown):
            table.add_column(
                Text(column.heading),
                justify="left" if column.left else "right",
                vertical="bottom",
                no_wrap=column.compact,
                overflow="fold",
            )
        for row in self.rows:
            style = "bold" if row.marked else ""
            texts = self._texts(row)
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
        kept = self._shown()
        lines = [
            f"**{self.title}**\n",
            "| " + " | ".join(_markdown(self.columns[i].line) for i in kept) + " |",
            "|" + "|".join(":--" if self.columns[i].left else "--:" for i in kept) + "|",
        ]
        for row in self.rows:
            texts = self._texts(row)
            shown = [_markdown(texts[i]) for i in kept]
            shown = [f"**{text}**" if row.marked and text else text for text in shown]
            lines.append("| " + " | ".join(shown) + " |")
        lines += ["", *(f"{note}  " for note in self.notes)]
        return "\n".join(lines).rstrip() + "\n"

    def latex(self) -> str:
        """Return a table for the booktabs package."""
        kept = self._shown()
        lines = [
            rf"% {self.title}",
            r"\begin{tabular}{" + "".join("l" if self.columns[i].left else "r" for i in kept) + "}",
            r"\toprule",
            " & ".join(_latex(self.columns[i].line) for i in kept) + r" \\",
            r"\midrule",
        ]
        for number, row in enumerate(self.rows):
            texts = self._texts(row)
            shown = [_latex(texts[i]) for i in kept]
            shown = [rf"\textbf{{{text}}}" if row.marked and text else text for text in shown]
            lines.append(" & ".join(shown) + r" \\")
            if row.section_ends and number + 1 < len(self.rows):
                lines.append(r"\midrule")
        lines += [r"\bottomrule", r"\end{tabular}", *(rf"% {note}" for note in self.notes)]
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


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "_": r"\_",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "–": "--",
    "μ": r"$\mu$",
    "ρ": r"$\rho$",
}


def _markdown(text: str) -> str:
    return text.replace("\\", r"\\").replace("|", r"\|")


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


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
