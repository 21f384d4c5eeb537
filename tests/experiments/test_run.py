"""From cells to runs, one after the other, and on where an experiment was interrupted."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import regtopk_bench as rb
from regtopk_bench import experiments
from regtopk_bench.experiments import Cell, Observer, Saving
from regtopk_bench.results import Run
from regtopk_bench.results.journal import Journal
from tests.experiments.bowls import ROUNDS, TROUBLE, cell
from tests.results import samples


class Watcher(Observer):
    """Notes which cells were run, and stops the experiment like Ctrl-C where it is told to."""

    watches_rounds = True

    def __init__(self, stop_at: int | None = None) -> None:
        self.begun: list[Cell] = []
        self.rounds: list[int] = []
        self.ended_as: list[str] = []
        self._stop_at = stop_at

    def began(self, cell: Cell) -> None:
        self.begun.append(cell)

    def round(self, cell: Cell, finished: int) -> None:
        self.rounds.append(finished)
        if finished == self._stop_at:
            raise KeyboardInterrupt

    def ended(self, cell: Cell, run: Run) -> None:
        assert run.cell.key == cell.key
        self.ended_as.append(run.status)


class Experiment:
    """An experiment in a folder, run again and again."""

    def __init__(self, folder: Path) -> None:
        self.saving = Saving(folder / "checkpoints", every=4)
        self.folder = folder
        Journal.create(folder, samples.header()).close()

    def run(self, cells: Sequence[Cell], observer: Observer | None = None) -> Iterator[Run]:
        with Journal(self.folder) as journal:
            yield from experiments.run(
                cells, journal=journal, saving=self.saving, processes=1, observer=observer
            )

    def checkpoints(self) -> set[str]:
        """Return the keys of the cells that have any."""
        return {path.parent.name for path in self.saving.folder.glob("*/round-*")}


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return Experiment(tmp_path)


def numbers(runs: Sequence[Run]) -> list[Any]:
    """Return what is the same whenever and wherever cells are run."""
    return [(run.cell, run.status, run.error, run.metrics, run.traces) for run in runs]


def until_it_stops(
    runs: Iterator[Run], error: type[BaseException] = KeyboardInterrupt, match: str | None = None
) -> list[Run]:
    """Return the runs that are yielded before an error is raised."""
    found: list[Run] = []
    with pytest.raises(error, match=match):
        found.extend(runs)  # those before the error are there already
    return found


CELLS = [cell(rb.Dense()), cell(), cell(rb.RegTopK(k=2)), cell(seed=1)]


def test_runs_are_yielded_in_order_without_anything_being_stored() -> None:
    watcher = Watcher()
    runs = experiments.run(CELLS, processes=1, observer=watcher)
    first = next(runs)
    assert watcher.begun == CELLS[:1]  # the others have not begun yet
    both = [first, *runs]
    assert [run.cell for run in both] == [each.record for each in CELLS]
    assert [run.status for run in both] == ["finished"] * 4
    assert watcher.rounds == [*range(1, ROUNDS + 1)] * 4
    assert [run.metrics["rounds"] for run in both] == [ROUNDS] * 4
    assert both[1].metrics["uplink_bytes"] == ROUNDS * 3 * 2 * 12
    assert both[1].metrics["parameters"] == 6


def test_cells_that_repeat_are_refused() -> None:
    with pytest.raises(rb.ConfigurationError, match="topk k 2 seed 0 is there twice"):
        next(experiments.run([cell(), cell()]))


def test_cells_that_run_at_the_same_time_have_one_process_each() -> None:
    with pytest.raises(
        rb.ConfigurationError, match="jobs 2 with processes 3: cells that run at the"
    ):
        experiments.run(CELLS, jobs=2, processes=3)


def test_what_the_journal_has_settled_is_not_run_again(experiment: Experiment) -> None:
    before = list(experiment.run(CELLS[:2]))
    watcher = Watcher()
    runs = list(experiment.run(CELLS, watcher))
    assert watcher.begun == CELLS[2:]
    assert watcher.ended_as == ["finished"] * 4
    assert runs[:2] == before
    assert numbers(runs) == numbers(list(experiments.run(CELLS, processes=1)))
    assert not experiment.saving.folder.exists()


def test_an_interrupted_experiment_is_resumed_from_its_checkpoint(experiment: Experiment) -> None:
    undisturbed = list(experiments.run(CELLS, processes=1))
    stopped = until_it_stops(experiment.run(CELLS, Watcher(stop_at=7)))
    assert [(run.status, run.metrics["rounds"]) for run in stopped] == [("stopped", 7)]
    watcher = Watcher()
    assert numbers(list(experiment.run(CELLS, watcher))) == numbers(undisturbed)
    assert watcher.begun == CELLS
    assert watcher.rounds[:16] == [*range(5, 21)]


def test_cells_that_differ_in_mu_only_never_meet(experiment: Experiment) -> None:
    cells = [cell(rb.RegTopK(k=2, mu=mu)) for mu in (4.0, 5.0)]
    undisturbed = [numbers(list(experiments.run([each], processes=1))) for each in cells]
    until_it_stops(experiment.run(cells[:1], Watcher(stop_at=9)))
    assert experiment.checkpoints() == {cells[0].key}
    watcher = Watcher(stop_at=9)
    until_it_stops(experiment.run(cells[1:], watcher))
    assert watcher.rounds[0] == 1  # it has not gone on from the checkpoint of the other
    assert experiment.checkpoints() == {each.key for each in cells}
    for each, expected in zip(cells, undisturbed, strict=True):
        watcher = Watcher()
        assert numbers(list(experiment.run([each], watcher))) == expected
        assert watcher.rounds[0] == 9
    assert undisturbed[0] != undisturbed[1]


def test_a_cell_that_diverges_is_over_and_the_others_are_run(experiment: Experiment) -> None:
    cells = [cell(diverges=True), cell()]
    runs = list(experiment.run(cells))
    assert [run.status for run in runs] == ["diverged", "finished"]
    assert runs[0].metrics["rounds"] == TROUBLE - 1
    assert f"worker 0 in round {TROUBLE}" in str(runs[0].error)
    assert not experiment.saving.folder.exists()
    watcher = Watcher()
    assert list(experiment.run(cells, watcher)) == runs
    assert watcher.begun == []


def trouble(folder: Path, kind: str) -> Path:
    file = folder / "trouble"
    file.write_text(kind)
    return file


def test_a_cell_that_fails_ends_the_experiment_and_is_tried_again(
    experiment: Experiment, tmp_path: Path
) -> None:
    cells = [cell(trouble=trouble(tmp_path, "failure")), cell(seed=1)]
    runs = until_it_stops(experiment.run(cells), rb.RunError, "the disk is full")
    assert [(run.status, run.error) for run in runs] == [("failed", "the disk is full")]
    assert runs[0].metrics["rounds"] == TROUBLE - 1
    assert experiment.checkpoints() == {cells[0].key}
    (tmp_path / "trouble").unlink()
    watcher = Watcher()
    assert numbers(list(experiment.run(cells, watcher))) == numbers(
        list(experiments.run([cell(), cell(seed=1)], processes=1))
    )
    assert watcher.rounds[0] == 9


@pytest.mark.parametrize("error", [rb.RunError("the disk is full"), KeyboardInterrupt()])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_that_cannot_be_recorded_is_yielded_all_the_same(
    error: BaseException, jobs: int, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    with Journal(experiment.folder) as journal:
        monkeypatch.setattr(journal, "append", fail)
        saving = experiment.saving
        runs = experiments.run(CELLS, journal=journal, saving=saving, processes=1, jobs=jobs)
        found = until_it_stops(runs, type(error))
    assert found[0].status == "finished"
    assert len(found) < len(CELLS)
    assert found[0].cell.key in experiment.checkpoints()


def test_an_error_that_nobody_expects_leaves_checkpoints(
    experiment: Experiment, tmp_path: Path
) -> None:
    cells = [cell(trouble=trouble(tmp_path, "memory"))]
    assert until_it_stops(experiment.run(cells), MemoryError, "no memory left") == []
    assert experiment.checkpoints() == {cells[0].key}
    (tmp_path / "trouble").unlink()
    watcher = Watcher()
    (run,) = experiment.run(cells, watcher)
    assert run.status == "finished"
    assert watcher.rounds[0] == 9


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Pretend to be on another machine."""

    return lambda name: monkeypatch.setattr(platform, "platform", lambda: name)


