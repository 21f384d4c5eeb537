from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from regtopk_bench import ConfigurationError, RunError
from regtopk_bench.results import journal, store
from regtopk_bench.results.journal import JOURNAL_FILE, Journal
from regtopk_bench.results.store import dump
from tests.results.samples import cell, header, result, run

HERE, THERE = {"cpu": "here", "load_average": 0.5}, {"cpu": "there", "load_average": 0.5}


def filled(folder: Path) -> Path:
    """Return the journal of an experiment with two runs that were finished."""
    with Journal.create(folder, header(rounds=3)) as opened:
        for seed in (0, 1):
            opened.started(cell(seed=seed).key, 0, HERE)
            opened.append(run(seed=seed))
    return folder / JOURNAL_FILE


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    filled(tmp_path)
    found = journal.read(tmp_path)
    assert found.header == header(rounds=3)
    assert found.runs == {each.cell.key: each for each in (run(seed=0), run(seed=1))}
    assert found.result.settings["rounds"].value == 3


def test_what_is_appended_is_on_disk_at_once(tmp_path: Path) -> None:
    with Journal.create(tmp_path, header()) as opened:
        assert journal.read(tmp_path).runs == {}
        opened.append(run())
        assert list(journal.read(tmp_path).runs) == [cell().key]


def test_lines_are_added_and_never_changed(tmp_path: Path) -> None:
    file = filled(tmp_path)
    before = file.read_bytes()
    with Journal(tmp_path) as opened:
        assert len(opened.contents.runs) == 2
        opened.append(run(seed=2))
    assert file.read_bytes().startswith(before)
    assert len(journal.read(tmp_path).runs) == 3


def test_the_last_run_of_a_cell_counts(tmp_path: Path) -> None:
    filled(tmp_path)
    with Journal(tmp_path) as opened:
        opened.append(run(seed=0, status="stopped"))
    found = journal.read(tmp_path).result.runs
    assert [each.status for each in found] == ["stopped", "finished"]


@pytest.mark.parametrize("kept", [1, 40, -1])
def test_a_last_line_that_was_cut_is_ignored_and_replaced(tmp_path: Path, kept: int) -> None:
    file = filled(tmp_path)
    whole, _, last = file.read_bytes().rstrip(b"\n").rpartition(b"\n")
    file.write_bytes(whole + b"\n" + last[: kept or None])
    assert len(journal.read(tmp_path).runs) == 1
    with Journal(tmp_path) as opened:
        opened.append(run(seed=5))
    assert [each.cell.seed for each in journal.read(tmp_path).result.runs] == [0, 5]  # type: ignore[union-attr]


def test_a_line_without_its_end_was_cut_even_if_it_can_be_read(tmp_path: Path) -> None:
    file = filled(tmp_path)
    file.write_bytes(file.read_bytes()[:-1])
    assert len(journal.read(tmp_path).runs) == 1


def test_zeros_that_a_power_cut_leaves_are_ignored(tmp_path: Path) -> None:
    file = filled(tmp_path)
    with file.open("ab") as opened:
        opened.write(bytes(512))
    assert len(journal.read(tmp_path).runs) == 2


def test_zeros_within_the_last_line_are_ignored(tmp_path: Path) -> None:
    file = filled(tmp_path)
    whole, _, last = file.read_bytes().rstrip(b"\n").rpartition(b"\n")
    file.write_bytes(whole + b"\n" + bytes(100) + last[100:] + b"\n")
    assert len(journal.read(tmp_path).runs) == 1


@pytest.mark.parametrize("damage", [b'{"run": {}}', b'{"run": {', b"[" * 100_000, b'{"a":1,"a":1}'])
def test_a_whole_last_line_that_is_damaged_is_not_dropped(tmp_path: Path, damage: bytes) -> None:
    file = filled(tmp_path)
    whole, _, _ = file.read_bytes().rstrip(b"\n").rpartition(b"\n")
    file.write_bytes(whole + b"\n" + damage + b"\n")
    for reading in (journal.read, Journal):
        with pytest.raises(ConfigurationError, match=r"line 5, is damaged.*remove the line to run"):
            reading(tmp_path)


@pytest.mark.parametrize("damage", [b'{"run": {', b"\xff\xfe", b'{"run": {}}', b"[]", b"{}"])
def test_damage_before_the_last_line_names_file_and_line(tmp_path: Path, damage: bytes) -> None:
    file = filled(tmp_path)
    lines = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join([*lines[:2], damage, *lines[3:], b""]))
    for reading in (journal.read, Journal):
        with pytest.raises(ConfigurationError, match=rf"{JOURNAL_FILE}, line 3, is damaged"):
            reading(tmp_path)


