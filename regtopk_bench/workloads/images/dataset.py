"""Labelled images as tensors: from CIFAR-10's own files, from folders, or from archives."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regtopk_bench.errors import RunError
from regtopk_bench.files import written_atomically
from regtopk_bench.workloads.images.archive import is_archive, unpack

_CIFAR_FOLDER = "cifar-10-batches-py"
_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".gif", ".tif", ".tiff")
_DEPTH = 3
_BY_HAND = (
    "fetch https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz yourself and give it with --data"
)

OnImages = Callable[[int, int], None]


@dataclass(frozen=True)
class Images:
    """Images with labels."""

    pixels_NCHW: Tensor
    """uint8, RGB."""

    labels_N: Tensor
    """Positions in `ImageData.classes`, int64."""

    def __len__(self) -> int:
        return len(self.labels_N)


@dataclass(frozen=True)
class ImageData:
    """Images to train on and to test with."""

    classes: tuple[str, ...]
    train: Images
    test: Images

    @property
    def side(self) -> int:
        """Height of the images in pixels."""
        return self.train.pixels_NCHW.shape[2]

    @functools.cached_property
    def digest(self) -> str:
        """The first 12 digits of a SHA-256 of all pixels and labels: the same data, the same."""
        content = hashlib.sha256(repr((self.classes, self.train.pixels_NCHW.shape)).encode())
        for part in (self.train, self.test):
            content.update(part.pixels_NCHW.contiguous().numpy().data)
            content.update(part.labels_N.numpy().data)
        return content.hexdigest()[:12]


def load_images(
    path: Path | None,
    cache: Path,
    *,
    side: int | None = None,
    on_images: OnImages | None = None,
) -> ImageData:
    """Read images, or fetch CIFAR-10.

    Args:
        path: A `cifar-10-batches-py` folder or one that holds it; a folder with `train/` and
            `test/` or `val/`, each with a folder of images for every class; or an archive of
            either. None fetches CIFAR-10.
        cache: Folder for what is fetched, unpacked and decoded, so that it is done once.
        side: Size that images are brought to, by scaling the shorter side and cutting out the
            middle; None takes them as they are.
        on_images: Called with how many images are decoded, and of how many.

    Raises:
        RunError: Naming the file, if anything is missing, damaged or does not fit together.
    """
    if path is None:
        return _cifar(cache / "cifar10", download=True)
    if not path.exists():
        raise RunError(f"there is no {path}: give a folder or an archive of images with --data")
    try:
        if path.is_file():
            if not is_archive(path):
                raise RunError(f"{path} is neither a folder nor an archive of a known kind")
            path = unpack(path, cache)
        root = _root(path.resolve())
        if (root / _CIFAR_FOLDER).is_dir():
            return _cifar(root, download=False)
        return _folders(root, cache, side, on_images)
    except OSError as error:
        raise RunError(f"cannot read {error.filename or path}: {error.strerror}") from error


def _root(path: Path) -> Path:
    """Return the folder, at or below a path, whose layout is known."""
    if path.name == _CIFAR_FOLDER:
        return path.parent
    level = [path]
    for _ in range(_DEPTH):
        for folder in level:
            if (folder / _CIFAR_FOLDER).is_dir() or (folder / "train").is_dir():
                return folder
        level = [child for folder in level for child in sorted(folder.iterdir()) if child.is_dir()]
    raise RunError(f"{path} holds neither {_CIFAR_FOLDER}/ nor train/ with test/ or val/")


def _cifar(root: Path, *, download: bool) -> ImageData:
    from torchvision.datasets import CIFAR10

    try:
        train, test = (CIFAR10(str(root), train=part, download=download) for part in (True, False))
    except Exception as error:  # torchvision lets pass whatever the network or pickle raises
        if download:
            raise RunError(f"cannot fetch CIFAR-10 ({error}): {_BY_HAND}") from error
        raise RunError(f"{root / _CIFAR_FOLDER} is damaged ({error}): fetch it again") from error
    return ImageData(tuple(train.classes), _of_cifar(train), _of_cifar(test))


def _of_cifar(part: Any) -> Images:
    pixels_NCHW = torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous()
    return Images(pixels_NCHW, torch.tensor(part.targets))


def _folders(root: Path, cache: Path, side: int | None, on_images: OnImages | None) -> ImageData:
    """Read `train/` and `test/` or `val/`, from the cache if they have been read before."""
    held_out = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
    if held_out is None:
        raise RunError(f"{root} has train/ but neither test/ nor val/")
    classes = tuple(sorted(child.name for child in (root / "train").iterdir() if child.is_dir()))
    if not classes:
        raise RunError(f"{root / 'train'} has no folders: there has to be one for each class")
    files = [_files(folder, classes) for folder in (root / "train", held_out)]
    total, decoded = sum(map(len, files)), 0
    parts = []
    for part in files:
        report = None
        if on_images:
            report = functools.partial(_report, on_images, decoded, total)
        parts.append(_decoded(part, cache, side, report))
        decoded += len(part)
    train, test = parts
    if train.pixels_NCHW.shape[1:] != test.pixels_NCHW.shape[1:]:
        raise RunError(
            f"images in {root / 'train'} and {held_out} differ in size: give --image-size"
        )
    return ImageData(classes, train, test)


def _report(on_images: OnImages, before: int, total: int, done: int) -> None:
    on_images(before + done, total)


@dataclass(frozen=True)
class _File:
    path: str
    label: int
    identity: str
    """Changes when the file does."""


def _files(folder: Path, classes: Sequence[str]) -> list[_File]:
    """Return every image of a folder with its label."""
    unknown = {child.name for child in folder.iterdir() if child.is_dir()} - set(classes)
    if unknown:
        raise RunError(f"{folder} has the class {min(unknown)!r}, which train/ does not have")
    found = []
    for label, name in enumerate(classes):
        if (folder / name).is_dir():
            with os.scandir(folder / name) as entries:  # many times faster than pathlib
                images = [entry for entry in entries if entry.name.lower().endswith(_SUFFIXES)]
            for entry in sorted(images, key=lambda entry: entry.name):
                facts = entry.stat()
                identity = f"{entry.path}|{facts.st_size}|{facts.st_mtime_ns}\n"
                found.append(_File(entry.path, label, identity))
    if not found:
        raise RunError(f"{folder} has no images")
    return found


def _decoded(
    files: Sequence[_File],
    cache: Path,
    side: int | None,
    report: Callable[[int], None] | None,
) -> Images:
    """Decode files, or map what was decoded of the same files before."""
    identity = hashlib.sha256(json.dumps(side).encode())
    for file in files:
        identity.update(os.fsencode(file.identity))
    stored = cache / "decoded" / f"{identity.hexdigest()[:24]}.npy"
    pixels_NCHW = _stored(stored)
    if pixels_NCHW is None:
        pixels_NCHW = _decode(files, side, report)
        stored.parent.mkdir(parents=True, exist_ok=True)
        _store(pixels_NCHW, stored)
    labels_N = torch.tensor([file.label for file in files])
    return Images(torch.from_numpy(pixels_NCHW), labels_N)


def _stored(file: Path) -> NDArray[np.uint8] | None:
    """Map an array that was stored, if it is still as it was written."""
    try:
        expected = _checksum_file(file).read_text()
        with file.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != expected:
                return None
        pixels_NCHW: NDArray[np.uint8] = np.load(file, mmap_mode="c")
    except (OSError, ValueError):
        return None
    return pixels_NCHW


def _store(pixels_NCHW: NDArray[np.uint8], file: Path) -> None:
    """Write an array, then its checksum, without which it does not count."""
    with written_atomically(file) as content:
        np.save(content, pixels_NCHW)
        content.seek(0)
        checksum = hashlib.file_digest(content, "sha256").hexdigest()
    with written_atomically(_checksum_file(file)) as content:
        content.write(checksum.encode())


def _checksum_file(file: Path) -> Path:
    return file.with_suffix(".sha256")


def _decode(
    files: Sequence[_File], side: int | None, report: Callable[[int], None] | None
) -> NDArray[np.uint8]:
    first = _pixels(files[0].path, side)
    pixels_NCHW = np.empty((len(files), *first.shape), np.uint8)
    decode = functools.partial(_pixels, side=side)
    with ThreadPoolExecutor() as pool:
        for number, decoded in enumerate(pool.map(decode, (file.path for file in files))):
            if decoded.shape != first.shape:
                raise RunError(
                    f"{files[number].path} has {decoded.shape[2]}×{decoded.shape[1]} pixels and "
                    f"{files[0].path} {first.shape[2]}×{first.shape[1]}: give --image-size"
                )
            pixels_NCHW[number] = decoded
            if report and number % 1000 == 999:
                report(number + 1)
    return pixels_NCHW


def _pixels(file: str, side: int | None) -> NDArray[np.uint8]:
    """Return an image, (3, H, W)."""
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            image = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RunError(f"{file} is not an image that can be decoded ({error})") from error
    if side is not None:
        image = ImageOps.fit(image, (side, side), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))
