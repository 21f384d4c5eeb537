"""Images that cannot be used, and other mistakes about them: one line, and no training."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.cli.processes import whole

Call = Callable[..., Any]

TINY = ["--dataset", "synthetic", "--image-size", "8", "--processes", "1"]
FEW = ["-n", "2", "-b", "2", "-r", "2", "-a", "topk", "-d", "0.1", "-p", "1", "--cache", "cache"]

BAD = {
    "missing data": (["--data", "nowhere"], 3, "there is no nowhere: give a folder"),
    "no images": (["--data", "empty"], 3, "holds neither cifar-10-batches-py/ nor train/"),
    "no archive": (["--data", "text.txt"], 3, "neither a folder nor an archive"),
    "truncated archive": (["--data", "half.tar.xz"], 3, "is damaged or truncated"),
    "limit": (["--data", "images.tar", "--unpacked-limit", "1e-5"], 3, "more than 1e-05 GiB"),
    "cache": (["--data", "images.tar", "--cache", "text.txt"], 3, "cannot keep what images.tar"),
    "pixels": (["--data", "images", "--image-size", "1e9"], 3, "GiB are free; make room or give"),
    "made up": (["--dataset", "synthetic", "--image-size", "1e9"], 2, "and this machine has"),
    "local steps": (
        [*TINY, "--local-steps", "1e10", "-r", "100000"],
        2,
        "longer than 30 years: lower --rounds",
    ),
    "many workers": ([*TINY, "-n", "1e9"], 2, "1000000000 workers cannot share 10000 images"),
    "large alpha": ([*TINY, "--partition", "dirichlet:1e308"], 2, "too large to draw from"),
    "pipe": ([*TINY, "--weights", "pipe"], 3, "weights pipe are not a file"),
    "workers": (["--data", "images", "-n", "50"], 2, "50 workers cannot share 40 images"),
    "batch": (["--data", "images"], 2, "are not a batch of 20 for each of 8 workers"),
    "partition": ([*TINY, "--partition", "odd"], 2, 'unknown partition "odd"'),
    "alpha": ([*TINY, "--partition", "dirichlet:x"], 2, "needs a number above 0"),
    "model": ([*TINY, "-m", "resnet81"], 2, 'no model "resnet81"; did you mean "resnet18"?'),
    "size": ([*TINY, "-m", "alexnet"], 2, "cannot take images of 8×8"),
    "weights": ([*TINY, "--weights", "gone.pt"], 3, "cannot read weights gone.pt"),
    "momentum": ([*TINY, "--momentum", "1"], 2, "--momentum: 1 is not below 1"),
    "warm-up": ([*TINY, "-r", "3", "--warm-up", "4"], 2, "warm_up 4 exceeds rounds 3"),
    "layer and k": ([*TINY, "--scope", "layer", "-k", "5"], 2, "--k with --scope layer"),
    "too large k": ([*TINY, "-k", "200000", "-a", "topk"], 2, "k 200000 exceeds the 104490"),
    "target": ([*TINY, "--target", "50"], 2, "--target: 50 is not in (0, 1]"),
    "schedule": ([*TINY, "--schedule", "cosin"], 2, 'did you mean "cosine"?'),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case: str, run: Call, folder: Path) -> None:
    flags, code, message = BAD[case]
    Path("empty").mkdir()
    Path("text.txt").write_text("no images")
    os.mkfifo("pipe")
    shutil.make_archive("images", "tar", folder.parent, "images")
    Path("half.tar.xz").write_bytes(b"\xfd7zXZ\x00 and then nothing")
    cache = [] if "--cache" in flags else ["--cache", "cache"]
    done = run("cifar", *cache, *flags)
    assert done.exit_code == code, done.stderr
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert not list(Path().glob("runs/*"))


def test_an_image_that_does_not_decode_is_named(run: Call, folder: Path) -> None:
    (folder / "train" / "dark" / "7.png").write_bytes(b"\x89PNG but not really")
    done = run("cifar", "--data", str(folder), "--cache", "cache")
    assert done.exit_code == 3
    assert "7.png is not an image that can be decoded" in done.stderr


def test_images_that_are_not_square(run: Call, folder: Path) -> None:
    for file in folder.rglob("*.png"):
        Image.new("RGB", (8, 6)).save(file)
    flags = ["-n", "2", "-b", "4", "-r", "2", "--cache", "cache", "--data", str(folder)]
    done = run("cifar", *flags)
    assert done.exit_code == 2
    assert "images have 8×6 pixels, and networks want squares: give --image-size" in done.stderr
    assert run("cifar", *flags, "--image-size", "8").exit_code == 0


def test_what_cannot_be_fetched_says_what_to_do(run: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    done = run("cifar", "--cache", "cache")
    assert done.exit_code == 3
    assert "cannot fetch CIFAR-10" in done.stderr
    assert "--data" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_images_beyond_memory_are_one_line(run: Call) -> None:
    done = run("cifar", "--dataset", "synthetic", "--image-size", "99999999", "--no-save")
    assert done.exit_code == 2
    assert " GiB and this machine has " in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_name_too_long_for_images_is_one_line(run: Call) -> None:
    done = run("cifar", "--data", "x" * 300, "--no-save")
    assert done.exit_code == 3
    assert "File name too long" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_images_and_their_cache_may_be_at_home(
    run: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    done = run("cifar", "--data", "~/absent", "--cache", "~/cache", "--no-save")
    assert f"there is no {tmp_path / 'absent'}" in done.stderr


def packed(folder: Path, kind: str) -> bytearray:
    return bytearray(Path(shutil.make_archive("whole", kind, folder.parent, "images")).read_bytes())


def middle(archive: bytes) -> int:
    """Return where the header of a member halfway begins."""
    Path("uncut.tar").write_bytes(archive)
    with tarfile.open("uncut.tar") as opened:
        members = opened.getmembers()
    return members[len(members) // 2].offset


@pytest.mark.parametrize("damage", ["cut at a header", "cut in a header", "a header", "a checksum"])
def test_no_damaged_archive_is_trained_on(run: Call, folder: Path, damage: str) -> None:
    content = packed(folder, "gztar" if damage == "a checksum" else "tar")
    if damage == "a checksum":
        content[-6] ^= 1
    elif damage == "a header":
        content[middle(content) + 100] ^= 1
    else:
        del content[middle(content) + (100 if damage == "cut in a header" else 0) :]
    Path("images.tar").write_bytes(content)
    done = run("cifar", "--data", "images.tar", *FEW)
    assert done.exit_code == 3
    assert "images.tar" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(Path("runs").glob("*"))


def test_an_archive_of_the_folder_it_was_made_in(run: Call, folder: Path) -> None:
    with tarfile.open("images.tar", "w") as archive:
        archive.add(folder, ".")
    done = run("cifar", "--data", "images.tar", *FEW)
    assert done.exit_code == 0, done.stderr


def test_pixels_that_would_be_cut_off_are_refused(run: Call, folder: Path) -> None:
    for file in folder.rglob("*.png"):
        Image.new("F", (8, 8), 1e5).save(file.with_suffix(".tiff"))
        file.unlink()
    done = run("cifar", "--data", str(folder), *FEW)
    assert done.exit_code == 3
    assert "convert it" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_torchvision_of_another_pytorch_is_one_line() -> None:
    Path("torchvision").mkdir()
    reason = "operator torchvision::nms does not exist"
    Path("torchvision/__init__.py").write_text(f"raise RuntimeError('{reason}')\n")
    small = ("--dataset", "synthetic", "-n", "2", "-b", "2", "-r", "1", "-p", "1", "-q")
    for flags, what in (((*small, "-m", "resnet18"), 'model "resnet18"'), (("-q",), "CIFAR-10")):
        done = whole("cifar", "--cache", "cache", *flags)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr == (
            f"error: {what} needs torchvision, and the one installed does not fit PyTorch "
            f"({reason}): pip install --upgrade torch torchvision\n"
        )
