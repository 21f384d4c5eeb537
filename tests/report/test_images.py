from __future__ import annotations

import csv
import io

from regtopk_bench.report.images import image_tables, source
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
    sent = [row.entries[5].raw for row in table.rows]
    assert sent == [96.0, 72.0]
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
    runs = [image_run(name, seed) for name in ("topk", "regtopk") for seed in (0, 1)]
    _, comparison = image_tables(result(runs, "cifar"))
    assert [row.entries[2].text for row in comparison.rows] == ["best", "final"]
