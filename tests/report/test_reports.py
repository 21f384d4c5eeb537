from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from regtopk_bench import ConfigurationError, compare
from regtopk_bench.report.reports import plot, print_result, tables
from regtopk_bench.results import Result, store
from tests.results.samples import IMAGES, LINREG, check, image_run, result, run, timing, verdict


def printed(shown: Result, output_format: str = "text") -> str:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    print_result(shown, output_format, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("output_format", ["text", "csv", "markdown", "latex"])
@pytest.mark.parametrize("command", ["linreg", "cifar", "toy"])
def test_an_algorithm_from_elsewhere_is_in_every_table(command: str, output_format: str) -> None:
    runs = [
        image_run("pkg.Mine")
        if command == "cifar"
        else run("pkg.Mine", traces={"loss": [3.0, 2.0, 1.0]})
    ]
    assert "Mine" in printed(result(runs, command), output_format)


def test_json_is_the_whole_result() -> None:
    shown = result([run("pkg.Mine", beta=0.5)])
    assert Result.model_validate(json.loads(printed(shown, "json"))) == shown


@pytest.mark.parametrize("output_format", ["text", "csv", "markdown", "latex"])
@pytest.mark.parametrize("command", ["linreg", "cifar", "toy", "kernels"])
def test_a_command_that_was_killed_at_once_has_a_table(command: str, output_format: str) -> None:
    text = printed(result([], command), output_format)
    assert "algorithm" in text
    if output_format == "text":
        assert "no run has ended" in text


@pytest.mark.parametrize("output_format", ["text", "csv", "markdown", "latex"])
def test_the_result_of_a_program_of_ones_own_is_shown_as_it_is_compared(
    output_format: str,
) -> None:
    runs = [
        run(name, seed, gaps=[1.0, 10.0 ** (-shift - 0.1 * seed * shift)])
        for seed in range(3)
        for name, shift in (("topk", 1.0), ("pkg.Mine", 2.0))
    ]
    shown = result(runs, "library")
    assert tables(shown) == list(compare(shown).tables)
    assert "Mine" in printed(shown, output_format)
    if output_format == "text":
        assert "At density 0.5 Mine (log10 gap" in printed(shown, output_format)
    assert plot(shown, Path("figure.png")) is None
    assert not Path("figure.png").exists()


def test_results_of_other_commands_are_refused() -> None:
    with pytest.raises(ConfigurationError, match='cannot show results of "novelty"'):
        tables(result([run()], "novelty"))


@pytest.mark.parametrize("width", [80, 100])
def test_no_number_is_cut_to_fit_the_terminal(width: int) -> None:
    """A number without its last digits is another number."""
    runs = [
        run(name, seed, gaps=[1e-3 / 7.0] * 1000, **facts)  # type: ignore[arg-type]
        for name, facts in (
            ("regtopk", {"mu": 4.0, "q": 1e8}),
            ("regtopk", {"mu": 16.5, "q": 1e7}),
            ("topk", {}),
            ("package.sparsifiers.WithARatherLongName", {"coordination": 77}),
        )
        for seed in (0, 1, 2)
    ]
    shown = result(runs, target=1e-3)
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_result(shown, "text", console)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= width
    words = {word for line in lines for word in line.split()}
    for table in tables(shown):
        for row in table.rows:
            numbers = [
                entry.text
                for entry, column in zip(row.entries, table.columns, strict=True)
                if not (column.left or column.hidden or column.drawing)
            ]
            assert set(numbers) <= words


def csv_rows(text: str) -> list[list[str]]:
    rows = list(csv.reader(io.StringIO(text)))
    assert len({len(row) for row in rows}) == 1, "several tables"
    return rows


@pytest.mark.parametrize("command", ["linreg", "cifar"])
def test_csv_is_one_table_whatever_was_compared(command: str) -> None:
    runs = [
        run(name, seed, gaps=[last], traces={"accuracy": [last]}, problem=problem)
        for problem in [IMAGES if command == "cifar" else LINREG]
        for name in ("topk", "regtopk")
        for seed, last in enumerate((0.1, 0.2 if name == "topk" else 0.4))
    ]
    shown = result(runs, command)
    assert len(tables(shown)) == 2
    head, *rows = csv_rows(printed(shown, "csv"))
    assert head[0] == "algorithm"
    assert [row[0] for row in rows] == ["topk", "regtopk"]


def test_csv_of_a_check_is_one_table_with_what_was_timed() -> None:
    verdicts = [verdict(name="one", value=0.5), verdict(name="two", timing=timing(ratio=1.25))]
    shown = check(verdicts)
    assert len(tables(shown, everything=True)) == 2
    head, *rows = csv_rows(printed(shown, "csv"))
    by_name = {row[head.index("cell")]: dict(zip(head, row, strict=True)) for row in rows}
    assert (by_name["one"]["value"], by_name["one"]["ratio"]) == ("0.5", "")
    assert (by_name["two"]["value"], by_name["two"]["ratio"]) == ("", "1.25")


def test_the_toy_shows_chosen_rounds_and_hyper_parameters() -> None:
    shown = result([run("regtopk", mu=1.0, k=1, traces={"loss": [3.0, 2.0, 1.0]})], "toy", at=[3])
    text = printed(shown)
    assert "1.000000" in text
    assert "3.000000" not in text
    assert "regtopk: mu=1" in text


def test_showing_a_result_needs_neither_torch_nor_what_is_slow_to_import(tmp_path: Path) -> None:
    store.write(result([run("pkg.Mine"), run("regtopk")]), tmp_path)
    program = f"""
import sys
from pathlib import Path
from rich.console import Console
from regtopk_bench.report.reports import plot, print_result
from regtopk_bench.results import store

result = store.read(Path({str(tmp_path)!r}))
print_result(result, "text", Console())
print(sorted({{"torch", "scipy", "matplotlib", "numba"}} & set(sys.modules)))
plot(result, Path({str(tmp_path)!r}), "svg")
print("torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-2:] == ["[]", "False"]
