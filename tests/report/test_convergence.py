from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import scipy.stats

from regtopk_bench.report.convergence import convergence_tables
from regtopk_bench.report.table import Table
from regtopk_bench.results import Run
from tests.results.samples import ENCODING, RECIPE, result, run

SETTINGS = {"workers": 2, "samples": 10, "dim": 4, "learning_rate": 0.1, "rounds": 3}


def table(runs: Sequence[Run], **settings: Any) -> Table:
    return convergence_tables(result(runs, **({"target": 0.05} | settings)))[0]


def rows(runs: Sequence[Run], **settings: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table(runs, **settings).csv())))


def test_a_row_has_what_a_worker_sends_per_round_and_to_the_target() -> None:
    (row,) = rows([run(gaps=[1.0, 0.1, 0.01])])
    assert row["rounds_to_target"] == "3.0"
    assert row["sent_bytes_per_worker_round"] == "24.0"
    assert row["sent_bytes_per_worker_to_target"] == "72.0"
    assert float(row["log10_gap"]) == -2.0


def test_coordination_is_sent_and_a_note_says_how_much() -> None:
    runs = [run("pkg.Mine", coordination=8000), run("topk")]
    mine, topk = rows(runs)
    assert (mine["sent_bytes_per_worker_round"], topk["sent_bytes_per_worker_round"]) == (
        "8024.0",
        "24.0",
    )
    assert mine["sent_bytes_per_worker_to_target"] == str(3 * 8024.0)
    notes = [note for note in table(runs).notes if "coordination" in note]
    assert notes == ["Mine: what is sent includes 8 kB per worker and round of coordination"]


def test_what_the_oracle_would_need_is_a_note_and_in_no_column() -> None:
    runs = [run("oracle", coordination=16000)]
    assert rows(runs)[0]["sent_bytes_per_worker_round"] == "24.0"
    (note,) = (note for note in table(runs).notes if "oracle" in note)
    assert "no system can reach" in note
    assert "16 kB per worker and round" in note


def test_the_one_that_beats_all_others_that_can_be_built_is_marked() -> None:
    runs = [
        run(name, seed, gaps=[1.0, gap ** (1.0 + 0.01 * seed)])
        for name, gap in (("oracle", 1e-9), ("dense", 1e-8), ("topk", 1e-1), ("pkg.Mine", 1e-2))
        for seed in range(3)
    ]
    runs += [run("regtopk", seed, gaps=[1.0, 1e-7 + seed], status="diverged") for seed in range(3)]
    assert [row["algorithm"] for row in rows(runs) if row["marked"] == "1"] == ["Mine"]
    assert any("(corrected p ≤ 0.05)" in str(note) for note in table(runs).notes)


def test_nothing_is_marked_where_the_smallest_gap_may_be_chance() -> None:
    one = [run("topk", gaps=[1e-1]), run("regtopk", gaps=[1e-9])]
    noisy = [
        run(name, seed, gaps=[gap])
        for name, gaps in (("topk", (1e-1, 1e-2, 1e-1)), ("regtopk", (1e-9, 1e-1, 1.0)))
        for seed, gap in enumerate(gaps)
    ]
    for runs in (one, noisy):
        assert [row["marked"] for row in rows(runs)] == ["0", "0"]
        assert not any(note.startswith("*") for note in table(runs).notes)


def test_a_mean_has_its_interval_and_how_many_runs_it_is_of() -> None:
    logs = [-2.0, -3.0, -2.5]
    runs = [run(seed=seed, gaps=[1.0, 10.0**log]) for seed, log in enumerate(logs)]
    two = {"recipe": {"rounds": 2}}
    diverged = run("pkg.Mine", 0, gaps=[1.0], status="diverged", **two)
    row, mine, dense = rows(
        [*runs, diverged, run("pkg.Mine", 1, gaps=[1.0, 0.1], **two), run("dense")]
    )
    low, high = scipy.stats.t.interval(0.95, 2, np.mean(logs), scipy.stats.sem(logs))
    assert float(row["log10_gap"]) == pytest.approx(-2.5)
    assert float(row["log10_gap_half_width"]) == pytest.approx((high - low) / 2)
    assert (row["n"], row["failed"]) == ("3", "0")
    assert (mine["n"], mine["failed"], mine["log10_gap"]) == ("1", "1", "-1.0")
    assert (dense["n"], dense["log10_gap_half_width"]) == ("1", "")


