"""Weights are what a file says or an error; nothing in a file is executed."""

from __future__ import annotations

import hashlib
import os
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from regtopk_bench import ConfigurationError, RunError
from regtopk_bench.workloads.images import build_model


class _Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def load(file: Path) -> dict[str, Tensor]:
    return build_model("cnn", classes=10, side=32, weights=str(file)).state_dict()


def test_weights_from_a_file_but_for_the_classifier(tmp_path: Path) -> None:
    source = build_model("cnn", classes=10, side=32)
    torch.save(source.state_dict(), tmp_path / "cnn.pt")
    model = build_model("cnn", classes=3, side=32, weights=str(tmp_path / "cnn.pt"))
    theirs, own = source.state_dict(), model.state_dict()
    assert torch.equal(own["0.weight"], theirs["0.weight"])
    assert own["12.weight"].shape == (3, 2048)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_precisions_and_formats_are_converted(
    tmp_path: Path, zipped: bool, dtype: torch.dtype
) -> None:
    source = torch.rand(16, 3, 3, 3).to(dtype)
    file = tmp_path / "cnn.pt"
    torch.save({"0.weight": source}, file, _use_new_zipfile_serialization=zipped)
    assert torch.equal(load(file)["0.weight"], source.float())


def write(content: object) -> Callable[[Path], object]:
    return lambda file: torch.save(content, file)


def first(change: Callable[[Tensor], Any]) -> Callable[[Path], object]:
    """Save a tensor that would fit the first layer if it were not changed."""
    return lambda file: torch.save({"0.weight": change(torch.ones(16, 3, 3, 3))}, file)


def script(file: Path) -> None:
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(2)), file)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda file: None, "cannot read weights"),
    "a folder": (Path.mkdir, "are not a file"),
    "a pipe": (lambda file: os.mkfifo(file), "are not a file"),
    "empty": (Path.touch, "are damaged"),
    "text": (lambda file: file.write_text("weights"), "are damaged"),
    "half a zip": (lambda file: file.write_bytes(b"PK nothing"), "are damaged"),
    "a pickle": (lambda file: file.write_bytes(pickle.dumps({"0.weight": 1})), "are damaged"),
    "TorchScript": (script, "are damaged, or more than tensors"),
    "a model": (write(torch.nn.Linear(2, 2)), "are damaged, or more than tensors"),
    "a list": (write([1, 2]), "no state dictionary"),
    "others": (write({"other": torch.ones(2)}), "no parameter of this model"),
    "none": (write({"0.weight": "text", 7: torch.ones(2)}), "no parameter of this model"),
    "sparse": (first(Tensor.to_sparse), r"0.weight in weights .* \(torch.sparse_coo, cpu\)"),
    "without values": (first(lambda t: t.to("meta")), r"\(torch.strided, meta\): expected"),
    "quantised": (
        first(lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8)),
        r"0.weight in weights .* is torch.qint8 \(quantised, cpu\): expected torch.float32",
    ),
    "complex": (first(lambda t: t.to(torch.complex64)), "is torch.complex64"),
    "whole": (first(Tensor.long), "is torch.int64"),
    "NaN": (first(lambda t: t * torch.nan), "0.weight in weights .* is not finite"),
    "too large": (first(lambda t: t.double() * 1e300), "is not finite"),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize")
@pytest.mark.parametrize("case", BAD)
def test_weights_that_cannot_be_used(tmp_path: Path, case: str) -> None:
    make, message = BAD[case]
    make(tmp_path / "cnn.pt")
    with pytest.raises(RunError, match=message) as caught:
        load(tmp_path / "cnn.pt")
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "cnn.pt") in str(caught.value)


def test_any_damage_that_a_checksum_shows_is_refused(tmp_path: Path) -> None:
    """PyTorch loads other numbers; and none at all for what seems to be a folder."""
    file, draw = tmp_path / "cnn.pt", random.Random(0)
    torch.save({"0.weight": torch.rand(16, 3, 3, 3)}, file)
    whole, expected = file.read_bytes(), load(file)["0.weight"]
    directory = whole.index(b"PK\1\2")
    places = [draw.randrange(directory) for _ in range(30)]
    places += [draw.randrange(directory, len(whole)) for _ in range(30)]
    last = whole.index(b"cnn/data/0", directory)
    for place, bit in [(last - 8, 4), *((place, draw.randrange(8)) for place in places)]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bit
        file.write_bytes(damaged)
        try:
            found = load(file)["0.weight"]
        except RunError:
            continue
        assert torch.equal(found, expected)


def test_models_without_published_weights() -> None:
    with pytest.raises(ConfigurationError, match="no published weights"):
        build_model("cnn", classes=10, side=32, weights="imagenet")


def test_weights_that_cannot_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(RunError, match=r"cannot fetch the weights of mobilenet_v2 .* --weights"):
        build_model("mobilenet_v2", classes=10, side=32, weights="imagenet")
    assert capfd.readouterr() == ("", "")


NAME = "shufflenet_v2_x0_5"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[object, bool], Path]:
    """Keep something as the weights of `NAME`, with the digest that is expected or another."""
    from torchvision.models import get_model_weights

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    weights = get_model_weights(NAME)["DEFAULT"].value

    def keep(content: object, expected: bool) -> Path:
        folder = tmp_path / "hub" / "checkpoints"
        folder.mkdir(parents=True)
        torch.save(content, tmp_path / "content")
        digest = hashlib.sha256((tmp_path / "content").read_bytes()).hexdigest()[:8]
        if expected:
            monkeypatch.setattr(weights, "url", f"https://localhost/shufflenet-{digest}.pth")
        return (tmp_path / "content").rename(folder / weights.url.rpartition("/")[2])

    return keep


def test_published_weights_are_loaded(kept: Callable[[object, bool], Path]) -> None:
    from torchvision.models import get_model

    source = get_model(NAME).state_dict()
    kept(source, True)
    model = build_model(NAME, classes=3, side=32, weights="imagenet").state_dict()
    assert torch.equal(model["conv5.0.weight"], source["conv5.0.weight"])


@pytest.mark.parametrize("expected", [True, False])
@pytest.mark.parametrize("switch", [None, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"])
def test_nothing_that_is_kept_with_published_weights_is_executed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kept: Callable[[object, bool], Path],
    expected: bool,
    switch: str | None,
) -> None:
    """Neither with another digest, nor with the same, of which eight digits can be forged."""
    if switch:
        monkeypatch.setenv(switch, "1")
    before, mark = dict(os.environ), tmp_path / "executed"
    file = kept({"conv1.0.weight": _Bomb(mark)}, expected)
    with pytest.raises(RunError, match=f"weights {file} .*remove the file"):
        build_model(NAME, classes=3, side=32, weights="imagenet")
    assert not mark.exists()
    assert dict(os.environ) == before


def test_a_pipe_in_place_of_published_weights(kept: Callable[[object, bool], Path]) -> None:
    file = kept({}, False)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(RunError, match=f"{file} is not a file: remove it"):
        build_model(NAME, classes=3, side=32, weights="imagenet")