def machines(run: Run) -> list[Any]:
    return [environment["platform"] for environment in run.environments]


def test_a_run_that_is_resumed_elsewhere_names_both_machines(
    experiment: Experiment, machine: Callable[[str], None]
) -> None:
    cells = [cell(rb.Dense()), cell()]
    machine("fast")
    (first,) = experiment.run(cells[:1])
    assert machines(first) == ["fast"]
    until_it_stops(experiment.run(cells, Watcher(stop_at=9)))
    machine("slow")
    finished, resumed = experiment.run(cells)
    assert machines(finished) == ["fast"]
    assert machines(resumed) == ["fast", "slow"]


def test_a_run_that_begins_anew_elsewhere_was_made_there_alone(
    experiment: Experiment, machine: Callable[[str], None]
) -> None:
    machine("fast")
    until_it_stops(experiment.run([cell()], Watcher(stop_at=3)))
    machine("slow")
    (run,) = experiment.run([cell()])
    assert machines(run) == ["slow"]


@pytest.mark.parametrize("diverges", [False, True])
def test_cells_of_a_seed_share_an_instance_which_goes_before_the_next(diverges: bool) -> None:
    one = cell(diverges=diverges)
    cells = [
        Cell(problem=one.problem, sparsifier=sparsifier, recipe=one.recipe, seed=seed)
        for seed in (0, 1, 2)
        for sparsifier in (rb.Dense(), rb.TopK(k=1), rb.RegTopK(k=1))
    ]
    assert len(list(experiments.run(cells, processes=1))) == 9
    problem: Any = one.problem
    assert problem.left == [0, 0, 0]  # made once for each seed, with no other in memory


def test_checkpoints_stay_until_the_caller_has_the_run(tmp_path: Path) -> None:
    """Without a journal nobody else has it."""
    saving = Saving(tmp_path / "checkpoints", every=4)
    runs = experiments.run([cell()], saving=saving, processes=1)
    assert next(runs).status == "finished"
    assert saving.of(cell()).latest() is not None
    assert list(runs) == []
    assert not saving.folder.exists()


def test_checkpoints_that_outlived_their_cell_are_removed(experiment: Experiment) -> None:
    """As those of a cell that was recorded right before a power cut."""
    list(experiment.run([cell()]))
    until_it_stops(experiments.run([cell()], saving=experiment.saving, observer=Watcher(stop_at=9)))
    assert experiment.checkpoints() == {cell().key}
    assert [run.status for run in experiment.run([cell()])] == ["finished"]
    assert experiment.checkpoints() == set()
