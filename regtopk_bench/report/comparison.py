"""RegTop-k against Top-k on the same seeds: how large the difference is, and how sure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from regtopk_bench.report.table import Cell, Column, Row, Table
from regtopk_bench.results.schema import Run
from regtopk_bench.results.summary import Group, compare

Measure = Callable[[Run], float]


def comparison_table(
    groups: Sequence[Group], title: str, measures: Mapping[str, Measure], digits: int
) -> Table | None:
    """Compare by seed, at each density that has both; None where there is nothing to compare.

    Args:
        groups: The runs of all algorithms.
        title: Says which sign is good.
        measures: What is compared, by name.
        digits: Behind the point of a difference.
    """
    of: dict[str, dict[object, Group]] = {"topk": {}, "regtopk": {}}
    for group in groups:
        of.get(str(group.cell["algorithm"]), {})[group.cell["density"]] = group
    rows = []
    for density in (density for density in of["regtopk"] if density in of["topk"]):
        for name, measure in measures.items():
            found = compare(of["regtopk"][density], of["topk"][density], measure)
            if found is None:
                continue
            difference, half_width = found.difference.mean, found.difference.half_width
            rows.append(
                Row(
                    [
                        Cell(f"{density:g}", density),
                        Cell(name),
                        Cell(f"{difference:+.{digits}f}±{half_width:.{digits}f}", difference),
                        Cell(f"{found.p_t:.2g}", found.p_t),
                        Cell(f"{found.p_wilcoxon:.2g}", found.p_wilcoxon),
                        Cell(str(found.seeds), found.seeds),
                    ]
                )
            )
    if not rows:
        return None
    columns = [
        Column("density", "density"),
        Column("of", "of", left=True),
        Column("difference", "difference"),
        Column("p (t-test)", "p_t"),
        Column("p (Wilcoxon)", "p_wilcoxon"),
        Column("seeds", "seeds"),
    ]
    return Table(title, columns, rows)
