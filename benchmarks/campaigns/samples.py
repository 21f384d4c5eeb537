"""Sound files, to be damaged: images in folders and archives."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

_CLASSES, _SIDE = ("a", "b"), 8
_PER_CLASS = {"train": 6, "test": 2}


def image_folder(folder: Path, suffix: str = ".png", *, deep: bool = False) -> Path:
    """Make a folder of images that can be trained on; deep ones have 16 bits."""
    draw = np.random.default_rng(0)
    for part, count in _PER_CLASS.items():
        for name in _CLASSES:
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                path = folder / part / name / f"{number}{suffix}"
                if deep:
                    grey = draw.integers(0, 2**16, (_SIDE, _SIDE), dtype=np.uint16)
                    Image.fromarray(grey).save(path)
                else:
                    Image.fromarray(draw.integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)).save(path)
    return folder


def image_archive(path: Path, suffix: str = ".png") -> Path:
    """Make an archive of images, of the kind that its name says."""
    folder = image_folder(path.with_name(f"{path.name}.images"), suffix)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
            for file in sorted(folder.rglob("*")):
                zipped.write(file, file.relative_to(folder))
    else:
        compression = {".tgz": "gz", ".txz": "xz", ".tbz2": "bz2", ".bz2": "bz2"}
        with tarfile.open(path, f"w:{compression.get(path.suffix, '')}") as tarred:
            tarred.add(folder, "images")
    return path
