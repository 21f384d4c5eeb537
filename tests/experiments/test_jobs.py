"""Several cells at a time: the same runs, and nothing lost when a process is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import regtopk_bench as rb
from regtopk_bench import experiments
from regtopk_bench.experiments import Saving
from regtopk_bench.results import Run
from regtopk_bench.results.journal import Journal
from tests.experiments.bowls import ROUNDS, cell
from tests.results import samples


def by_key(runs: Sequence[Run]) -> dict[str, Run]:
    """Return runs by cell, as they end in any order, without what depends on time and place."""
    return {
        run.cell.key: run.model_copy(update={"execution": {}, "environments": []}) for run in runs
    }


def test_several_jobs_give_the_runs_of_one() -> None:
    cells = [cell(sparsifier, seed) for seed in (0, 1) for sparsifier in (rb.Dense(), rb.TopK(k=1))]
    cells.append(cell(diverges=True))
    one_by_one = list(experiments.run(cells, processes=1))
    at_once = list(experiments.run(cells, jobs=2))
    assert by_key(at_once) == by_key(one_by_one)
    assert sorted(run.status for run in at_once) == ["diverged", *["finished"] * 4]


@pytest.mark.parametrize(
    ("kind", "error", "match"),
    [
        ("death", rb.RunError, r"process \d of 2 that run cells, died \(exit code 7\)"),
        ("memory", MemoryError, "no memory left"),
    ],
)
def test_a_job_that_ends_the_experiment_loses_nothing(
    kind: str, error: type[Exception], match: str, tmp_path: Path
) -> None:
    """Neither the cells that had finished nor the checkpoint of the one that went wrong."""
    trouble = tmp_path / "trouble"
    trouble.write_text(kind)
    good = [cell(seed=seed) for seed in (1, 2)]
    bad = cell(rounds=ROUNDS + 1, trouble=trouble)
    saving = Saving(tmp_path / "checkpoints", every=4)
    with Journal.create(tmp_path, samples.header()) as journal:
        runs = experiments.run([*good, bad], journal=journal, saving=saving, jobs=2, restarts=0)
        found: list[Run] = []
        with pytest.raises(error, match=match):
            found.extend(runs)
        assert {run.status for run in found} <= {"finished", "stopped"}  # by then, or under way
        assert journal.contents.runs.keys() == by_key(found).keys()
    assert [path.name for path in sorted(saving.of(bad).folder.iterdir())] == [
        "round-00000004.npz",
        "round-00000008.npz",
    ]
    trouble.unlink()
    with Journal(tmp_path) as journal:
        again = list(experiments.run([*good, bad], journal=journal, saving=saving, jobs=1))
    undisturbed = [*good, cell(rounds=ROUNDS + 1)]
    assert by_key(again) == by_key(list(experiments.run(undisturbed, processes=1)))
    assert not saving.folder.exists()


def test_a_cell_whose_process_died_is_started_again(tmp_path: Path) -> None:
    """From its last checkpoint, with a warning, and its run says so."""
    (tmp_path / "trouble").write_text("one death")
    cells = [cell(seed=1), cell(rounds=ROUNDS + 1, trouble=tmp_path / "trouble"), cell(seed=2)]
    saving, begun = Saving(tmp_path / "checkpoints", every=4), list[str]()

    class Watching(experiments.Observer):
        def began(self, cell: experiments.Cell) -> None:
            begun.append(cell.key)

    with Journal.create(tmp_path, samples.header()) as journal:
        runs = experiments.run(cells, jobs=2, journal=journal, saving=saving, observer=Watching())
        said = r"process \d of 2 that run cells, died \(exit code 7\); .* goes on after round 8"
        with pytest.warns(rb.RestartWarning, match=rf"^{said} \(restart 1 of 3\)$"):
            found = list(runs)
    assert by_key(found) == by_key(list(experiments.run(cells, processes=1)))
    restarts = {run.cell.key: run.execution["restarts"] for run in found}
    assert restarts == {each.key: int(each is cells[1]) for each in cells}
    assert sorted(begun) == sorted(restarts)  # once each


def test_a_cell_that_kills_its_process_each_time_ends_the_experiment(tmp_path: Path) -> None:
    (tmp_path / "trouble").write_text("death")
    cells = [cell(seed=1), cell(rounds=ROUNDS + 1, trouble=tmp_path / "trouble")]
    with (
        pytest.warns(rb.RestartWarning, match=r"starts from the beginning \(restart") as warned,
        pytest.raises(rb.WorkerDiedError, match=r"died \(exit code 7\), after 2 restarts; resume"),
    ):
        list(experiments.run(cells, jobs=2, restarts=2))
    assert len(warned) == 2


def test_time_counts_once_however_often_others_speak(tmp_path: Path) -> None:
    (tmp_path / "trouble").write_text("silence")
    quiet = cell(trouble=tmp_path / "trouble")
    talkative = [cell(seed=seed) for seed in range(1, 201)]
    runs = list(experiments.run([quiet, *talkative], jobs=2, timeout=15.0))
    assert len(runs) == 201


@pytest.mark.parametrize("error", [rb.RunError("the disk is full"), KeyboardInterrupt()])
def test_a_cell_that_cannot_be_started_stops_the_others_after_a_round(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long, *short = [cell(rounds=10**6), *(cell(seed=seed) for seed in (1, 2))]
    with Journal.create(tmp_path, samples.header()) as journal:
        started = journal.started

        def failing(key: str, *others: Any) -> Any:
            if key == short[-1].key:
                raise error
            return started(key, *others)

        monkeypatch.setattr(journal, "started", failing)
        found: list[Run] = []
        with pytest.raises(type(error)):
            found.extend(experiments.run([long, *short], journal=journal, jobs=2))
    assert {run.cell.key: run.status for run in found} == {
        short[0].key: "finished",
        long.key: "stopped",
    }


@pytest.mark.parametrize("watches", [True, False])
def test_who_watches_rounds_hears_of_those_in_other_processes(watches: bool) -> None:
    told = dict[str, list[int]]()

    class Watching(experiments.Observer):
        watches_rounds = watches

        def round(self, cell: experiments.Cell, finished: int) -> None:
            told.setdefault(cell.key, []).append(finished)

    cells = [cell(seed=seed) for seed in (0, 1)]
    assert len(list(experiments.run(cells, jobs=2, observer=Watching()))) == 2
    assert told.keys() == ({each.key for each in cells} if watches else set())
    assert all(rounds[0] == 1 and rounds == sorted(rounds) for rounds in told.values())
