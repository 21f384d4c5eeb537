"""Labelled images as tensors: from CIFAR-10's own files, from folders, or from archives."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from regtopk_bench import image_cache
from regtopk_bench.errors import ConfigurationError, RunError
from regtopk_bench.extras import needed_by
from regtopk_bench.workloads.images.archive import OnRead, is_archive, unpack
from regtopk_bench.workloads.images.cache import Pixels, cached, keeping, own_folder
from regtopk_bench.workloads.images.damage import reason
from regtopk_bench.workloads.images.decoding import SUFFIXES, as_pixels, decode, strictly
from regtopk_bench.workloads.images.vision import torchvision

_CIFAR_FOLDER = image_cache.CIFAR10
_DEPTH = 3
_BY_HAND = (
    "fetch https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz yourself and give it with --data"
)

OnImages = Callable[[int, int], None]
Report = Callable[[int], None]


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
        """The first 12 digits of a SHA-256 over class names, pixels and labels."""
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
    unpacked_limit: float = 100.0,
    on_images: OnImages | None = None,
    on_read: OnRead | None = None,
) -> ImageData:
    """Read images, or fetch CIFAR-10.

    Args:
        path: A `cifar-10-batches-py` folder or one that holds it; a folder with `train/` and
            `test/` or `val/`, each with a folder of images for every class; or an archive of
            either. None fetches CIFAR-10.
        cache: Folder that keeps whatever is fetched, unpacked, decoded or resized.
        side: Height and width to resize images to: their shorter side is scaled, and the
            centre cropped. None keeps their size.
        unpacked_limit: GiB that an archive may unpack to.
        on_images: Called with the number of images decoded or resized so far, and their total.
        on_read: Called with the bytes of an archive unpacked so far, and their total.

    Raises:
        ConfigurationError: If `side` is below 1.
        MissingPackageError: If torchvision, or for folders Pillow, is not installed.
        RunError: If a file is missing, damaged or does not fit the others, naming it; or if
            the cache cannot be written.
    """
    if side is not None and side < 1:
        raise ConfigurationError(f"images cannot be brought to {side} pixels: at least 1")
    if path is None:
        return _cifar(image_cache.fetched(cache), cache, side, on_images, download=True)
    with needed_by("reading images"):
        import PIL  # noqa: F401 - told before an archive is unpacked
    try:
        if not path.exists():
            raise RunError(f"there is no {path}: give a folder or an archive of images with --data")
        if not path.is_dir():
            if not (path.is_file() and is_archive(path)):
                raise RunError(f"{path} is neither a folder nor an archive of a known kind")
            path = unpack(path, cache, unpacked_limit * 2**30, on_read)
        root = _root(path.resolve())
        if (root / _CIFAR_FOLDER).is_dir():
            return _cifar(root, cache, side, on_images, download=False)
        return _folders(root, cache, side, on_images)
    except OSError as error:
        raise RunError(f"cannot read {error.filename or path}: {error.strerror}") from error


def _root(path: Path) -> Path:
    """Return the folder, at or below a path, that has a known layout."""
    if path.name == _CIFAR_FOLDER:
        return path.parent
    level = [path]
    for _ in range(_DEPTH):
        for folder in level:
            if (folder / _CIFAR_FOLDER).is_dir() or (folder / "train").is_dir():
                return folder
        level = [child for folder in level for child in sorted(folder.iterdir()) if child.is_dir()]
    raise RunError(f"{path} holds neither {_CIFAR_FOLDER}/ nor train/ with test/ or val/")


def _cifar(
    root: Path, cache: Path, side: int | None, on_images: OnImages | None, *, download: bool
) -> ImageData:
    read = torchvision("datasets", "CIFAR-10").CIFAR10

    if download:
        with keeping("CIFAR-10", root):
            own_folder(root)
    try:
        with _silenced():
            train, test = (read(str(root), train=part, download=download) for part in (True, False))
    except Exception as error:  # torchvision lets through whatever the network or pickle raises
        if download:
            raise RunError(f"cannot fetch CIFAR-10 ({reason(error)}): {_BY_HAND}") from error
        raise RunError(
            f"{root / _CIFAR_FOLDER} is damaged ({reason(error)}): fetch it again"
        ) from error
    reports = _reports(on_images, len(train), len(test))
    parts = (
        Images(_of_cifar(part.data, cache, side, report), torch.tensor(part.targets))
        for part, report in zip((train, test), reports, strict=True)
    )
    return ImageData(tuple(train.classes), *parts)


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Keep what torchvision prints while it fetches from stdout, which is for data, and stderr."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def _of_cifar(pixels_NHWC: Pixels, cache: Path, side: int | None, report: Report | None) -> Tensor:
    """Return the images, (N, 3, H, W), resized ones from the cache."""
    count, own_side, *_ = pixels_NHWC.shape
    if side is None or side == own_side:
        return torch.from_numpy(pixels_NHWC).permute(0, 3, 1, 2).contiguous()
    from PIL import Image

    def resized(position: int) -> Pixels:
        return as_pixels(Image.fromarray(pixels_NHWC[position]), side)

    identity = hashlib.sha256(json.dumps(side).encode())
    identity.update(np.ascontiguousarray(pixels_NHWC).data)
    stored = image_cache.decoded(cache, identity.hexdigest())
    return torch.from_numpy(cached(stored, (count, 3, side, side), resized, report))


def _folders(root: Path, cache: Path, side: int | None, on_images: OnImages | None) -> ImageData:
    """Read `train/` and `test/` or `val/`, from the cache if they have been read before."""
    held_out = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
    if held_out is None:
        raise RunError(f"{root} has train/ but neither test/ nor val/")
    classes = tuple(sorted(child.name for child in (root / "train").iterdir() if child.is_dir()))
    if not classes:
        raise RunError(f"{root / 'train'} has no folders: there has to be one for each class")
    files = [_files(folder, classes) for folder in (root / "train", held_out)]
    reports = _reports(on_images, *map(len, files))
    train, test = (
        _decoded(part, cache, side, report) for part, report in zip(files, reports, strict=True)
    )
    if train.pixels_NCHW.shape[1:] != test.pixels_NCHW.shape[1:]:
        raise RunError(
            f"images in {root / 'train'} and {held_out} differ in size: give --image-size"
        )
    return ImageData(classes, train, test)


def _reports(on_images: OnImages | None, train: int, test: int) -> list[Report | None]:
    """Return, for either part, what to call with the number of its images done."""
    if on_images is None:
        return [None, None]
    total = train + test
    return [lambda done: on_images(done, total), lambda done: on_images(train + done, total)]


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
                images = [entry for entry in entries if entry.name.lower().endswith(SUFFIXES)]
            for entry in sorted(images, key=lambda entry: entry.name):
                facts = entry.stat()
                if not stat.S_ISREG(facts.st_mode):  # a pipe would be waited for
                    raise RunError(f"{entry.path} is not a file")
                identity = f"{entry.path}|{facts.st_size}|{facts.st_mtime_ns}\n"
                found.append(_File(entry.path, label, identity))
    if not found:
        raise RunError(f"{folder} has no images")
    return found


def _decoded(
    files: Sequence[_File], cache: Path, side: int | None, report: Report | None
) -> Images:
    """Decode files, or map what was decoded before from the same files."""

    def decoded(position: int) -> Pixels:
        pixels = decode(files[position].path, side)
        if pixels.shape != shape:
            raise RunError(
                f"{files[position].path} has {pixels.shape[2]}×{pixels.shape[1]} pixels and "
                f"{files[0].path} {shape[2]}×{shape[1]}: give --image-size"
            )
        return pixels

    identity = hashlib.sha256(json.dumps(side).encode())
    for file in files:
        identity.update(os.fsencode(file.identity))
    stored = image_cache.decoded(cache, identity.hexdigest())
    with strictly():
        shape = (3, side, side) if side else decode(files[0].path, None).shape
        pixels_NCHW = cached(stored, (len(files), *shape), decoded, report)
    return Images(torch.from_numpy(pixels_NCHW), torch.tensor([file.label for file in files]))
