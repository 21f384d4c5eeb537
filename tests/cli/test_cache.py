"""`cache`: what is there, and that nothing of anybody else's is removed."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]

FEW = ["-n", "2", "-b", "2", "-r", "2", "-a", "topk", "-d", "0.1", "-p", "1", "--no-save", "-q"]
CACHE = ["--cache", "cache"]


@pytest.fixture
def filled(run: Call, folder: Path) -> Path:
    """A cache as `cifar` leaves it, with images unpacked and decoded, and with an answer."""
    shutil.make_archive("images", "tar", folder.parent, "images")
    assert run("cifar", "--data", "images.tar", *FEW, *CACHE).exit_code == 0
    cache = Path("cache")
    (cache / f"{'0' * 16}.json").write_text("{}")
    return cache


def shown(run: Call, *arguments: str) -> dict[str, Any]:
    done = run("cache", *CACHE, "-f", "json", *arguments)
    assert done.exit_code == 0, done.stderr
    return {each["what"]: each for each in json.loads(done.stdout)}


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}


def test_it_is_shown_what_is_kept(run: Call, filled: Path) -> None:
    found = shown(run)
    assert {kind: each["items"] for kind, each in found.items()} == {
        "fetched": 0,
        "unpacked": 1,
        "decoded": 4,
        "answers of doctor": 1,
    }
    assert found["decoded"]["folder"] == "cache/decoded"
    assert found["decoded"]["bytes"] == sum(
        path.stat().st_size for path in (filled / "decoded").iterdir()
    )
    assert sum(each["bytes"] for each in found.values()) == sum(
        path.stat().st_size for path in files(filled)
    )
    text = run("cache", *CACHE).stdout
    assert text.startswith("cache: ")
    assert "--clear" in text


def test_clearing_removes_images_and_nothing_else(run: Call, filled: Path, folder: Path) -> None:
    cifar = filled / "cifar10" / "cifar-10-batches-py"
    cifar.mkdir(parents=True)
    (cifar / "data_batch_1").write_text("x")
    (filled / "unpacked" / ".unpacking-left").mkdir()
    (filled / "decoded" / f".{'a' * 24}.npy.123").write_text("left")
    mine = [
        filled / "notes.txt",
        filled / "decoded" / "mine.npy",
        filled / "cifar10" / "mine.txt",
        filled / "unpacked" / "mine" / "file",
        filled / "unpacked" / f"mine-{'0' * 16}" / "file",
        filled / "decoded" / "more" / "file",
    ]
    for each in mine:
        each.parent.mkdir(exist_ok=True)
        each.write_text("mine")
    precious = Path("precious")
    precious.mkdir()
    (precious / "files").mkdir()
    (filled / "unpacked" / f"link-{'1' * 16}").symlink_to(precious.absolute())
    (filled / "decoded" / f"{'c' * 24}.npy").symlink_to(mine[0].absolute())
    done = run("cache", *CACHE, "--clear")
    assert done.exit_code == 0, done.stderr
    assert "removed" in done.stderr
    assert files(filled) == {
        *mine,
        filled / f"{'0' * 16}.json",
        filled / "unpacked" / f"link-{'1' * 16}",
        filled / "decoded" / f"{'c' * 24}.npy",
    }
    assert (precious / "files").is_dir()
    assert folder.is_dir()
    assert all(each["items"] == 0 for kind, each in shown(run).items() if "doctor" not in kind)


def test_a_cleared_cache_is_filled_again(run: Call, filled: Path) -> None:
    assert run("cache", *CACHE, "--clear", "-q").stderr == ""
    assert run("cifar", "--data", "images.tar", *FEW, *CACHE).exit_code == 0
    assert shown(run)["decoded"]["items"] == 4


def test_a_folder_that_is_a_link_is_left_alone(run: Call, filled: Path) -> None:
    (filled / "decoded").rename("elsewhere")
    (filled / "decoded").symlink_to(Path("elsewhere").absolute())
    assert run("cache", *CACHE, "--clear").exit_code == 0
    assert len(list(Path("elsewhere").iterdir())) == 4


def test_nothing_is_removed_while_another_process_unpacks(run: Call, filled: Path) -> None:
    before = files(filled)
    descriptor = os.open(filled / "unpacked", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    done = run("cache", *CACHE, "--clear")
    os.close(descriptor)
    assert done.exit_code == 2
    assert "another process is unpacking in cache/unpacked: wait until" in done.stderr
    assert files(filled) == before


def test_a_cache_that_is_not_there_has_nothing(run: Call) -> None:
    for flags in ((), ("--clear",)):
        assert {each["bytes"] for each in shown(run, *flags).values()} == {0}
    assert not Path("cache").exists()


def test_clearing_is_no_setting(run: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGTOPK_BENCH_CLEAR", "1")
    done = run("cache", *CACHE)
    assert done.exit_code == 2
    assert 'unknown variable "REGTOPK_BENCH_CLEAR"' in done.stderr
