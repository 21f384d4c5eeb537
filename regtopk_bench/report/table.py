"""One table, every format: the builder behind everything the commands print."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.text import Text

from regtopk_bench.report import latex
from regtopk_bench.report.encoding import encodable
from regtopk_bench.report.folding import folded
from regtopk_bench.report.labelled import labelled
from regtopk_bench.report.layout import Layout, Strip, laid_out, on_one_line
from regtopk_bench.report.markdown import code, escaped, typeset

NAME = "/:,._- "
"""Where a name may be folded: a column's `breaks`."""

WORDS = " "
"""Where text, or a number with its interval, may be folded."""


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
    verbatim: bool = False
    """To be typed as it stands, names of algorithms included."""
    hidden: bool = False
    """Only in CSV; people read it in the title."""
    breaks: str = ""
    """Characters after which a long entry may be folded, where there is no room."""
    spare: int = 0
    """Left out where folding does not make enough room, the largest first; never if 0."""

    @property
    def line(self) -> str:
        """The heading on one line."""
        return on_one_line(self.heading)


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
        """Print within the console's width, in characters that its encoding has.

        No entry is cut: `layout` says what happens where there is no room. A note names the columns
        that were left out, and how to see them.
        """

        def put(line: str, style: str = "") -> None:
            console.print(Text(line, style=style), soft_wrap=True)

        def put_folded(text: str, style: str) -> None:
            for line in folded(encodable(text, console.encoding), console.width, WORDS):
                put(line, style)

        put_folded(self.title, "bold")
        notes = list(self.notes)
        put("")
        if self.columns:
            shown = self._shown(drawings=True)
            layout = self._laid_out(shown, console)
            for line in layout.head:
                put(line)
            for row, lines in zip(self.rows, layout.rows, strict=True):
                for line in lines:
                    put(line, "bold" if row.marked else "")
                if row.section_ends and row is not self.rows[-1]:
                    put("")
            if layout.left_out:
                left_out = [self.columns[shown[at]] for at in layout.left_out]
                notes.insert(0, _left_out(left_out, layout.needed))
            if notes:
                put("")
        for note in notes:
            if isinstance(note, Command):
                put(note.line)
            else:
                put_folded(note, "dim")

    def _laid_out(self, shown: Sequence[int], console: Console) -> Layout:
        texts = [self._texts(row) for row in self.rows]
        strips = [
            Strip(
                encodable(column.heading, console.encoding),
                [encodable(each[at], console.encoding) for each in texts],
                left=column.left,
                breaks=column.breaks,
                drawing=column.drawing,
                spare=column.spare,
            )
            for at, column in ((at, self.columns[at]) for at in shown)
        ]
        return laid_out(strips, console.width, encodable("─", console.encoding))

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
        lines = [f"**{escaped(typeset(self.title))}**\n"]
        kept = self._shown()
        if kept:
            lines += [
                "| " + " | ".join(escaped(labelled(self.columns[i].line)) for i in kept) + " |",
                "|" + "|".join(":--" if self.columns[i].left else "--:" for i in kept) + "|",
            ]
        for row in self.rows:
            texts = [row.entries[i].text.strip() for i in kept]
            texts = [
                escaped(_in_markdown(self.columns[i], text))
                for i, text in zip(kept, texts, strict=True)
            ]
            if row.marked:  # an asterisk within what is bold may end it
                texts = [f"**{text}**" if text else "" for text in texts]
                texts[0] = f"{texts[0]} \\*".lstrip()
            lines.append("| " + " | ".join(texts) + " |")
        notes = [
            code(note.line) if isinstance(note, Command) else escaped(typeset(labelled(note)))
            for note in self.notes
        ]
        lines += ["", *(f"{note}  " for note in notes)]
        return "\n".join(lines).rstrip() + "\n"

    def latex(self, label: str = "tab:table") -> str:
        r"""Return a float for the booktabs package, with a caption, a label and notes.

        It takes both columns of a two-column paper where one is too narrow. A command among the
        notes is a comment, to be copied.

        Args:
            label: What `\ref` calls it.
        """
        kept = self._shown()
        return latex.table(
            caption=self.title,
            label=label,
            headings=[self.columns[i].heading for i in kept],
            left=[self.columns[i].left for i in kept],
            rows=[
                latex.Row([row.entries[i].text for i in kept], row.marked, row.section_ends)
                for row in self.rows
            ],
            notes=[note for note in self.notes if isinstance(note, str)],
            comments=[note.line for note in self.notes if isinstance(note, Command)],
        )

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


def _in_markdown(column: Column, text: str) -> str:
    """Return an entry as Markdown shows it, not yet escaped."""
    if column.verbatim:
        return text
    return labelled(text) if column.left else typeset(text)


def _left_out(columns: Sequence[Column], needed: int) -> str:
    """Return the note on columns that there was no room for."""
    names = "; ".join(column.line for column in columns)
    only_drawings = all(column.drawing for column in columns)
    or_else = "" if only_drawings else ", as --format csv does"
    return f"left out: {names} (a terminal of {needed} columns shows all{or_else})"


def print_report(
    console: Console,
    output_format: str,
    *,
    name: str,
    tables: Callable[[], Sequence[Table]],
    document: Callable[[], str],
) -> None:
    """Print data in a format, to a console; only what this format needs is made.

    In CSV, tables with the same columns become one.

    Args:
        console: Where to.
        output_format: The format.
        name: What is printed, for labels in LaTeX: `tab:name`, `tab:name-2` and so on.
        tables: Makes what people read.
        document: Makes what programs read, JSON.
    """
    if output_format == "json":
        console.file.write(f"{document()}\n")
        return
    printed = tables()
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
                console.file.write(table.latex(f"tab:{name}{f'-{number + 1}' if number else ''}"))
            case _:
                table.print_to(console)
