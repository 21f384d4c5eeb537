"""The table of `cost`, and its answer in sentences."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import pytest

from regtopk_bench.report.step_answer import answers
from regtopk_bench.report.step_cost import cost_tables, draw
from regtopk_bench.results.costs import Costs, Rounds
from tests.results.costed import OTHER, costs, entry

RUN = Rounds(result="runs/A", target="70 %", workers=4)
RANDOM = {"algorithm": "randomk", "density": 0.01}


def rows(found: Costs) -> list[dict[str, str]]:
    """Return the table as programs read it."""
    (table,) = cost_tables(found)
    return list(csv.DictReader(io.StringIO(table.csv())))


def notes(found: Costs) -> str:
    (table,) = cost_tables(found)
    return "\n".join(map(str, table.notes))


def first(found: Costs) -> str:
    return answers(found)[0]


def test_programs_get_seconds_bytes_and_bits_per_second() -> None:
    found = costs(entry(), entry(OTHER, sparsify_seconds=0.0), entry(RANDOM, size=200e6))
    whole, sparse, free, heavy = rows(found)
    line = found.lines[1]
    assert float(sparse["exposed_seconds"]) == line.exposed.seconds
    assert float(sparse["overlapped_speed_up"]) == line.overlapped.speed_up
    assert float(sparse["overlapped_pays_below"]) == line.overlapped.pays_below
    assert float(sparse["received_bytes"]) == line.received_bytes == 7e6
    assert sparse["pays"] == "below"
    assert (float(free["exposed_pays_below"]), float(heavy["exposed_pays_below"])) == (math.inf, 0)
    assert heavy["pays"] == "never"
    assert (whole["pays"], whole["exposed_pays_below"], whole["exposed_speed_up"]) == (
        "",
        "",
        "1.0",
    )
    assert all(
        row["rounds_to_target"] == row["exposed_seconds_to_target"] == "" for row in rows(found)
    )


def test_with_a_result_programs_get_both_steps_and_the_target() -> None:
    found = costs(entry(rounds=200.0), entry(OTHER, in_result=True), reference=100.0, rounds=RUN)
    _, sparse, never = rows(found)
    assert float(sparse["exposed_seconds_to_target"]) == 200 * float(sparse["exposed_seconds"])
    assert (never["rounds_to_target"], never["overlapped_seconds_to_target"]) == ("", "")
    assert float(never["overlapped_seconds"]) > 0.0


def test_what_pays() -> None:
    found = costs(entry(), entry(OTHER, sparsify_seconds=0.09), entry(RANDOM, size=100e6))
    assert answers(found)[:3] == [
        "Compress here: a step takes 350 ms with Top-k at density 0.01, and 1.51 s with dense, "
        "4.33 times as long",
        "RegTop-k at density 0.01: at most 20 % longer, which the model cannot tell apart",
        "Do not compress here with Random-k at density 0.01: dense takes less",
    ]


def test_where_dense_wins_it_is_said_plainly() -> None:
    """A link on which everything is hidden: a sparsifier's own time is all that is left."""
    assert answers(costs(entry(), network="100gbit:1us"))[:2] == [
        "Do not compress here: a step takes 300 ms with dense, and 350 ms at best, with Top-k at "
        "density 0.01",
        "This is the time of a step: whether it takes more steps to a target, a saved run tells, "
        "with --run RESULT",
    ]
    slow = costs(entry(sparsify_seconds=9.0))
    assert first(slow).startswith("Do not compress here: a step takes 1.51 s with dense, and 9.3 s")
    assert answers(slow)[1] == (
        "It would pay if Top-k at density 0.01 took less than 1.21 s of its own, not 9 s"
    )


def test_a_gain_within_the_error_of_the_model_is_none() -> None:
    found = costs(entry(sparsify_seconds=1.05))
    assert 1.0 < (found.lines[1].overlapped.speed_up or 0.0) < 1.2
    assert first(found) == (
        "Do not compress here: a step takes 1.51 s with dense and 1.35 s with Top-k at density "
        "0.01, which differs by less than the 20 % that the model may be off"
    )


