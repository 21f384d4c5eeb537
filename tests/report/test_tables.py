from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from rich.console import Console

from regtopk_bench.report.sparkline import ASCII, BLOCKS, sparkline
from regtopk_bench.report.table import Column, Command, Entry, Row, Table

TABLE = Table(
    "Title",
    [
        Column("name", "name", left=True),
        Column("size\nin kB", "size_bytes"),
        Column("c", "c", drawing=True),
    ],
    [
        Row([Entry("a_b"), Entry("1.5±0.1", 1500), Entry("▁█")], marked=True, section_ends=True),
        Row([Entry("c|d"), Entry("–", ""), Entry("")]),
    ],
    ["a note"],
)


def printed(width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    TABLE.print_to(console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_text_marks_rows_without_colour() -> None:
    text = printed()
    assert "a_b *" in text
    assert "\x1b" not in text
    assert "a note" in text


def test_a_drawing_is_left_out_where_there_is_no_room() -> None:
    assert "▁█" in printed(17)
    assert "▁█" not in printed(16)
    assert "1.5±0.1" in printed(16)


def test_csv_has_keys_raw_values_and_no_drawings() -> None:
    rows = list(csv.reader(io.StringIO(TABLE.csv())))
    assert rows == [["name", "size_bytes", "marked"], ["a_b", "1500", "1"], ["c|d", "", "0"]]


def test_markdown() -> None:
    assert TABLE.markdown() == (
        "**Title**\n\n"
        "| name | size in kB |\n|:--|--:|\n"
        "| **a_b** \\* | **1.5 ± 0.1** |\n| c\\|d | – |\n\na note\n"
    )


FOLDABLE = Table(
    "Title",
    [
        Column("name", "name", left=True, breaks="/"),
        Column("first", "first"),
        Column("second", "second", spare=1),
    ],
    [Row([Entry("one/two/three"), Entry("12345"), Entry("67890123")], marked=True)],
    ["a note"],
)


@pytest.mark.parametrize(
    ("width", "rows"),
    [
        (33, [["one/two/three", "*", "12345", "67890123"]]),
        (27, [["one/two/", "12345", "67890123"], ["three", "*"]]),
        (18, [["one/two/", "12345"], ["three", "*"]]),
        (14, [["one/", "12345"], ["two/", ""], ["three", "*"]]),
    ],
)
def test_names_are_folded_before_spare_columns_are_left_out(
    width: int, rows: list[list[str]]
) -> None:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    FOLDABLE.print_to(console)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= width
    start = next(number for number, line in enumerate(lines) if "one" in line)
    shown = [line.split() for line in lines[start : start + len(rows)]]
    assert shown == [[word for word in row if word] for row in rows]


def test_a_command_among_the_notes_is_never_broken() -> None:
    line = "regtopk-bench check --select 'one two three'"
    table = Table("Title", FOLDABLE.columns, FOLDABLE.rows, ["a note", Command(line)])
    console = Console(file=io.StringIO(), width=20, color_system=None)
    table.print_to(console)
    assert line in console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert f"`{line}`" in table.markdown()
    assert f"% {line}\n" in table.latex()


@pytest.mark.parametrize("unicode", [True, False])
def test_sparkline_falls_with_its_curve(unicode: bool) -> None:
    marks = BLOCKS if unicode else ASCII
    line = sparkline(np.linspace(0.0, -8.0, 500), -8.0, 0.0, 9, unicode)
    assert len(line) == 9
    assert [marks.index(mark) for mark in line] == sorted(map(marks.index, line), reverse=True)
    assert (line[0], line[-1]) == (marks[-1], marks[0])


def test_sparkline_of_nothing_and_of_infinities() -> None:
    assert sparkline(np.array([]), 0.0, 1.0, 5) == ""
    assert sparkline(np.ones(4), 1.0, 1.0, 5) == ""
    assert sparkline(np.array([0.0, np.nan, np.inf]), 0.0, 1.0, 3) == "▁██"


def test_markdown_has_the_names_and_signs_of_a_paper() -> None:
    table = Table(
        "Seeds 0-4 (-1.5±0.25)",
        [
            Column("regtopk\nloss", "a", left=True),
            Column("gap", "b"),
            Column("value", "c", left=True, verbatim=True),
        ],
        [
            Row([Entry("regtopk:mu=4,q=1e-08"), Entry("-27.14±0.22"), Entry("topk, -1")]),
            Row([Entry("linreg/topk/k=1"), Entry("[-0.5, 1e-06]"), Entry("regtopk:mu=4,q=1")]),
        ],
        [
            "topk (-2.5±0.1): --seeds 0-4 runs five; ± 95 %",
            "regtopk: mu=4",
            Command("-a topk -k -1"),
        ],
    )
    assert table.markdown() == (
        "**Seeds 0-4 (−1.5 ± 0.25)**\n\n"
        "| RegTop-k loss | gap | value |\n|:--|--:|:--|\n"
        "| RegTop-k, mu=4, q=1e-08 | −27.14 ± 0.22 | topk, -1 |\n"
        "| linreg/topk/k=1 | \\[−0.5, 1e-06\\] | regtopk:mu=4,q=1 |\n\n"
        "Top-k (−2.5 ± 0.1): --seeds 0-4 runs five; ± 95 %  \n"
        "RegTop-k: mu=4  \n`-a topk -k -1`\n"
    )
