"""Two results side by side, as a table."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from rich.console import Console

from regtopk_bench.report.listing import print_listing
from regtopk_bench.report.side_by_side import side_by_side
from regtopk_bench.report.table import Table
from regtopk_bench.results.pairing import Measured
from tests.results.samples import cell


def table(first: Sequence[float], second: Sequence[float], *, everything: bool = True) -> Table:
    sides = [
        [Measured(cell(seed=seed), {"loss": value}) for seed, value in enumerate(values)]
        for values in (first, second)
    ]
    return side_by_side("A, B", *sides, everything=everything)


def shown(found: Table) -> list[str]:
    return [entry.text for entry in found.rows[0].entries[2:5]]


def test_a_mean_is_no_coarser_than_its_interval() -> None:
    found = table([0.0, 0.0, 0.0], [0.123456780, 0.123456781, 0.123456790])
    assert shown(found) == ["0", "0.123457", "+0.123456784±1.4e-08"]
    assert shown(table([1.0, 2.0, 4.0], [1.0, 2.5, 5.0])) == ["2.33333", "2.83333", "+0.5±1.2"]


def test_what_is_no_number_in_both_has_not_changed() -> None:
    none = [math.nan, 1.0]
    assert shown(table(none, none)) == ["–", "–", "–"]
    assert table(none, none, everything=False).rows == []
    assert shown(table([math.nan], [1.0], everything=False)) == ["–", "1", "–"]
    (row,) = csv.DictReader(io.StringIO(table(none, none).csv()))
    assert row["a"] == row["b"] == row["difference"] == row["half_width"] == ""
    console = Console(file=io.StringIO())
    print_listing(table(none, none), "json", console)
    assert '"difference": null' in console.file.getvalue()  # type: ignore[attr-defined]
