"""A check of two sides, of which one has or can do what the other does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.gate.bench import Ended
from regtopk_bench.gate.check import BASE, HEAD, Check
from regtopk_bench.gate.tree import head
from regtopk_bench.results.lines import Base
from regtopk_bench.settings import CheckSettings
from tests.gate.suites import ENVIRONMENT, base_of, suite_of
from tests.results.samples import run

FIRST, SECOND = run(seed=0), run(seed=1)


def checked(tmp_path: Path, head: object, base: object) -> Check:
    check = Check(head, list(head.cells), CheckSettings(cache=tmp_path), base)  # type: ignore[attr-defined,arg-type]
    check.runs |= {each.cell.key: each for each in (FIRST, SECOND) if each.cell.key in check.keys}
    check.base_runs[FIRST.cell.key] = Base(base=FIRST)
    return check


def test_code_other_than_that_in_this_folder_is_not_checked_in_its_place() -> None:
    assert head().name == "head"
    Path("regtopk_bench").mkdir()
    Path("regtopk_bench/__init__.py").touch()
    with pytest.raises(ConfigurationError, match="call it as python -m regtopk_bench"):
        head()


def test_a_cell_that_only_the_base_has_is_missing(tmp_path: Path) -> None:
    check = checked(tmp_path, suite_of(FIRST), base_of(FIRST, SECOND))
    found = {(each.cell, each.verdict, each.reason) for each in check.verdicts()}
    assert (SECOND.cell.key, "MISSING", "missing-cell") in found


def test_a_cell_that_the_base_could_not_run(tmp_path: Path) -> None:
    check = checked(tmp_path, suite_of(FIRST, SECOND), base_of(FIRST, SECOND))
    check._take(BASE, SECOND.cell.key, Ended(None, ("crashed", "the process died")))
    (found,) = (each for each in check.verdicts() if each.cell == SECOND.cell.key)
    assert (found.verdict, found.reason) == ("NEW", "new-cell")
    assert found.sentence == "the base could not run this cell: the process died"
    check._take(BASE, FIRST.cell.key, Ended(None, ("crashed", "the process died")))
    check.times()  # no process is started: neither can be timed in the base
    assert [(each.verdict, each.sentence) for each in check.timed] == [
        ("SKIPPED", "not timed: the base could not run this cell")
    ]


class Side:
    """A bench whose cell ends at once, with what a nudge changed if it was asked for."""

    def begin(self, key: str, *, nudge: bool = False) -> None:
        self.nudged = {"gap": 0.5} if nudge else {}

    def end(self) -> Ended:
        return Ended(FIRST, None, self.nudged)


@pytest.mark.parametrize(("torch", "tolerance"), [("2.15", 0.0), ("2.16", 5.0)])
def test_a_base_with_other_versions_says_how_firm_its_numbers_are(
    tmp_path: Path, torch: str, tolerance: float
) -> None:
    base = replace(base_of(FIRST), environment=ENVIRONMENT | {"torch": torch})
    check = Check(suite_of(FIRST), [FIRST.cell.key], CheckSettings(cache=tmp_path), base)
    assert len(list(check.cells(Side(), Side()))) == 2  # type: ignore[arg-type]
    (gap,) = (each for each in check.verdicts() if each.metric == "gap")
    assert (gap.verdict, gap.tolerance) == ("PASS", tolerance)


def test_a_cell_that_the_head_could_not_run(tmp_path: Path) -> None:
    check = Check(suite_of(FIRST), [FIRST.cell.key], CheckSettings(cache=tmp_path), base_of(FIRST))
    check._take(HEAD, FIRST.cell.key, Ended(None, ("crashed", "the process died")))
    assert [(each.verdict, each.reason) for each in check.verdicts()] == [("FAIL", "crashed")]


def test_what_a_comparison_cannot_see_is_noted(tmp_path: Path) -> None:
    ours = str(Path(__file__).parents[2] / "regtopk_bench" / "__init__.py")
    head = suite_of(FIRST, files=("/head.py", "/shared.py", ours))
    check = checked(tmp_path, head, base_of(FIRST, files=("/base.py", "/shared.py", ours)))
    removed, shared = check.notes
    assert removed.startswith("without a baseline, numbers are compared with those of /base")
    assert shared.endswith("no change of it shows: /shared.py")


def test_code_is_not_compared_with_itself() -> None:
    with pytest.raises(ConfigurationError, match="compared with itself"):
        Check(suite_of(FIRST), [], CheckSettings(), base_of(FIRST, files=("/head.py",)))