def test_it_may_pay_without_overlap_only() -> None:
    """What hides behind the backward pass costs nothing, unless it does not hide there."""
    found = costs(entry(), network="10gbit:1us")
    assert first(found).startswith("Do not compress here: a step takes 300 ms with dense")
    assert answers(found)[1].startswith(
        "Where messages travel after the backward pass: Compress here: a step takes 356 ms with "
        "Top-k at density 0.01, and 440 ms with dense"
    )


def test_the_target_decides_if_its_rounds_are_known() -> None:
    few = costs(entry(rounds=100.0), reference=100.0, rounds=RUN)
    many = costs(entry(rounds=900.0), reference=100.0, rounds=RUN)
    assert first(few).startswith("Compress here: to 70 % it takes 35 s with Top-k at density 0.01")
    assert first(many).startswith("Do not compress here: to 70 % it takes 2.52 min with dense, and")
    assert answers(few)[-1] == "rounds to 70 %: those of runs/A, with 4 workers"
    assert "--run" not in notes(few)


def test_what_says_nothing_of_the_target_is_told() -> None:
    found = costs(
        entry(rounds=100.0),
        entry(OTHER, in_result=True),
        entry(RANDOM),
        reference=100.0,
        rounds=RUN,
    )
    assert "RegTop-k at density 0.01 did not reach 70 % on every seed of runs/A" in answers(found)
    assert "Random-k at density 0.01 had no run in runs/A" in answers(found)
    without = answers(costs(entry(rounds=100.0), rounds=RUN))
    assert without == [
        "Dense had no run in runs/A",
        "rounds to 70 %: those of runs/A, with 4 workers",
    ]


def test_how_messages_travel_is_told() -> None:
    found = costs(entry(), entry(RANDOM, summed_bytes=5e5))
    assert "dense and randomk by all-reduce, values alone; topk by all-gather (4" in notes(found)
    assert "; sparse_hook gathers randomk too, with indices" in notes(found)
    assert "sparse_hook" not in notes(costs(entry()))
    server = notes(costs(entry(), network="1gbit:1ms:server"))
    assert "dense through a server, values alone; topk through a server, as if no two " in server
    assert "all-reduce" not in server
    nodes = notes(costs(entry(), network="4x100gbit:1us,1gbit:1ms"))
    assert "the bandwidth of the link of a node below which dense takes longer" in nodes


def test_what_was_scaled_is_told() -> None:
    whole = costs(entry())
    assert "counted in messages about 4,000,000 entries, in proportion" in notes(whole)
    assert "(Processor 9000, 2 threads) on 16,000,000 normal entries, in prop" in notes(whole)
    small = whole.model_copy(update={"counted": whole.params, "timed": whole.params})
    assert "in proportion" not in notes(small)
    given = whole.model_copy(update={"timed": None})
    assert "sparsify: as given" in notes(given)
    assert "processor" not in notes(given)
    gpu = whole.model_copy(update={"device": "cuda", "environment": {"gpu": "GPU 1"}})
    assert "sparsify: measured here (GPU 1) on" in notes(gpu)


@pytest.mark.parametrize(
    ("suffix", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_it_is_drawn_into_a_file(suffix: str, magic: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"cost.{suffix}"
    draw(costs(entry(), entry(OTHER)), path)
    assert path.read_bytes().startswith(magic)


def test_nothing_to_compare_with_has_a_table(tmp_path: Path) -> None:
    alone = costs()
    assert [row["algorithm"] for row in rows(alone)] == ["dense"]
    assert len(answers(alone)) == 1
    draw(alone, tmp_path / "cost.svg")


def test_parameters_are_told_where_rows_do_not_show_them() -> None:
    assert "regtopk: mu=4" in notes(costs(entry(OTHER)))
    both = notes(costs(entry(OTHER), entry(OTHER | {"mu": 8.0})))
    assert "regtopk: mu" not in both
