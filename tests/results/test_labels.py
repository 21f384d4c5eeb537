from __future__ import annotations

import pytest

from regtopk_bench.results.labels import common_parameters, labels
from tests.results.samples import cell


def shown(*cells: object) -> list[str]:
    return [str(label) for label in labels(cells).values()]  # type: ignore[arg-type]


def test_a_single_configuration_goes_by_the_name_of_its_algorithm() -> None:
    cells = [cell("dense"), cell("regtopk", mu=4, q=1e8), cell("regtopk", 1, mu=4, q=1e8)]
    assert shown(*cells) == ["dense", "regtopk"]


def test_several_configurations_show_what_differs_and_nothing_else() -> None:
    cells = [
        cell("regtopk", mu=4.0, q=1e8, denominator="previous"),
        cell("regtopk", mu=8.25, q=1e8, denominator="current"),
        cell("topk"),
    ]
    assert shown(*cells) == [
        "regtopk:mu=4,denominator=previous",
        "regtopk:mu=8.25,denominator=current",
        "topk",
    ]


def test_densities_have_a_column_of_their_own() -> None:
    assert shown(cell(density=0.5), cell(density=0.25), cell(k=3)) == ["topk", "topk", "topk"]


def test_a_parameter_that_only_one_has_is_shown_there() -> None:
    assert shown(cell(), cell(scope="layer")) == ["topk", "topk:scope=layer"]
    assert shown(cell(scope="layer")) == ["topk"]


def test_values_that_print_alike_are_told_apart() -> None:
    first, second = shown(cell("regtopk", mu=0.12345678), cell("regtopk", mu=0.12345679))
    assert first != second


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["pkg.Mine", "topk"], ["Mine", "topk"]),
        (["pkg.Mine", "other.Mine"], ["pkg.Mine", "other.Mine"]),
        (["pkg.topk"], ["pkg.topk"]),
        (["Mine", "pkg.Mine"], ["Mine", "pkg.Mine"]),
    ],
)
def test_dotted_names_are_as_short_as_they_can_be(names: list[str], expected: list[str]) -> None:
    assert shown(*(cell(name) for name in names)) == expected


def test_plots_use_the_name_in_sentences() -> None:
    found = labels([cell("regtopk", mu=4), cell("regtopk", mu=8), cell("topk"), cell("pkg.Mine")])
    assert [label.legend for label in found.values()] == [
        "RegTop-k, mu=4",
        "RegTop-k, mu=8",
        "Top-k",
        "Mine",
    ]


def test_what_configurations_have_in_common() -> None:
    cells = [cell("regtopk", mu=4, q=1e8), cell("regtopk", mu=8, q=1e8), cell("topk")]
    assert common_parameters(cells) == {"regtopk": {"q": 1e8}, "topk": {}}
