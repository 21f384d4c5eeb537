"""Images from folders, archives and CIFAR-10's own files; and what is wrong with them."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from regtopk_bench import ConfigurationError, RunError
from regtopk_bench.workloads.images import ImageData, load_images, synthetic_images


def draw(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (4, 3)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes of one colour each; 4 × 3 pixels."""
    root = tmp_path / "images"
    for label, name in enumerate(("ant", "bee", "cat")):
        for number in range(3):
            draw(root / "train" / name / f"{number}.png", (label, number, 7))
        draw(root / "test" / name / "0.png", (label, 0, 9))
    (root / "train" / "ant" / "notes.txt").write_text("not an image")
    return root


def check(data: ImageData) -> None:
    assert data.classes == ("ant", "bee", "cat")
    assert data.train.labels_N.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert data.test.labels_N.tolist() == [0, 1, 2]
    assert data.train.pixels_NCHW.shape == (9, 3, 3, 4)
    assert data.train.pixels_NCHW.dtype == torch.uint8
    assert data.train.pixels_NCHW[:, :, 0, 0].tolist() == [
        [label, number, 7] for label in range(3) for number in range(3)
    ]


def test_a_folder_is_decoded_once(folder: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    check(load_images(folder, tmp_path / "cache"))
    check(load_images(folder, tmp_path / "cache", on_images=lambda *at: seen.append(at)))
    assert not seen
    draw(folder / "train" / "cat" / "2.png", (2, 2, 200))
    again = load_images(folder, tmp_path / "cache")
    assert again.train.pixels_NCHW[-1, 2, 0, 0] == 200


@pytest.mark.parametrize("damage", ["truncated", "flipped", "unfinished", "no array"])
def test_a_damaged_cache_is_noticed_and_made_again(
    folder: Path, tmp_path: Path, damage: str
) -> None:
    decoded = tmp_path / "cache" / "decoded"
    digest = load_images(folder, tmp_path / "cache").digest
    for stored in sorted(decoded.glob("*.npy")):
        content = bytearray(stored.read_bytes())
        match damage:
            case "truncated":
                stored.write_bytes(content[:-5])
            case "flipped":
                content[-5] ^= 1
                stored.write_bytes(content)
            case "unfinished":  # stopped before the checksum was written
                stored.with_suffix(".sha256").unlink()
            case "no array":
                stored.write_bytes(b"")
    seen: list[tuple[int, int]] = []
    check(load_images(folder, tmp_path / "cache", on_images=lambda *at: seen.append(at)))
    assert load_images(folder, tmp_path / "cache").digest == digest
    assert {file.suffix for file in decoded.iterdir()} == {".npy", ".sha256"}
    assert len(list(decoded.iterdir())) == 4


def test_a_digest_tells_data_apart(folder: Path, tmp_path: Path) -> None:
    before = load_images(folder, tmp_path / "cache").digest
    (folder / "train" / "ant" / "0.png").touch()
    assert load_images(folder, tmp_path / "other").digest == before
    draw(folder / "test" / "cat" / "0.png", (2, 0, 8))
    assert load_images(folder, tmp_path / "cache").digest != before


def test_synthetic_images_follow_their_seed() -> None:
    first, same, other = (
        synthetic_images(side=16, train=300, test=50, seed=seed) for seed in (0, 0, 1)
    )
    assert first.digest == same.digest != other.digest
    assert first.train.pixels_NCHW.shape == (300, 3, 16, 16)
    assert first.test.pixels_NCHW.dtype == torch.uint8
    assert len(first.classes) == 10
    assert first.train.labels_N.unique().tolist() == list(range(10))


def test_val_serves_as_test(folder: Path, tmp_path: Path) -> None:
    (folder / "test").rename(folder / "val")
    check(load_images(folder, tmp_path / "cache"))


def test_images_are_brought_to_a_size(folder: Path, tmp_path: Path) -> None:
    draw(folder / "train" / "ant" / "3.png", (0, 3, 7), size=(9, 9))
    with pytest.raises(RunError, match=r"9×9 pixels and .* 4×3: give --image-size"):
        load_images(folder, tmp_path / "cache")
    data = load_images(folder, tmp_path / "cache", side=5)
    assert data.train.pixels_NCHW.shape == (10, 3, 5, 5)


def cifar(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write CIFAR-10's layout with few images, and let torchvision expect their checksums."""
    from torchvision.datasets import CIFAR10

    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    draws = np.random.default_rng(0)

    def write(name: str, content: object) -> tuple[str, str]:
        packed = pickle.dumps(content)
        (folder / name).write_bytes(packed)
        return name, hashlib.md5(packed).hexdigest()

    def batch() -> dict[str, object]:
        pixels = draws.integers(0, 256, (4, 3072), dtype=np.uint8)
        return {"data": pixels, "labels": [0, 1, 2, 1]}

    train = [write(f"data_batch_{number}", batch()) for number in range(1, 6)]
    test = [write("test_batch", batch())]
    name, digest = write("batches.meta", {"label_names": ["ant", "bee", "cat"]})
    monkeypatch.setattr(CIFAR10, "train_list", [list(each) for each in train])
    monkeypatch.setattr(CIFAR10, "test_list", [list(each) for each in test])
    meta = {"filename": name, "key": "label_names", "md5": digest}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    return folder


@pytest.mark.parametrize("given", ["itself", "its parent", "an archive"])
def test_cifar_10s_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    folder = cifar(tmp_path / "data", monkeypatch)
    path = {"itself": folder, "its parent": folder.parent}.get(given)
    if path is None:
        packed = shutil.make_archive(str(tmp_path / "c"), "gztar", folder.parent, folder.name)
        path = Path(packed)
    data = load_images(path, tmp_path / "cache")
    assert data.classes == ("ant", "bee", "cat")
    assert data.train.pixels_NCHW.shape == (20, 3, 32, 32)
    assert data.test.labels_N.tolist() == [0, 1, 2, 1]


@pytest.mark.parametrize("side", [8, 50])
def test_cifar_10_is_resized_as_folders_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    path = cifar(tmp_path / "data", monkeypatch)
    own = load_images(path, tmp_path / "cache")
    for part, images in (("train", own.train), ("test", own.test)):
        folder = tmp_path / "folder" / part / "any"
        folder.mkdir(parents=True)
        for number, pixels_CHW in enumerate(images.pixels_NCHW):
            pixels_HWC = pixels_CHW.permute(1, 2, 0).numpy()
            Image.fromarray(pixels_HWC).save(folder / f"{number:02}.png")
    expected = load_images(tmp_path / "folder", tmp_path / "cache", side=side)
    resized = load_images(path, tmp_path / "cache", side=side)
    assert resized.side == side
    assert torch.equal(resized.train.pixels_NCHW, expected.train.pixels_NCHW)
    assert torch.equal(resized.test.pixels_NCHW, expected.test.pixels_NCHW)
    assert torch.equal(resized.train.labels_N, own.train.labels_N)
    assert resized.classes == own.classes


def test_cifar_10_is_resized_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, cache = cifar(tmp_path / "data", monkeypatch), tmp_path / "cache"
    seen: list[tuple[int, int]] = []
    digests = [
        load_images(path, cache, side=8, on_images=lambda *at: seen.append(at)).digest
        for _ in range(2)
    ]
    assert seen == [(20, 24), (24, 24)]
    assert digests[0] == digests[1]
    assert load_images(path, cache, side=9).digest != digests[0]


def test_cifar_10_is_resized_after_it_was_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    cifar(cache / "cifar10", monkeypatch)  # there already, so that nothing is fetched
    assert load_images(None, cache, side=8).train.pixels_NCHW.shape == (20, 3, 8, 8)


def test_cifar_10_in_its_own_size_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cache = cifar(tmp_path / "data", monkeypatch), tmp_path / "cache"
    assert load_images(path, cache, side=32).digest == load_images(path, cache).digest
    assert not cache.exists()


def test_sizes_below_one_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="to 0 pixels"):
        load_images(folder, tmp_path / "cache", side=0)


def test_damaged_cifar_10_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cifar(tmp_path, monkeypatch)
    (folder / "data_batch_3").write_bytes(b"no batch")
    with pytest.raises(RunError, match=r"cifar-10-batches-py is damaged .*: fetch it again"):
        load_images(folder, tmp_path / "cache")


def test_what_cannot_be_fetched_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import CIFAR10

    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    with pytest.raises(RunError, match=r"cannot fetch CIFAR-10 .* give it with --data") as caught:
        load_images(None, tmp_path / "cache")
    assert "\n" not in str(caught.value)


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_cifar_10_is_fetched_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from torchvision.datasets import CIFAR10

    folder = cifar(tmp_path / "source", monkeypatch)
    packed = shutil.make_archive(str(tmp_path / "cifar"), "gztar", folder.parent, folder.name)
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(Path(packed).read_bytes()).hexdigest())
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = partial(_Silent, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{Path(packed).name}"
        monkeypatch.setattr(CIFAR10, "url", url)
        fetched = [load_images(None, tmp_path / "cache") for _ in range(2)]
        server.shutdown()
    assert fetched[0].digest == fetched[1].digest == load_images(folder, tmp_path).digest
    assert capfd.readouterr() == ("", "")


def remove_class_folders(folder: Path) -> None:
    shutil.rmtree(folder / "train")
    (folder / "train").mkdir()


def empty_test(folder: Path) -> None:
    for file in (folder / "test").rglob("*.png"):
        file.unlink()


def break_an_image(folder: Path) -> None:
    (folder / "train" / "bee" / "1.png").write_bytes(b"\x89PNG nothing")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no held-out part": (lambda f: shutil.rmtree(f / "test"), "neither test/ nor val/"),
    "no classes": (remove_class_folders, "train has no folders"),
    "nothing to test": (empty_test, "test has no images"),
    "a class of its own": (lambda f: draw(f / "test" / "dog" / "0.png", (0, 0, 0)), "'dog'"),
    "no image": (break_an_image, r"bee/1.png is not an image that can be decoded"),
    "a pipe": (lambda f: os.mkfifo(f / "train" / "ant" / "9.png"), "9.png is not a file"),
    "a folder of that name": (lambda f: (f / "test" / "bee" / "9.jpg").mkdir(), "9.jpg is not a"),
    "a dangling link": (
        lambda f: (f / "test" / "bee" / "9.gif").symlink_to("x"),
        "cannot read .*9",
    ),
    "no layout": (lambda f: (f / "train").rename(f / "elsewhere"), "holds neither"),
    "nothing": (shutil.rmtree, "there is no"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_folders_are_one_line(folder: Path, tmp_path: Path, kind: str) -> None:
    damage, message = DAMAGE[kind]
    damage(folder)
    with pytest.raises(RunError, match=message) as caught:
        load_images(folder, tmp_path / "cache")
    assert "\n" not in str(caught.value)


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "images.rar"
    file.write_bytes(b"Rar!")
    with pytest.raises(RunError, match="neither a folder nor an archive"):
        load_images(file, tmp_path / "cache")


@pytest.mark.parametrize("name", ["pipe", "pipe.tar"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(RunError, match="neither a folder nor an archive"):
        load_images(tmp_path / name, tmp_path / "cache")


class _Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("name", ["data_batch_1", "test_batch", "batches.meta"])
def test_nothing_of_cifar_10_is_unpickled_unless_it_is_what_was_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder, mark = cifar(tmp_path, monkeypatch), tmp_path / "executed"
    (folder / name).write_bytes(pickle.dumps(_Bomb(mark)))
    with pytest.raises(RunError, match="is damaged"):
        load_images(folder, tmp_path / "cache")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("cache", "a file"),
        ("cache", "a dangling link"),
        ("cache/decoded", "a file"),
        ("cache/decoded", "a dangling link"),
        ("cache/decoded", "a link to elsewhere"),
    ],
)
def test_a_cache_that_cannot_be_used_is_named(
    folder: Path, tmp_path: Path, where: str, what: str
) -> None:
    (tmp_path / where).parent.mkdir(exist_ok=True)
    match what:
        case "a file":
            (tmp_path / where).write_bytes(b"")
        case "a dangling link":
            (tmp_path / where).symlink_to("nowhere")
        case _:
            (tmp_path / "elsewhere").mkdir()
            (tmp_path / where).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match=r"cannot keep .* in .*/cache/decoded: .*--cache"):
        load_images(folder, tmp_path / "cache")
    assert not list(tmp_path.glob("elsewhere/*"))


def test_sizes_that_cannot_be_kept_are_refused_at_once(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"9 images of 10+×10+ pixels .* only .* GiB are free"):
        load_images(folder, tmp_path / "cache", side=10**9)
    with pytest.raises(
        ConfigurationError, match=r"take .* GiB and this machine has .*--image-size"
    ):
        synthetic_images(side=10**9)