def test_the_last_table_ends_with_the_answer() -> None:
    one = [run("topk", gaps=[1e-1]), run("regtopk", gaps=[1e-9])]
    (single,) = convergence_tables(result(one))
    assert single.notes[-1].startswith("One seed supports no verdict")  # type: ignore[union-attr]
    several = [
        run(name, seed, gaps=[gap ** (1.0 + 0.01 * seed)])
        for name, gap in (("topk", 1e-1), ("regtopk", 1e-2))
        for seed in range(3)
    ]
    _, compared = convergence_tables(result(several))
    assert compared.notes[0].startswith("At density 0.5 RegTop-k (log10 gap -2.0")  # type: ignore[union-attr]


def test_a_gap_of_exactly_zero_is_explained() -> None:
    assert any("exactly 0" in str(note) for note in table([run(gaps=[1.0, 0.0])]).notes)
    assert not any("exactly 0" in str(note) for note in table([run()]).notes)


def test_bytes_of_a_round_are_shown_both_ways() -> None:
    (row,) = rows([run()])
    assert row["sent_bytes_per_worker_round"] == "24.0"
    assert row["received_bytes_per_worker_round"] == "32.0"
    shown = table([run()], target=1e-9).markdown()
    assert "| 0.024/0.032 |" in shown


def test_what_an_entry_takes_is_shown_where_messages_are_compact() -> None:
    recipe = RECIPE | {"encoding": "compact"}
    compact = [run("topk", 0, recipe=recipe), run("dense", 0, recipe=recipe)]
    compact.append(run("topk", 0, k=3, scope="layer", recipe=recipe))
    compact.append(run("randomk", 0, density=0.3, scope="layer", recipe=recipe))
    sparse, three, dense, layers = sorted(rows(compact), key=lambda row: row["bits_per_entry"])[
        ::-1
    ]
    assert (sparse["bits_per_entry"], three["bits_per_entry"]) == ("96.0", "64.0")
    # log2 C(4, 2)/2 and log2 C(4, 3)/3
    assert float(sparse["index_entropy_bits"]) == pytest.approx(math.log2(6) / 2)
    assert float(three["index_entropy_bits"]) == pytest.approx(2 / 3)
    assert dense["bits_per_entry"] == layers["bits_per_entry"] == ""
    assert any("of an index, at least" in str(note) for note in table(compact).notes)
    assert "bits_per_entry" not in rows([run()])[0]


def test_a_run_that_diverged_and_one_that_failed_say_so() -> None:
    texts = [
        row.entries[2].text
        for row in table(
            [
                run("topk", gaps=[1.0] * 12, status="diverged"),
                run("regtopk", gaps=[], status="failed"),
                run("randomk", 0, status="finished"),
                run("randomk", 1, status="diverged"),
            ]
        ).rows
    ]
    assert texts == ["diverged @13", "failed @1", "1/2 diverged @4"]


def test_configurations_that_differ_in_mu_have_rows_and_share_a_note() -> None:
    found = table([run("regtopk", mu=mu, q=1e8, denominator="previous") for mu in (4.0, 8.0)])
    assert [row.entries[0].text for row in found.rows] == ["regtopk:mu=4", "regtopk:mu=8"]
    assert "regtopk: q=1e+08, denominator=previous" in found.notes


def test_hyper_parameters_are_a_note_of_their_algorithm() -> None:
    found = table([run("regtopk", mu=4.0, q=1e8, scope="layer"), run("topk")])
    assert [note for note in found.notes if "mu=" in note] == ["regtopk: mu=4, q=1e+08"]


def test_how_bytes_are_counted_is_said_once_or_by_algorithm() -> None:
    once = f"bytes sent (up) and received (down) per worker ({ENCODING}); workers in 1 process"
    assert once in table([run(), run("dense")]).notes
    other = run("pkg.Mine").model_copy(update={"encoding": "1-byte levels"})
    told = (
        f"bytes sent (up) and received (down) per worker (topk, dense: {ENCODING}; "
        "Mine: 1-byte levels); workers in 1 process"
    )
    assert told in table([run(), run("dense"), other]).notes


def test_the_title_has_the_settings_that_are_known() -> None:
    assert table([run()], **SETTINGS, dtype="float64").title == (
        "Linear regression: N=2 workers, D=10 samples, J=4, η=0.1, 3 rounds, 1 seed, float64"
    )
    assert convergence_tables(result([run()]))[0].title == "Linear regression: 1 seed"


def test_without_a_target_nothing_has_reached_it() -> None:
    (found, *_) = convergence_tables(result([run()]))
    (row,) = csv.DictReader(io.StringIO(found.csv()))
    assert row["rounds_to_target"] == row["sent_bytes_per_worker_to_target"] == ""


