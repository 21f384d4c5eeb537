"""Archives are unpacked completely or refused, and nothing leaves the folder."""

from __future__ import annotations

import io
import os
import random
import resource
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from regtopk_bench import RunError
from regtopk_bench.workloads.images.archive import unpack

KINDS = {"tar": "tar", "tar.gz": "gztar", "tar.xz": "xztar", "tar.bz2": "bztar", "zip": "zip"}
FILES = {f"train/ant/{number}.png": bytes([number, 7, 9]) * 321 for number in range(9)}


@pytest.fixture
def pack(tmp_path: Path) -> Callable[[str], Path]:
    def pack(suffix: str) -> Path:
        for name, content in FILES.items():
            file = tmp_path / "content" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        packed = shutil.make_archive(str(tmp_path / "a"), KINDS[suffix], tmp_path / "content")
        shutil.rmtree(tmp_path / "content")
        return Path(packed)

    return pack


def contents(archive: Path, limit: float = 2**30) -> dict[str, bytes]:
    """Unpack an archive next to it, and return its files."""
    folder = unpack(archive, archive.parent / "cache", limit)
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def refuse(archive: Path, message: str) -> None:
    with pytest.raises(RunError, match=message) as caught:
        contents(archive)
    assert "\n" not in str(caught.value)
    assert str(archive) in str(caught.value)
    assert not list((archive.parent / "cache" / "unpacked").iterdir())


def tarred(path: Path, *members: tarfile.TarInfo, end: bytes = b"") -> Path:
    """Make an archive of members that have as many zeros as they say."""
    with tarfile.open(path, "w") as packed:
        for member in members:
            packed.addfile(member, io.BytesIO(bytes(member.size)))
    path.write_bytes(path.read_bytes() + end)
    return path


