from __future__ import annotations

import csv
import fnmatch
import io
import itertools
import math
import re
import shlex
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from regtopk_bench.report.checked import rerun
from regtopk_bench.report.folding import folded, least_width, shared_out
from regtopk_bench.report.reports import plot, print_result
from regtopk_bench.report.table import Command
from regtopk_bench.report.verdicts import verdict_tables
from regtopk_bench.results import Result, Setting
from regtopk_bench.results.verdict import Kind, Reason
from tests.results.samples import HOSTILE, check, header, run, timing, verdict

TORCH = "torch was 2.13.0 and is 2.14.0"
NAME = "linreg/regtopk/density=0.6/seed=0"
FAIL = verdict("FAIL", "worse", value=0.25, baseline=0.125, tolerance=0.0, sentence="gap rose")


def printed(result: Result, width: int = 80, output_format: str = "table") -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_result(result, output_format, console)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def commands(result: Result) -> list[str]:
    tables = verdict_tables(result)
    return [note.line for table in tables for note in table.notes if isinstance(note, Command)]


def test_what_failed_comes_first_and_what_passed_is_only_counted() -> None:
    kinds: list[Kind] = ["PASS", "SKIPPED", "BETTER", "INCONCLUSIVE", "NEW", "MISSING", "FAIL"]
    found = [verdict(kind, "changed", metric=f"of-{kind}") for kind in kinds]
    (table,) = verdict_tables(check(found))
    assert [row.entries[0].text for row in table.rows] == list(reversed(kinds[1:]))
    assert [row.marked for row in table.rows] == [True] * 3 + [False] * 3
    (table,) = verdict_tables(check(found), everything=True)
    assert [row.entries[0].text for row in table.rows] == list(reversed(kinds))


def test_what_is_allowed_neither_comes_first_nor_fails() -> None:
    found = [verdict("NEW", "new-cell"), verdict("MISSING", "missing-cell"), FAIL]
    (table,) = verdict_tables(check(found, allow_missing=True))
    kinds = [(row.entries[0].text, row.marked) for row in table.rows]
    assert kinds == [("FAIL", True), ("NEW", True), ("MISSING", False)]
    assert not commands(check(found[:1], allow_new=True))
    assert verdict_tables(check(found[:1], allow_new=True))[0].title.endswith("passed")


@pytest.mark.parametrize(
    ("found", "settings", "told"),
    [
        ([], {}, "nothing was checked"),
        ([verdict()], {}, "passed"),
        ([FAIL, verdict("FAIL", "crashed")], {}, "failed"),
        ([verdict("FAIL", "timed-out")], {}, "failed, as a cell could not be run"),
        ([verdict("INCONCLUSIVE", "too-noisy")], {}, "passed"),
        ([verdict("INCONCLUSIVE", "too-noisy")], {"strict": True}, "inconclusive"),
    ],
)
def test_the_title_is_the_outcome(
    found: list[object], settings: dict[str, bool], told: str
) -> None:
    first, *_ = printed(check(found, **settings))  # type: ignore[arg-type]
    assert first == f"check of profile ci: {told}"


def test_the_last_line_counts() -> None:
    found = [verdict(), verdict(metric="loss"), FAIL, verdict(name="toy", metric="time")]
    found[3] = found[3].model_copy(update={"timing": timing()})
    assert printed(check(found))[-1] == "2 cells, 4 metrics: 3 PASS, 1 FAIL"
    assert printed(check([verdict()]))[-1] == "1 cell, 1 metric: 1 PASS"
    assert printed(check([]))[-1] == "0 cells, 0 metrics"