def test_stopped_runs_and_seeds_are_noted() -> None:
    stopped = run(seed=0, status="stopped")
    why = "stopped early: the last round was not reached, and"
    assert table([stopped, run(seed=1)]).notes[0] == f"1 run {why} it enters no verdict"
    more = [stopped, run(seed=3, status="stopped"), run(seed=1), run(seed=2)]
    assert table(more).notes[:2] == [
        "± 95 % confidence interval of the mean over 2 seeds",
        f"2 runs {why} they enter no verdict",
    ]


def test_a_row_that_lost_a_run_shows_no_means_of_the_others() -> None:
    runs = [run("randomk", 0), run("randomk", 1, status="diverged")]
    (shown,) = table(runs).rows
    texts = dict(zip([each.key for each in table(runs).columns], shown.entries, strict=True))
    keys = [
        *("rounds_to_target", "sent_bytes_per_worker_round"),
        "sent_bytes_per_worker_to_target",
    ]
    assert [texts[key].text for key in keys] == ["–", "–", "–"]
    (row,) = rows(runs)
    assert [row[key] for key in keys] == ["3.0", "24.0", "72.0"]
    assert (row["n"], row["failed"]) == ("1", "1")


def test_bytes_of_a_round_have_an_interval_for_programs() -> None:
    each = ((48, 64), (50, 66), (58, 80))
    runs = []
    for seed, (up, down) in enumerate(each):
        made = run(seed=seed)
        moved = {"uplink_bytes": up, "downlink_bytes": down}
        traces = made.traces | {name: [count] * 3 for name, count in moved.items()}
        metrics = made.metrics | {name: 3 * count for name, count in moved.items()}
        runs.append(made.model_copy(update={"traces": traces, "metrics": metrics}))
    (row,) = rows(runs)
    for at, name in enumerate(("sent", "received")):
        values = [counts[at] / 2 for counts in each]
        half_width = scipy.stats.sem(values) * scipy.stats.t.ppf(0.975, 2)
        key = f"{name}_bytes_per_worker_round"
        assert float(row[key]) == pytest.approx(np.mean(values))
        assert float(row[f"{key}_half_width"]) == pytest.approx(half_width)


@pytest.mark.parametrize(
    ("scale", "heading", "texts"),
    [
        (1, "B to 0.05", ["72", "24"]),
        (10**4, "kB to 0.05", ["720", "240"]),
        (10**6, "MB to 0.05", ["72", "24"]),
    ],
)
def test_bytes_to_the_target_have_the_unit_of_the_most(
    scale: int, heading: str, texts: list[str]
) -> None:
    runs = []
    for name, gaps in (("topk", [1.0, 0.1, 0.01]), ("regtopk", [0.01, 0.01, 0.01])):
        made = run(name, gaps=gaps)
        traces = made.traces | {"uplink_bytes": [48 * scale] * 3}
        metrics = made.metrics | {"uplink_bytes": 144 * scale}
        runs.append(made.model_copy(update={"traces": traces, "metrics": metrics}))
    found = table(runs)
    (at,) = [number for number, each in enumerate(found.columns) if each.line == heading]
    assert [row.entries[at].text for row in found.rows] == texts


def test_means_are_as_fine_as_their_intervals() -> None:
    runs = [run(seed=seed, gaps=[10.0 ** (-28.65 - 0.002 * seed)]) for seed in range(3)]
    assert table(runs).rows[0].entries[2].text == "-28.6520±0.0050"


def test_the_number_of_seeds_is_that_of_the_means() -> None:
    failed = [run("topk", seed, status="failed") for seed in (7, 8, 9)]
    runs = [
        *(run("regtopk", seed) for seed in range(2)),
        *(run("dense", seed) for seed in range(3)),
    ]
    assert "± 95 % confidence interval of the mean over 2 to 3 seeds" in table(runs + failed).notes
    alone = [run("topk", 0), run("regtopk", 1), *failed]
    assert not any("±" in str(note) for note in table(alone).notes)


def test_speed_is_of_the_runs_that_the_row_counts() -> None:
    fast = {"processes": 1, "rounds_per_second": 900.0}
    diverged = run("topk", 1, status="diverged").model_copy(update={"execution": fast})
    (row,) = rows([run("topk", 0), diverged])
    assert (row["n"], row["rounds_per_second"]) == ("1", "100.0")
    (row,) = rows([diverged])
    assert (row["n"], row["rounds_per_second"]) == ("0", "")


def test_what_was_given_no_density_shows_none() -> None:
    shown = table([run("topk", density=1.0), run("dense"), run("pkg.Threshold", density=None)])
    assert [[entry.text for entry in row.entries[:2]] for row in shown.rows] == [
        ["topk", "1"],
        ["dense", "–"],
        ["Threshold", "–"],
    ]
    assert [row.section_ends for row in shown.rows] == [True, False, True]
