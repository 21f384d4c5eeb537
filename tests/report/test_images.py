from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

import scipy.stats

from regtopk_bench.report.images import image_tables, source
from regtopk_bench.results import Run
from tests.results.samples import IMAGES, image_run, result, run

SETTINGS = {"target": 0.7, "model": "resnet18", "workers": 2, "partition": "iid", "batch": 8}


def test_a_row_has_accuracies_what_they_cost_and_speed() -> None:
    (table,) = image_tables(result([image_run()], "cifar", **SETTINGS))
    (row,) = csv.DictReader(io.StringIO(table.csv()))
    assert (row["best_accuracy"], row["final_accuracy"]) == ("0.75", "0.75")
    assert (row["rounds_to_target"], row["sent_bytes_per_worker_to_target"]) == ("3.0", "72.0")
    assert float(row["images_per_second"]) == 100.0 * 2 * 8
    assert row["images"] == "SYNTHETIC images"


def test_coordination_counts_here_too() -> None:
    runs = [image_run("pkg.Mine", coordination=8), image_run("oracle", coordination=8)]
    (table,) = image_tables(result(runs, "cifar", **SETTINGS))
    rows = list(csv.DictReader(io.StringIO(table.csv())))
    assert [row["sent_bytes_per_worker_to_target"] for row in rows] == ["96.0", "72.0"]
    assert sum("kB per worker and round" in note for note in table.notes) == 2


def test_the_title_needs_no_setting() -> None:
    full = result([image_run()], "cifar", **SETTINGS, learning_rate=0.1, schedule="cosine")
    assert image_tables(full)[0].title == (
        "SYNTHETIC images: resnet18 (J=4), N=2 workers, iid, batch 8, η=0.1 (cosine), 1 seed"
    )
    assert image_tables(result([image_run()], "cifar"))[0].title == (
        "SYNTHETIC images: (J=4), 1 seed"
    )


def test_images_of_ones_own_go_by_the_name_of_their_folder() -> None:
    own = run(problem=IMAGES | {"dataset": "images"})
    assert source(result([own], "cifar", data="/data/flowers")) == "flowers"
    assert source(result([own], "cifar", data=None)) == "CIFAR-10"


def test_the_scope_of_selection_is_noted() -> None:
    (table,) = image_tables(result([image_run(), image_run("dense")], "cifar"))
    assert any(note.endswith("; selection scope: global") for note in table.notes)
    (table,) = image_tables(result([image_run(scope="layer"), image_run("dense")], "cifar"))
    assert any(note.endswith("; selection scope: layer") for note in table.notes)


def test_the_comparison_is_in_points_of_accuracy() -> None:
    runs = [*accurate("topk", [0.5, 0.52]), *accurate("regtopk", [0.7, 0.73])]
    _, comparison = image_tables(result(runs, "cifar"))
    assert [row.entries[3].text for row in comparison.rows] == ["best", "final"]


def accurate(name: str, accuracies: Sequence[float], reached: float = 0.5) -> list[Run]:
    """Return runs on images with this accuracy at the end, and another in the second round."""
    return [
        run(name, seed, problem=IMAGES, traces={"accuracy": [math.nan, reached, accuracy]})
        for seed, accuracy in enumerate(accuracies)
    ]


def test_who_wins_on_accuracy_is_marked_and_said() -> None:
    runs = [*accurate("topk", [0.5, 0.52, 0.49]), *accurate("regtopk", [0.7, 0.73, 0.68])]
    first, compared = image_tables(result([*runs, *accurate("dense", [0.9])], "cifar"))
    rows = csv.DictReader(io.StringIO(first.csv()))
    assert [row["algorithm"] for row in rows if row["marked"] == "1"] == ["regtopk"]
    p = scipy.stats.ttest_rel([0.5, 0.52, 0.49], [0.7, 0.73, 0.68]).pvalue
    assert str(compared.notes[0]).startswith("At density 0.5 RegTop-k (final accuracy 70.3±6.3 %)")
    assert f"p = {p:.2g})" in str(compared.notes[0])


def test_who_wins_on_bytes_is_said() -> None:
    slow = accurate("topk", [0.7, 0.72, 0.75, 0.71, 0.73], reached=0.4)
    fast = accurate("regtopk", [0.71, 0.72, 0.74, 0.75, 0.72], reached=0.6)
    *_, last = image_tables(result([*slow, *fast], "cifar", target=0.55))
    (least,) = (str(note) for note in last.notes if str(note).startswith("To 55 %"))
    assert "least is sent by RegTop-k at density 0.5, 48" in least
    assert "; Top-k at density 0.5 sends 1.5 times as much (p = " in least


def test_bytes_of_a_round_are_shown_whether_or_not_the_target_was_reached() -> None:
    (table,) = image_tables(result([image_run()], "cifar", target=0.99))
    assert "| – | 0.024/0.032 | – |" in table.markdown()
    (row,) = csv.DictReader(io.StringIO(table.csv()))
    assert row["received_bytes_per_worker_round"] == "32.0"


def test_one_seed_says_that_it_decides_nothing() -> None:
    (table,) = image_tables(result([image_run("topk"), image_run("regtopk", mu=2)], "cifar"))
    assert "One seed supports no verdict on which is better: --seeds 0-4 runs five" in table.notes


def test_speed_and_time_are_of_the_runs_that_the_row_counts() -> None:
    """One that never counts has none, and no warning says so."""
    slow = {"processes": 1, "rounds_per_second": 1.0, "sparsify_seconds": 9.0}
    failed = image_run("topk", 1, status="failed").model_copy(update={"execution": slow})
    (table,) = image_tables(result([image_run("topk", 0), failed], "cifar"))
    (row,) = csv.DictReader(io.StringIO(table.csv()))
    assert row["images_per_second"] == str(100.0 * 2 * 8)
    (table,) = image_tables(result([failed], "cifar"))
    (row,) = csv.DictReader(io.StringIO(table.csv()))
    assert (row["images_per_second"], row["gradient_share"]) == ("", "")
    assert "nan" not in table.markdown()