def test_below_the_rows_each_failure_has_its_sentence_and_each_cell_its_command() -> None:
    other = verdict("FAIL", "changed", name="it's/[a]*", metric="loss", sentence="loss fell")
    lines = printed(check([FAIL, other, FAIL.model_copy(update={"metric": "loss"}), verdict()]))
    below = lines[lines.index("* fails the check") + 1 :]
    assert below == [
        f"{NAME}: gap rose",
        f"{NAME}: gap rose",
        f"regtopk-bench check --profile ci --select {NAME}",
        "it's/[a]*: loss fell",
        "regtopk-bench check --profile ci --select 'it'\"'\"'s/[[]a][*]'",
        "2 cells, 4 metrics: 1 PASS, 3 FAIL",
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_command_selects_its_cell_alone_whatever_its_name(name: str) -> None:
    failing = verdict("FAIL", "worse", name=name)
    command = rerun(check([failing], profile="my profile"), failing)
    assert command is not None
    assert command.isprintable()
    words = shlex.split(command)
    assert words[:-1] == ["regtopk-bench", "check", "--profile", "my profile", "--select"]
    assert fnmatch.fnmatch(name, words[-1])
    assert not fnmatch.fnmatch(f"{name}0", words[-1])
    assert not fnmatch.fnmatch(name[1:], words[-1])


def test_a_command_repeats_the_flags_that_decide() -> None:
    settings = header("check", profile="ci", baseline="my base.json", against="../main").settings
    result = check([FAIL]).model_copy(update={"settings": settings})
    assert commands(result) == [
        "regtopk-bench check --profile ci --baseline 'my base.json' --against ../main "
        f"--select {NAME}"
    ]
    found_again = Setting(value="baseline.json", source="profile ci")
    result = result.model_copy(update={"settings": settings | {"baseline": found_again}})
    assert "--baseline" not in commands(result)[0]
    slow = verdict("FAIL", "slower", metric="time", timing=timing())
    assert "--timing" in commands(check([slow], timing=True))[0]
    timed = {"config": "c d.toml", "cell_timeout": 9.0, "time": ["a*", "b"], "time_budget": 60.0}
    assert commands(check([slow], timing=True, margin=1.2, **timed)) == [
        "regtopk-bench check --profile ci --config 'c d.toml' --cell-timeout 9.0 --time 'a*' "
        f"--time b --margin 1.2 --time-budget 60.0 --timing --select {NAME}"
    ]
    assert commands(check([FAIL], timing=True, margin=1.2, **timed)) == [
        f"regtopk-bench check --profile ci --config 'c d.toml' --cell-timeout 9.0 --select {NAME}"
    ]
    assert "--timing" not in commands(check([FAIL], timing=True))[0]


def test_there_is_no_command_for_a_cell_that_is_not_there_or_of_no_profile() -> None:
    assert not commands(check([verdict("MISSING", "missing-cell")]))
    assert not commands(check([FAIL], profile=None))


def test_another_machine_is_told_once() -> None:
    elsewhere = [
        verdict("SKIPPED", "other-machine", name=name, sentence=f"{name}: as it may, as {TORCH}")
        for name in ("a", "b")
    ] + [verdict("PASS", "within-tolerance", sentence=f"gap moved, as {TORCH}")]
    result = check(elsewhere).model_copy(update={"notes": [f"another machine: {TORCH}"]})
    lines = printed(result, width=200)
    assert [line for line in lines if TORCH in line] == [f"another machine: {TORCH}"]
    assert not any("SKIPPED" in line for line in lines[:-1])
    rows = list(csv.DictReader(printed(result, output_format="csv")))
    assert [row["verdict"] for row in rows] == ["SKIPPED", "SKIPPED", "PASS"]


def test_timing_shows_what_it_could_have_seen_even_where_it_passes() -> None:
    found = [
        verdict("PASS", "equivalent", metric="time", timing=timing()),
        verdict("INCONCLUSIVE", "too-noisy", name="b", timing=timing(low=None, detectable=None)),
        verdict("FAIL", "slower", name="c", timing=timing(ratio=1.5, low=1.375, high=12345.678)),
    ]
    metrics, times = verdict_tables(check(found))
    assert not metrics.rows
    texts = [[entry.text for entry in row.entries] for row in times.rows]
    assert [row[:3] for row in texts] == [
        ["FAIL", "c", "1.500 [1.375, 1.235e+04]"],
        ["INCONCLUSIVE", "b", "1.012"],
        ["PASS", NAME, "1.012 [0.981, 1.045]"],
    ]
    assert [row[5:9] for row in texts] == [
        ["1.1", "1.062", "14", "slower"],
        ["1.1", "–", "14", "too-noisy"],
        ["1.1", "1.062", "14", "equivalent"],
    ]
    rows = list(csv.DictReader(io.StringIO(times.csv())))
    assert [(row["low"], row["high"]) for row in rows][1:] == [("", "1.045"), ("0.981", "1.045")]


def test_numbers_that_differ_look_different() -> None:
    changed = verdict("FAIL", "changed", value=0.1, baseline=math.nextafter(0.1, 1.0))
    rounded = verdict("FAIL", "changed", metric="loss", value=0.1 + 1e-12, baseline=0.2)
    words = " ".join(printed(check([changed, rounded]))).split()
    assert {"0.1", "0.10000000000000002", "0.2"} <= set(words)
    assert "0.100000000001" not in words


def test_numbers_that_are_not_finite_or_not_there_are_dashes() -> None:
    odd = verdict("FAIL", "worse", value=math.nan, baseline=math.inf, tolerance=-math.inf)
    (table,) = verdict_tables(check([odd]))
    assert [entry.text for entry in table.rows[0].entries[3:6]] == ["–"] * 3
    (row,) = csv.DictReader(io.StringIO(table.csv()))
    assert (row["value"], row["baseline"], row["tolerance"]) == ("", "", "")


def everything_at_once() -> Result:
    """Return every kind with every reason, hostile names and the widest numbers."""
    names = itertools.cycle(["cifar/pkg.Mine/density=0.01/scope=layer/seed=1", NAME, *HOSTILE])
    numbers = itertools.cycle([0.1, -1.23456789e-105, 2**63 - 1, 48_000, None])
    kinds = itertools.product(get_args(Kind), get_args(Reason))
    return check(
        [
            verdict(
                kind,
                reason,
                name=next(names),
                metric="coordination_bytes",
                value=next(numbers),
                baseline=next(numbers),
                tolerance=1.25e-17,
                timing=timing() if number % 3 == 0 else None,
            )
            for number, (kind, reason) in enumerate(kinds)
        ]
    )


@pytest.mark.parametrize("width", [80, 120])
def test_names_are_folded_and_nothing_is_cut(width: int) -> None:
    lines = printed(everything_at_once(), width)
    tables = verdict_tables(everything_at_once())
    shown = {note.line for table in tables for note in table.notes if isinstance(note, Command)}
    assert max(cell_len(line) for line in lines if line not in shown) <= width
    assert not any("…" in line for line in lines)
    words = {word for line in lines for word in line.split()}
    for table in tables:
        values = [row.entries[2 if "time" in table.columns[2].heading else 3] for row in table.rows]
        assert {word for entry in values for word in entry.text.split()} <= words


def test_an_ordinary_table_has_room_for_all_columns() -> None:
    found = [
        FAIL.model_copy(update={"value": 1.23456789e-05, "baseline": 1.23456788e-05}),
        verdict("NEW", "new-cell", name="kernels/step/numba, warm/ties/J=1000000/density=0.01"),
    ]
    lines = printed(check(found))
    assert {"value", "baseline", "tolerated", "reason"} <= set(" ".join(lines[:3]).split())
    row = next(line for line in lines if line.startswith(" FAIL"))
    assert row.split()[2:] == [
        "linreg/regtopk/",
        "gap",
        "1.23456789e-05",
        "1.23456788e-05",
        "0",
        "worse",
    ]


def test_a_name_is_whole_once_its_lines_are_joined() -> None:
    name = "linreg/a-very-long-one-of-somebody-else/density=0.6/seed=0"
    lines = printed(check([verdict("FAIL", "worse", name=name, value=2**62, baseline=2**62 + 1)]))
    rows = lines[4 : lines.index("* fails the check")]
    start = lines[2].index("cell")
    assert "".join(row[start:].split(" ")[0] for row in rows) == name


@pytest.mark.parametrize("output_format", ["csv", "markdown", "latex", "json", "table"])
def test_a_thousand_verdicts_in_every_format(output_format: str) -> None:
    found = [verdict("FAIL", "worse", name=f"c{number}") for number in range(999)] + [verdict()]
    text = "\n".join(printed(check(found), output_format=output_format))
    assert "c998" in text
    assert ("PASS" in text.replace("1 PASS", "")) == (output_format != "table")


@pytest.mark.parametrize("output_format", ["csv", "markdown", "latex", "table"])
def test_a_check_that_was_killed_at_once_has_a_table(output_format: str) -> None:
    text = "\n".join(printed(check([]), output_format=output_format))
    assert ("verdict" in text) == (output_format != "table")
    assert ("nothing was checked" in text) == (output_format != "csv")


def test_a_check_has_no_plot(tmp_path: object) -> None:
    assert plot(check([verdict()], [run()]), tmp_path, "png") is None  # type: ignore[arg-type]


@given(st.text(max_size=60), st.integers(2, 40))
def test_folding_loses_nothing_but_spaces_at_the_end_of_a_line(text: str, width: int) -> None:
    text = "".join(each for each in text if each.isprintable())
    lines = folded(text, width, "/,")
    longest = max(map(len, re.findall(r"[-+\d.,e]+", text)), default=0)
    assert all(cell_len(line) <= max(width, longest) for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    least = least_width(text, "/,")
    if least < 14 and least <= width:  # no part is broken
        assert all(line.endswith(("/", ",")) for line in lines[:-1])


def test_a_fold_is_after_one_of_the_characters() -> None:
    assert folded("kernels/step, warm/J=10", 8, "/, ") == [
        "kernels/",
        "step,",
        "warm/",
        "J=10",
    ]
    assert least_width("kernels/step, warm/J=10", "/, ") == 8
    assert folded("abcdef/g", 4, "/") == ["abcd", "ef/g"]


def test_a_number_is_never_folded() -> None:
    assert folded("mu=0.000125", 4, ":,.=") == ["mu=", "0.000125"]
    assert folded("seed-12345", 6, "") == ["seed", "-12345"]
    assert folded("1,234.5e-06x", 3, ",.") == ["1,234.5e-06", "x"]
    assert least_width("a" * 20 + "1" * 20, "") == 20


def test_the_narrowest_columns_get_their_room_first() -> None:
    assert shared_out(10, [5, 4], [30, 8]) == [11, 8]
    assert shared_out(100, [5, 4], [30, 8]) == [30, 8]
    assert shared_out(-3, [5, 4], [30, 8]) == [5, 4]