@pytest.mark.parametrize(
    ("first_line", "message"),
    [
        ("", "is empty"),
        ('{"schema": "regt', "line 1, is damaged"),
        (dump(result([])), "line 1, is damaged: it has no end"),
        ('{"schema": "other", "version": 2}\n', "is not a result"),
        ('{"schema": "regtopk-bench.result", "version": 1}\n', "older version"),
        ('{"schema": "regtopk-bench.result", "version": 9}\n', "upgrade"),
    ],
)
def test_a_journal_without_a_header_is_refused(
    tmp_path: Path, first_line: str, message: str
) -> None:
    (tmp_path / JOURNAL_FILE).write_text(first_line)
    with pytest.raises(ConfigurationError, match=message):
        journal.read(tmp_path)


def test_a_missing_journal_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot read journal .*{JOURNAL_FILE}"):
        Journal(tmp_path)


def test_a_resumed_run_remembers_every_machine(tmp_path: Path) -> None:
    key = cell().key
    with Journal.create(tmp_path, header()) as opened:
        assert opened.started(key, 0, HERE) == [HERE]
    with Journal(tmp_path) as opened:
        assert opened.started(key, 200, THERE) == [HERE, THERE]
        assert opened.started("other", 0, HERE) == [HERE]
    assert journal.read(tmp_path).environments == {key: [HERE, THERE], "other": [HERE]}


def test_the_same_machine_is_told_once_whatever_its_load(tmp_path: Path) -> None:
    with Journal.create(tmp_path, header()) as opened:
        opened.started("key", 0, HERE)
        assert opened.started("key", 7, HERE | {"load_average": 9.0}) == [HERE]


def test_a_run_that_begins_again_forgets_where_it_was(tmp_path: Path) -> None:
    with Journal.create(tmp_path, header()) as opened:
        opened.started("key", 0, HERE)
        assert opened.started("key", 0, THERE) == [THERE]


def test_a_full_disk_is_one_line_and_leaves_whole_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: bytes) -> int:
        os.pwrite(descriptor, bytes(data)[:10], os.fstat(descriptor).st_size)
        raise OSError(errno.ENOSPC, "No space left on device")

    file = filled(tmp_path)
    before = file.read_bytes()
    with Journal(tmp_path) as opened:
        with monkeypatch.context() as disk:
            disk.setattr("os.write", full)
            with pytest.raises(RunError, match=f"cannot save to {tmp_path}: No space"):
                opened.append(run(seed=2))
        assert file.read_bytes() == before
        opened.append(run(seed=3))
    assert len(journal.read(tmp_path).runs) == 3


def test_a_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot save to"):
        Journal.create(tmp_path / "absent", header())


@pytest.mark.parametrize("begin", [lambda folder: Journal.create(folder, header()), Journal])
@pytest.mark.parametrize("removed", [False, True])
def test_a_folder_is_one_processs_with_or_without_its_journal(
    tmp_path: Path, begin: Callable[[Path], Journal], removed: bool
) -> None:
    with Journal.create(tmp_path, header()) as opened:
        opened.append(run())
        if removed:  # as when a result without a journal is resumed twice at the same time
            (tmp_path / JOURNAL_FILE).unlink()
        with pytest.raises(ConfigurationError, match="is being written to by another process"):
            begin(tmp_path)
    with Journal.create(tmp_path, header()) as again:
        assert not again.contents.runs


def test_a_killed_experiment_can_be_read_as_a_result(tmp_path: Path) -> None:
    with Journal.create(tmp_path, header(rounds=3)) as opened:
        opened.started(cell().key, 0, HERE)
    assert store.read(tmp_path).runs == []
    filled(tmp_path)
    assert [each.cell.seed for each in store.read(tmp_path).runs] == [0, 1]  # type: ignore[union-attr]


def test_a_journal_has_more_than_the_result_of_an_interrupted_run(tmp_path: Path) -> None:
    filled(tmp_path)
    store.write(journal.read(tmp_path).result.model_copy(update={"runs": [run(seed=9)]}), tmp_path)
    assert [each.cell.seed for each in store.read(tmp_path).runs] == [0, 1]  # type: ignore[union-attr]
    (tmp_path / journal.JOURNAL_FILE).unlink()
    assert [each.cell.seed for each in store.read(tmp_path).runs] == [9]  # type: ignore[union-attr]


def test_runs_of_a_result_are_in_the_order_in_which_cells_began(tmp_path: Path) -> None:
    with Journal.create(tmp_path, header()) as opened:
        for seed in (0, 1):
            opened.started(cell(seed=seed).key, 0, HERE)
        for seed in (1, 0):
            opened.append(run(seed=seed))
    assert [each.cell.seed for each in journal.read(tmp_path).result.runs] == [0, 1]  # type: ignore[union-attr]