def member(name: str, size: int = 1, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, "/etc"
    return info


def zipped(path: Path, *names: str, **attributes: int) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for name in names:
            entry = zipfile.ZipInfo(name)
            for attribute, value in attributes.items():
                setattr(entry, attribute, value)
            packed.writestr(entry, b"x" * 1000)
    return path


@pytest.mark.parametrize("suffix", KINDS)
def test_every_kind_is_unpacked_once(pack: Callable[[str], Path], suffix: str) -> None:
    archive = pack(suffix)
    assert contents(archive) == FILES
    (home,) = (archive.parent / "cache" / "unpacked").iterdir()
    before = home.stat().st_ino
    assert contents(archive) == FILES
    assert home.stat().st_ino == before


@pytest.mark.parametrize("change", ["removed", "edited", "added", "linked", "a link before"])
def test_what_is_no_longer_as_it_was_unpacked_is_unpacked_again(
    pack: Callable[[str], Path], tmp_path: Path, change: str
) -> None:
    archive = pack("tar.gz")
    contents(archive)
    (home,) = (tmp_path / "cache" / "unpacked").iterdir()
    file = home / "files" / "train" / "ant" / "3.png"
    match change:
        case "removed":
            file.unlink()
        case "edited":
            file.write_bytes(b"x" * file.stat().st_size)
        case "added":
            (file.parent / "10.png").touch()
        case "linked":
            file.rename(tmp_path / "3.png")
            file.symlink_to(tmp_path / "3.png")
        case _:
            home.rename(tmp_path / "elsewhere")
            home.symlink_to(tmp_path / "elsewhere")
    assert contents(archive) == FILES
    assert not any(path.is_symlink() for path in (tmp_path / "cache").rglob("*"))
    assert list((tmp_path / "cache" / "unpacked").iterdir()) == [home]
    assert {path.name for path in home.iterdir()} == {"files", "files.sha256"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files someone else's")
def test_what_belongs_to_someone_else_is_not_used(
    pack: Callable[[str], Path], tmp_path: Path
) -> None:
    archive = pack("tar")
    contents(archive)
    (home,) = (tmp_path / "cache" / "unpacked").iterdir()
    os.chown(home, 12345, 12345)
    assert contents(archive) == FILES
    (home,) = (tmp_path / "cache" / "unpacked").iterdir()
    assert home.stat().st_uid == 0


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.xz", "tar.bz2", "zip"])
def test_an_archive_cut_anywhere_is_refused(pack: Callable[[str], Path], suffix: str) -> None:
    archive = pack(suffix)
    whole = archive.read_bytes()
    end = len(whole.rstrip(b"\0")) if suffix == "tar" else len(whole)
    step = max(1, end // 20) // 512 * 512 or max(1, end // 20)
    for length in (*range(1, end, step), end - 1, end):  # at headers and elsewhere
        archive.write_bytes(whole[:length])
        if length < end or suffix == "tar":
            refuse(archive, "is damaged or truncated .*: fetch it again")


@pytest.mark.parametrize("suffix", ["tar.gz", "tar.xz", "tar.bz2", "zip"])
def test_any_damage_that_a_checksum_shows_is_refused(
    pack: Callable[[str], Path], suffix: str
) -> None:
    archive, draw = pack(suffix), random.Random(0)
    whole = archive.read_bytes()
    for _ in range(40):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        archive.write_bytes(damaged)
        try:
            found = contents(archive)
        except RunError:
            continue
        assert found == FILES  # as it was in a date or the like


@pytest.mark.parametrize("style", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_no_damaged_header_is_taken_for_the_end(tmp_path: Path, style: int) -> None:
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w", format=style) as packed:
        for number in range(4):
            added = member(f"train/ant/{number}.png")
            added.mtime = 0.5  # for which PAX has a header of its own
            packed.addfile(added, io.BytesIO(b"x"))
    whole = archive.read_bytes()
    headers = [at for at in range(0, len(whole), 512) if whole[at + 257 :].startswith(b"ustar")]
    assert len(headers) == (8 if style == tarfile.PAX_FORMAT else 4)
    for header in headers[1:]:
        damaged = bytearray(whole)
        damaged[header + 100] ^= 1
        archive.write_bytes(damaged)
        refuse(archive, "bad checksum")


@pytest.mark.parametrize("suffix", KINDS)
def test_what_follows_the_end_is_refused(pack: Callable[[str], Path], suffix: str) -> None:
    archive = pack(suffix)
    archive.write_bytes(archive.read_bytes() + b"garbage")
    refuse(archive, "is damaged or truncated")


def test_a_zip_that_has_lost_an_entry_is_refused(pack: Callable[[str], Path]) -> None:
    archive = pack("zip")
    damaged = bytearray(archive.read_bytes())
    struct.pack_into("<H", damaged, len(damaged) - 12, 77)
    archive.write_bytes(damaged)
    refuse(archive, "members of 77")


@pytest.mark.parametrize("style", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_a_tar_of_a_folder_itself(tmp_path: Path, style: int) -> None:
    archive, name = tmp_path / "a.tar", f"./train/{'a' * 60}/{'b' * 60}.png"
    with tarfile.open(archive, "w", format=style) as packed:
        for folder in (".", "./", "", "./train"):
            packed.addfile(member(folder, 0, tarfile.DIRTYPE))
        packed.addfile(member(name), io.BytesIO(b"x"))
    assert contents(archive) == {name[2:]: b"x"}


def test_compressed_pieces_one_after_another_are_one_archive(pack: Callable[[str], Path]) -> None:
    """As parallel compressors write them, with or without padding."""
    import bz2
    import gzip
    import lzma

    for module, suffix in ((gzip, "gz"), (bz2, "bz2"), (lzma, "xz")):
        archive = pack("tar")
        whole = archive.read_bytes()
        pieces = [module.compress(part) for part in (whole[:1000], whole[1000:])]
        archive.write_bytes(b"".join(pieces) + bytes(8))
        assert contents(archive) == FILES, suffix


@pytest.mark.parametrize("name", ["../escaped.png", "/tmp/escaped.png", "train/../../escaped.png"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_paths_that_climb_out_are_refused(tmp_path: Path, name: str, kind: str) -> None:
    archive = tmp_path / f"evil.{kind}"
    refuse(tarred(archive, member(name)) if kind == "tar" else zipped(archive, name), "climbs out")
    assert not list(tmp_path.rglob("escaped.png"))


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a link": (lambda p: tarred(p / "a.tar", member("a", 0, tarfile.SYMTYPE)), "is no file: 'a'"),
    "a pipe": (lambda p: tarred(p / "a.tar", member("a", 0, tarfile.FIFOTYPE)), "is no file: 'a'"),
    "a link in a zip": (
        lambda p: zipped(p / "a.zip", "a", external_attr=0o120777 << 16),
        "no file",
    ),
    "a file without a name": (lambda p: tarred(p / "a.tar", member(".")), "file and as a folder"),
    "a file twice": (lambda p: tarred(p / "a.tar", member("a"), member("./a")), "'./a' twice"),
    "a file twice in a zip": (lambda p: zipped(p / "a.zip", "a", "a"), "'a' twice"),
    "a file, then a folder": (
        lambda p: tarred(p / "a.tar", member("a"), member("a/b/c")),
        "as a file and as a folder",
    ),
    "a folder, then a file": (
        lambda p: tarred(p / "a.tar", member("a/b"), member("a")),
        "as a file and as a folder",
    ),
    "too deep": (lambda p: tarred(p / "a.tar", member("a/" * 99 + "b")), "a path that cannot be"),
    "an unknown compression": (
        lambda p: method(zipped(p / "a.zip", "a"), 97),
        "cannot be unpacked",
    ),
    "encrypted": (lambda p: encrypted(zipped(p / "a.zip", "a")), "is encrypted"),
    "one half of an end": (lambda p: cut(tarred(p / "a.tar", member("a")), 1536), "end is missing"),
    "two archives": (
        lambda p: tarred(
            p / "a.tar", member("a"), end=tarred(p / "b.tar", member("b")).read_bytes()
        ),
        "something follows its end",
    ),
    "an endless name": (
        lambda p: tarred(p / "a.tar", member("a", 2**17, tarfile.GNUTYPE_LONGNAME)),
        "a name of 131072 bytes",
    ),
}


def cut(path: Path, length: int) -> Path:
    path.write_bytes(path.read_bytes()[:length])
    return path


def encrypted(path: Path) -> Path:
    return patched(path, 6, 8, 1)


def method(path: Path, number: int) -> Path:
    return patched(path, 8, 10, number)


def patched(path: Path, in_header: int, in_directory: int, value: int) -> Path:
    content = bytearray(path.read_bytes())
    struct.pack_into("<H", content, content.index(b"PK\3\4") + in_header, value)
    struct.pack_into("<H", content, content.index(b"PK\1\2") + in_directory, value)
    path.write_bytes(content)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", BAD)
def test_each_fault_is_one_line_of_its_own(tmp_path: Path, case: str) -> None:
    make, message = BAD[case]
    refuse(make(tmp_path), message)


@pytest.mark.parametrize("kind", ["large", "many"])
@pytest.mark.parametrize("suffix", ["tar", "zip"])
def test_a_bomb_is_stopped_at_the_limit(tmp_path: Path, kind: str, suffix: str) -> None:
    archive = tmp_path / f"bomb.{suffix}"
    names = [f"train/{number}" for number in range(99 if kind == "many" else 1)]
    size = 2**21 if kind == "large" else 0
    if suffix == "tar":
        with tarfile.open(archive, "w:gz") as packed:
            for name in names:
                packed.addfile(member(name, size), io.BytesIO(bytes(size)))
    else:
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as written:
            for name in names:
                written.writestr(name, bytes(size))
    assert len(contents(archive, 2**22)) == len(names)
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(RunError, match=r"more than 0.00\d+ GiB: if .* raise --unpacked-limit"):
        contents(archive, 2**18)
    assert not list((tmp_path / "cache" / "unpacked").iterdir())


def test_a_full_disk_names_the_cache(pack: Callable[[str], Path]) -> None:
    archive = pack("tar.gz")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        with pytest.raises(
            RunError, match=r"cannot keep what .*a.tar.gz holds in .*cache/unpacked"
        ):
            contents(archive)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert contents(archive) == FILES


def test_an_archive_that_the_system_cannot_read_is_named(
    pack: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = pack("tar")

    def denied(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tarfile, "open", denied)
    refuse(archive, "cannot read archive .*: Permission denied")


def test_what_a_killed_process_left_half_unpacked_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "cache" / "unpacked" / ".unpacking-before"
    left.mkdir(parents=True)
    (left / "half").write_text("")
    archive = tmp_path / "images.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("train/a/1.png", b"")
    unpack(archive, tmp_path / "cache", 2**20)
    assert not left.exists()


@pytest.mark.parametrize("suffix", KINDS)
def test_it_is_told_how_much_has_been_read(
    pack: Callable[[str], Path], tmp_path: Path, suffix: str
) -> None:
    archive, told = pack(suffix), list[tuple[int, int]]()
    for _ in range(2):  # the second time, nothing is unpacked
        unpack(archive, tmp_path / "cache", 2**30, lambda done, total: told.append((done, total)))
    size = archive.stat().st_size
    read = [done for done, _ in told]
    assert len(told) >= len(FILES)
    assert read == sorted(read)
    assert 0 < read[-1] <= size
    assert {total for _, total in told} == {size}
