"""How values look where Python is used interactively: in short, as HTML, as data frames."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from regtopk_bench.extras import needed_by

if TYPE_CHECKING:
    import pandas as pd

MOST = 12
"""Rows of a table, and metrics on a line, that are worth looking at."""

_LONG = 60


def short(value: object) -> object:
    """Return a number with four significant digits at most, and the beginning of a long text."""
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.4g}")
    if isinstance(value, str) and len(value) > _LONG:
        return f"{value[: _LONG - 1]}…"
    return value


def flat(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return mappings and single values as one mapping; a name that is taken gets its part's."""
    found: dict[str, Any] = {}
    for part, facts in parts.items():
        for name, value in facts.items() if isinstance(facts, Mapping) else [(part, facts)]:
            found[f"{part}_{name}" if name in found else name] = value
    return found


def html_table(columns: Mapping[str, Sequence[object]], *, title: str = "", rest: str = "") -> str:
    """Return an HTML table.

    Args:
        columns: The values under each heading, equally many.
        title: Said above.
        rest: Said below, as about rows left out.
    """
    lines = [f"<p><b>{_escaped(title)}</b></p>"] if title else []
    lines += ["<table>", "<tr>", *(f"<th>{_escaped(heading)}</th>" for heading in columns), "</tr>"]
    for row in zip(*columns.values(), strict=True):
        cells = "".join(f"<td>{_escaped(short(value))}</td>" for value in row)
        lines.append(f"<tr>{cells}</tr>")
    return "\n".join([*lines, "</table>", *([f"<p>{_escaped(rest)}</p>"] if rest else [])])


def html_facts(facts: Mapping[str, object]) -> str:
    """Return an HTML table with a row for each name and its value."""
    return html_table({"": list(facts), "value": list(facts.values())})


def data_frame(rows: Any, numbered: str | None = None) -> pd.DataFrame:
    """Return a data frame of pandas.

    Args:
        rows: What `pandas.DataFrame` takes: columns by name, or a list of rows.
        numbered: The name of the index, counted from 1; by default it is pandas's own, from 0.

    Raises:
        MissingPackageError: If pandas is not installed.
    """
    with needed_by("to_pandas"):
        import pandas as pd
    frame = pd.DataFrame(rows)
    if numbered is not None:
        frame.index = pd.RangeIndex(1, len(frame) + 1, name=numbered)
    return frame


def _escaped(value: object) -> str:
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return html.escape(text)
