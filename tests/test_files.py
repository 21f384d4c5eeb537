"""Files are written completely or not at all, and read only if they can be read to an end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from regtopk_bench import files
from regtopk_bench.files import content_of, remove_unfinished, written_atomically


def test_a_regular_file_is_read_also_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert content_of(tmp_path / "link") == content_of(tmp_path / "link", 7) == b"content"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("pipe", "not a regular file"),
        ("/dev/zero", "not a regular file"),
        (".", "Is a directory"),
        ("absent", "No such file"),
        ("loop", "Too many levels"),
        ("a\0b", "null byte"),
        ("x" * 300, "name too long"),
        ("large", "larger than 10 bytes"),
    ],
)
def test_anything_else_is_refused_at_once(tmp_path: Path, name: str, reason: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "large").write_bytes(bytes(11))
    with pytest.raises(OSError, match=r".") as caught:
        content_of(tmp_path / name, 10)
    assert reason in str(caught.value.strerror)


@pytest.mark.parametrize("descriptors", ["/proc/self/fd", "/absent"])
def test_a_file_is_written_as_a_whole_or_not_at_all(
    tmp_path: Path, descriptors: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_DESCRIPTORS", Path(descriptors))
    path = tmp_path / "file"
    for content in (b"first", b"second"):
        with written_atomically(path) as file:
            file.write(content)
        assert path.read_bytes() == content
    with pytest.raises(TypeError), written_atomically(path) as file:
        file.writelines([b"third", None])  # type: ignore[list-item]
    assert path.read_bytes() == b"second"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_only_what_was_left_of_a_file_is_removed(tmp_path: Path) -> None:
    names = [".file.12", ".file.1a", ".file.txt.12", "file.12", ".other.12"]
    for name in names:
        (tmp_path / name).touch()
    remove_unfinished(tmp_path / "file")
    assert {path.name for path in tmp_path.iterdir()} == set(names[1:])
