"""Weights of networks from files, of which nothing is executed and nothing is believed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import threading
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from regtopk_bench.errors import RunError
from regtopk_bench.workloads.images.damage import reason, unreadable
from regtopk_bench.workloads.images.vision import torchvision

_ONLY_WEIGHTS = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
_NOT_ONLY_WEIGHTS = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
_FOLDER = 0x10
_environment = threading.Lock()


def load_weights(model: nn.Module, path: Path) -> None:
    """Load the parameters of a file that match one of the model's in name and shape.

    Raises:
        RunError: If the file cannot be read, is damaged or has more in it than tensors; if nothing
            matches; or if what does is not finite, or of another kind than the model's.
    """
    own = model.state_dict()
    fitting = {
        name: _plain(f"{name} in weights {path}", value, own[name])
        for name, value in _read(path).items()
        if name in own and isinstance(value, Tensor) and _shape(value) == own[name].shape
    }
    if not fitting:
        raise RunError(f"weights {path} have no parameter of this model")
    model.load_state_dict(fitting, strict=False)


def published(name: str) -> nn.Module:
    """Return a model of torchvision with the weights that are published for it.

    They are fetched once, compared with the digest in their name, and kept where PyTorch keeps
    them.

    Raises:
        RunError: If they cannot be fetched, or the file that was kept is damaged.
    """
    models = torchvision("models", f'model "{name}"')

    url = models.get_model_weights(name).DEFAULT.url
    file = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    if not os.path.lexists(file):
        _fetch(name, url, file)
    _check_digest(file)
    with _only_weights():
        try:
            return models.get_model(name, weights="DEFAULT")  # type: ignore[no-any-return]
        except Exception as error:  # as the file is the right one, this is hardly possible
            raise RunError(
                f"weights {file} cannot be loaded ({reason(error)}): remove the file"
            ) from error


def _read(path: Path) -> dict[Any, Any]:
    """Return a state dictionary."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise RunError(f"weights {path} are not a file")
        if zipfile.is_zipfile(path):
            _check_checksums(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except RunError:
        raise
    except Exception as error:
        damaged = "are damaged, or more than tensors: give what torch.save made of a state_dict()"
        raise unreadable(f"weights {path}", error, damaged) from error
    if not isinstance(stored, dict):
        raise RunError(f"weights {path} are no state dictionary")
    return stored


def _check_checksums(path: Path) -> None:
    """Raise BadZipFile for a damaged record: PyTorch compiles the comparison out of its reader."""
    with zipfile.ZipFile(path) as zipped:
        records = zipped.infolist()
        if sum(record.file_size for record in records) > path.stat().st_size:
            raise zipfile.BadZipFile("its records are larger than itself")
        if any(record.external_attr & _FOLDER for record in records):
            raise zipfile.BadZipFile("a record that PyTorch would take for a folder, and not read")
        if damaged := zipped.testzip():
            raise zipfile.BadZipFile(f"{damaged} is damaged")


def _shape(value: Tensor) -> torch.Size | None:
    return None if value.is_nested else value.shape


def _plain(what: str, value: Tensor, own: Tensor) -> Tensor:
    """Return a stored tensor in the dtype of the model's own."""
    plain = value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized
    if not plain or _number_kind(value) != _number_kind(own):
        found = "quantised" if value.is_quantized else value.layout
        raise RunError(
            f"{what} is {value.dtype} ({found}, {value.device.type}): expected {own.dtype}"
        )
    value = value.detach().to(own.dtype)
    if not bool(value.isfinite().all()):
        raise RunError(f"{what} is not finite")
    return value


def _number_kind(value: Tensor) -> tuple[bool, bool]:
    return value.is_floating_point(), value.is_complex()


def _fetch(name: str, url: str, file: Path) -> None:
    """Fetch a file whose name has its digest, which is compared before the file is kept."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), _digest(file), progress=False)
    except Exception as error:  # whatever the network raises
        raise RunError(
            f"cannot fetch the weights of {name} ({reason(error)}): give a file with --weights"
        ) from error


def _check_digest(file: Path) -> None:
    """Raise RunError unless a file has the digest that its name says."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise RunError(f"{file} is not a file: remove it, and it is fetched again")
        with file.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise RunError(f"cannot read weights {file}: {error.strerror}") from error
    if not found.startswith(_digest(file)):
        raise RunError(
            f"weights {file} are damaged or not what was published: "
            "remove the file, and it is fetched again"
        )


def _digest(file: Path) -> str:
    """Return the digits of the SHA-256 in the name of a file such as resnet18-f37072fd.pth."""
    named = re.fullmatch(r".*-([0-9a-f]{8,})\.pth", file.name)
    if named is None:
        raise RunError(f"the name of {file} has no digest to compare with")
    return named[1]


@contextlib.contextmanager
def _only_weights() -> Iterator[None]:
    """Make `torch.load` refuse all that could be executed, also where torchvision calls it."""
    with _environment:
        before = {name: os.environ.pop(name, None) for name in (_ONLY_WEIGHTS, _NOT_ONLY_WEIGHTS)}
        os.environ[_ONLY_WEIGHTS] = "1"
        try:
            yield
        finally:
            del os.environ[_ONLY_WEIGHTS]
            os.environ.update({name: value for name, value in before.items() if value is not None})
