"""Files are read only if they can be read to an end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from regtopk_bench.files import content_of


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
