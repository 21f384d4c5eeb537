from __future__ import annotations

from typing import Any

from rich.console import Console

from regtopk_bench.report.reports import print_result
from regtopk_bench.report.table import Command
from regtopk_bench.report.verdicts import verdict_tables
from regtopk_bench.results import Result
from regtopk_bench.results.verdict import Timing, Verdict
from tests.results.samples import result

NAME = "linreg/regtopk/density=0.6/seed=0"


def found(verdict: Any = "PASS", reason: Any = "equal", **changes: Any) -> Verdict:
    facts = {
        "cell": "0123456789abcdef",
        "name": NAME,
        "metric": "gap",
        "verdict": verdict,
        "reason": reason,
        "sentence": "gap was 1 and is 2",
        "value": 2.0,
        "baseline": 1.0,
    }
    return Verdict(**(facts | changes))


def check(*verdicts: Verdict, **settings: Any) -> Result:
    return result([], "check", **settings).model_copy(update={"verdicts": list(verdicts)})


def printed(shown: Result, width: int = 80) -> str:
    console = Console(width=width, record=True, force_terminal=False)
    print_result(shown, "table", console)
    return console.export_text()


def test_what_failed_comes_first_with_the_command_that_repeats_it() -> None:
    shown = check(
        found(),
        found("SKIPPED", "other-machine", sentence="x, as torch was 1 and is 2"),
        found("BETTER", "better"),
        found("FAIL", "worse"),
        profile="ci",
    )
    (table,) = verdict_tables(shown)
    assert [row.entries[0].text for row in table.rows] == ["FAIL", "BETTER"]
    assert table.notes[0] == f"FAIL {NAME}: gap was 1 and is 2"
    assert table.notes[1] == Command(f"regtopk-bench check --profile ci --select {NAME}")
    assert "torch was 1 and is 2" in str(table.notes[2])
    assert table.notes[-1] == "1 cells, 4 verdicts: 1 PASS, 1 SKIPPED, 1 BETTER, 1 FAIL"


def test_programs_get_every_verdict() -> None:
    (table,) = verdict_tables(check(found(), found("FAIL", "worse")), everything=True)
    assert [row.entries[0].text for row in table.rows] == ["FAIL", "PASS"]


def test_times_say_what_they_could_have_seen() -> None:
    timing = Timing(ratio=1.02, low=0.98, high=1.06, margin=1.1, detectable=1.17, pairs=8)
    text = printed(check(found("PASS", "equivalent", metric="time", timing=timing)))
    for shown in ("1.020", "0.980", "1.060", "1.170", "8", "margin 1.1"):
        assert shown in text


def test_allowed_cells_are_no_failures() -> None:
    new = found("NEW", "new-cell")
    assert "regtopk-bench check --select" in printed(check(new))
    assert "regtopk-bench check --select" not in printed(check(new, allow_new=True))


def test_numbers_are_whole_at_any_width() -> None:
    shown = check(found("FAIL", "worse", value=1.234567e-15, baseline=-7.654321e-300))
    for width in (80, 120):
        text = printed(shown, width)
        assert "1.234567e-15" in text
        assert "-7.654321e-300" in text


def test_many_failures_and_none() -> None:
    many = [found("FAIL", "worse", name=f"cell {number}") for number in range(1000)]
    assert "and 980 more" in printed(check(*many))
    assert "0 verdicts: none" in printed(check())


def test_hostile_names_stay_on_their_line() -> None:
    text = printed(check(found("FAIL", "worse", name="a\nb\x1b[31m", sentence="c\rd")))
    assert "a\\nb" in text
    assert "\x1b[31m" not in text
