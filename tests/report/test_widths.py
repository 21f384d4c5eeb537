"""Tables on terminals of any width: whatever is shown is shown whole, and looks as it is stored.

`make tables` writes the stored ones anew; look at what `git diff` says of them.
"""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from regtopk_bench.report.layout import Strip, laid_out
from regtopk_bench.report.table import Column, Entry, Row, Table
from tests.report.pages import LONG, PAGES, STORED, WIDTHS, printed, shown, stored, tables_of

NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?")
LEFT_OUT = re.compile(
    r"left\s+out: .*?a\s+terminal\s+of\s+(\d+)\s+columns\s+shows\s+all", re.DOTALL
)
WIDE = 200


def numbers(text: str) -> set[str]:
    """Return all numbers but those that say how wide a terminal must be."""
    return set(NUMBER.findall(LEFT_OUT.sub("", text)))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_tables_look_as_they_are_stored(name: str, width: int) -> None:
    file = stored(name, width)
    if os.environ.get("REWRITE_TABLES"):
        file.write_text(printed(name, width), encoding="utf-8")
    assert printed(name, width) == file.read_text(encoding="utf-8")


def test_every_stored_table_is_compared() -> None:
    assert set(STORED.iterdir()) == {stored(name, width) for name in PAGES for width in WIDTHS}


@pytest.mark.parametrize("name", PAGES)
@given(width=st.integers(1, WIDE))
def test_no_number_is_cut_at_any_width(name: str, width: int) -> None:
    assert numbers(printed(name, width)) <= numbers(printed(name, WIDE))


@pytest.mark.parametrize("name", PAGES)
@given(width=st.integers(32, WIDE))
def test_lines_keep_to_the_width_but_for_commands(name: str, width: int) -> None:
    for line in printed(name, width).splitlines():
        assert cell_len(line) <= width or line.startswith("regtopk-bench ")


@pytest.mark.parametrize("width", [20, *WIDTHS])
@pytest.mark.parametrize("name", PAGES)
def test_as_wide_a_terminal_as_a_note_names_shows_everything(name: str, width: int) -> None:
    for table in tables_of(name):
        found = LEFT_OUT.search(shown(table, width))
        if found:
            assert width < int(found[1])
            assert not LEFT_OUT.search(shown(table, int(found[1])))
            assert LEFT_OUT.search(shown(table, int(found[1]) - 1))


def test_spare_columns_leave_in_their_order_before_rows_become_blocks() -> None:
    table = Table(
        "Title",
        [
            Column("name", "name", left=True),
            Column("first", "first", spare=3),
            Column("second", "second", spare=1),
            Column("third", "third", spare=2),
            Column("last", "last"),
        ],
        [Row([Entry(text) for text in ("a", "1.25", "2.25", "3.25", "1234567.25")], marked=True)],
    )
    found = []
    for width in range(60, 5, -1):
        text = shown(table, width)
        assert "1234567.25" in text.split()
        order = tuple(number for number in ("1.25", "2.25", "3.25") if number in text.split())
        if not found or found[-1] != order:
            found.append(order)
        if width == 10:
            assert text == (
                "Title\n\na *\n  first\n    1.25\n  second\n    2.25\n  third\n    3.25\n"
                "  last\n    1234567.25\n"
            )
    everything = ("1.25", "2.25", "3.25")
    assert found == [everything, everything[1:], ("2.25",), (), everything]


def test_a_row_without_a_name_of_its_own_takes_that_above() -> None:
    layout = laid_out([Strip("what", ["step", ""], left=True), Strip("ms", ["1.25", "2.5"])], 6)
    assert layout.rows == [["step", "  ms", "    1.25"], ["step", "  ms", "    2.5"]]


def test_a_terminal_of_a_million_columns_shows_no_more_than_a_wide_one() -> None:
    for name in PAGES:
        assert printed(name, 10**6) == printed(name, 1000)


@pytest.mark.parametrize("name", [name for name in PAGES if "ascii" in name])
def test_a_terminal_without_other_characters_shows_signs_in_ascii(name: str) -> None:
    text = printed(name, WIDE)
    assert text.isascii()
    assert "?" not in text
    whole = "".join(shown(table, WIDE) for table in tables_of(name))
    instead = {"±": "+-", "η=": "eta=", "× torch.topk": "x torch.topk"}
    used = [sign for sign in instead if sign in whole]
    assert used
    assert all(instead[sign] in text for sign in used)


def test_a_long_name_is_whole_once_its_lines_are_joined() -> None:
    words = "".join(printed("toy-long-names", 20).split())
    assert LONG.rpartition(".")[2] in words
