import bz2
import functools
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from musiclab.data.archives import check_archive, count_members, read_archive
from musiclab.errors import UserError
from tests.support.made_songs import write_tar, write_zip

_gzip = functools.partial(gzip.compress, mtime=0)  # its bytes name the test

FILES = {"b/2.txt": b"two" * 1000, "a/1.txt": b"one", "other.bin": b"x" * 50}


def limit(name: str) -> int:
    return 10_000 if name.endswith(".txt") else 0


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_tar_members_come_in_the_archive_s_order(tmp_path: Path, mode: str) -> None:
    path = write_tar(tmp_path / "archive", FILES, mode)
    assert list(read_archive(path, limit)) == [("b/2.txt", b"two" * 1000), ("a/1.txt", b"one")]
    assert count_members(path, limit) is None


def test_zip_members_come_in_the_archive_s_order(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "archive", FILES)
    assert list(read_archive(path, limit)) == [("b/2.txt", b"two" * 1000), ("a/1.txt", b"one")]
    assert count_members(path, limit) == 2


@pytest.mark.parametrize(
    "name",
    [
        *("../evil.txt", "a/../../evil.txt", "/etc/evil.txt", "..\\evil.txt", "\\evil.txt", "a\\..\\..\\evil.txt"),
        *("C:evil.txt", "c:/evil.txt", "Z:\\evil.txt", "C:/../evil.txt"),
    ],
)
@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_a_member_that_points_outside_refuses_the_archive(tmp_path: Path, write: Callable, name: str) -> None:
    path = write(tmp_path / "archive", {"good.txt": b"1", name: b"2"})
    with pytest.raises(UserError, match=r"points out of the archive") as refusal:
        list(read_archive(path, limit))
    assert "evil.txt" in str(refusal.value)


@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_a_bomb_sized_member_refuses_the_archive(tmp_path: Path, write: Callable) -> None:
    path = write(tmp_path / "archive", {"good.txt": b"1", "bomb.txt": bytes(10_001)})
    with pytest.raises(UserError, match=r"bomb-sized member 'bomb.txt' has 10,001 bytes"):
        list(read_archive(path, limit))


def test_a_zip_member_gives_no_more_than_it_declares(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "archive", {"bomb.txt": bytes(1 << 20)})
    data = bytearray(path.read_bytes())
    for at in (data.find(b"PK\x03\x04") + 22, data.find(b"PK\x01\x02") + 24):
        data[at : at + 4] = (100).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(UserError, match="damaged"):  # the declared 100 bytes do not have the declared checksum
        list(read_archive(path, limit))


@pytest.mark.parametrize(
    "name",
    [
        *("Star Wars: Main Theme.txt", "Q&A: x.txt", "12: x.txt", "Éa: x.txt", ": x.txt", "a/C: x.txt", "a/b:/c.txt"),
        *("...txt", "..a/b...txt", "a../b.txt", "What... If?/1.txt", "AC\\DC.txt", "con.txt", "a b/ c .txt", "~/x.txt"),
    ],
)
@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_a_title_may_hold_what_it_likes(tmp_path: Path, write: Callable, name: str) -> None:
    path = write(tmp_path / "archive", {name: b"1"})
    assert list(read_archive(path, limit)) == [(name, b"1")]


LINK, FOLDER = "a link, which is not followed inside an archive", "a folder, not a file"


def test_links_folders_and_devices_in_a_tar_are_named(tmp_path: Path) -> None:
    path = tmp_path / "archive.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in (
            *(("link.txt", tarfile.SYMTYPE), ("folder", tarfile.SYMTYPE), ("hard.txt", tarfile.LNKTYPE)),
            *(("other", tarfile.LNKTYPE), ("dev.txt", tarfile.CHRTYPE), ("block.txt", tarfile.BLKTYPE)),
            *(("pipe.txt", tarfile.FIFOTYPE), ("dir.txt", tarfile.DIRTYPE), ("dir", tarfile.DIRTYPE)),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    assert list(read_archive(path, limit)) == [
        *(("link.txt", LINK), ("folder", LINK), ("hard.txt", LINK)),  # a link may lead to a folder of songs
        *(("dev.txt", "a device, not a file"), ("block.txt", "a device, not a file")),
        *(("pipe.txt", "a pipe, not a file"), ("dir.txt", FOLDER)),
    ]


def test_links_and_folders_in_a_zip_are_named(tmp_path: Path) -> None:
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("link.txt", "folder"):
            link = zipfile.ZipInfo(name)
            link.external_attr = 0o120777 << 16
            archive.writestr(link, "/etc/passwd")
        archive.mkdir("dir.txt")
        archive.mkdir("dir")
    named = [("link.txt", LINK), ("folder", LINK), ("dir.txt", FOLDER)]
    assert list(read_archive(path, limit)) == named
    assert count_members(path, limit) == len(named)


def zip_of(files: dict[str, bytes]) -> bytes:
    """A zip archive without compression, as that of an .npz file is."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


INNER = zip_of({"inner.txt": b"not a member of the archive itself"})


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
@pytest.mark.parametrize("name", ["archive.zip", "archive", "archive.npz", "archive.tar.gz"])
def test_a_tar_is_read_as_one_whatever_it_is_called_and_ends_with(tmp_path: Path, mode: str, name: str) -> None:
    files = {"a.txt": b"1", "last.zip": INNER, "b.txt": INNER}  # a zip is told by its end
    path = write_tar(tmp_path / name, files, mode)
    check_archive(path)
    assert list(read_archive(path, limit)) == [("a.txt", b"1"), ("b.txt", INNER)]
    assert count_members(path, limit) is None
    path.write_bytes(path.read_bytes() + INNER)
    assert list(read_archive(path, limit)) == [("a.txt", b"1"), ("b.txt", INNER)]


@pytest.mark.parametrize("name", ["archive.tar", "archive.tar.gz", "archive"])
def test_a_zip_is_read_as_one_whatever_it_is_called_and_holds(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(zip_of({"a.txt": b"1", "last.zip": INNER, "b.txt": INNER}))
    check_archive(path)
    assert list(read_archive(path, limit)) == [("a.txt", b"1"), ("b.txt", INNER)]
    assert count_members(path, limit) == 2


def test_a_zip_that_is_cut_off_after_a_zip_inside_is_not_read_as_that(tmp_path: Path) -> None:
    whole = zip_of({"a.txt": b"1", "inner.zip": INNER, "b.txt": b"2"})
    path = tmp_path / "archive.zip"
    path.write_bytes(whole[: whole.index(INNER) + len(INNER)])
    for read in (lambda: count_members(path, limit), lambda: list(read_archive(path, limit))):
        with pytest.raises(UserError, match=r"damaged or ends early \(its list of members is missing\)"):
            read()


def test_a_zip_that_was_to_be_split_is_read(tmp_path: Path) -> None:
    path = tmp_path / "archive.zip"
    path.write_bytes(b"PK00" + zip_of({"a.txt": b"1"}))
    check_archive(path)
    assert list(read_archive(path, limit)) == [("a.txt", b"1")]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "an empty file"),
        (b"MThd" + bytes(600), "a MIDI file"),
        (_gzip(b"MThd" + bytes(600)), "a gzip file of a MIDI file"),
        (bz2.compress(b"ID3" + bytes(600)), "a bzip2 file of an MP3 file"),
        (lzma.compress(INNER), "an xz file of a zip archive"),
        (_gzip(_gzip(b"1")), "a gzip file of a gzip file"),
        (_gzip(b"\x01\x02"), "a gzip file of something else"),
        (b"#!/bin/sh\nexit\n" + INNER, "another file"),
        (b"MZ" + bytes(600) + INNER, "a program"),
        (b"<!DOCTYPE html>", "an HTML page"),
        (b"\x28\xb5\x2f\xfd" + bytes(600), "a Zstandard file"),
        (b"Rar!\x1a\x07\x01\x00" + bytes(600), "a RAR archive"),
        (b"\x01\x02\x03", "another file"),
        (bytes(10_240), "nothing but zeros"),
    ],
)
def test_what_is_no_archive_is_told_by_what_it_is(tmp_path: Path, data: bytes, kind: str) -> None:
    path = tmp_path / "archive.zip"
    path.write_bytes(data)
    with pytest.raises(UserError) as refusal:
        check_archive(path)
    assert str(refusal.value) == f"--data: {path} must be a folder or a whole tar or zip archive; got {kind}."


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_file_that_ends_early_is_no_whole_archive(tmp_path: Path, compress: Callable) -> None:
    path = tmp_path / "archive"
    path.write_bytes(compress(os.urandom(600))[:100])
    with pytest.raises(UserError, match="whole tar or zip archive"):
        check_archive(path)


@pytest.mark.parametrize("way", ["pipe", "device"])
def test_what_is_no_file_is_not_opened(tmp_path: Path, way: str) -> None:
    path = tmp_path / "archive"
    os.mkfifo(path) if way == "pipe" else path.symlink_to("/dev/zero")
    with pytest.raises(UserError, match=f"archive; got a {way}, not a file"):
        check_archive(path)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
@pytest.mark.parametrize("kept", [0.3, 0.7])
def test_a_truncated_tar_says_so(tmp_path: Path, mode: str, kept: float) -> None:
    noise = {f"{number}.txt": os.urandom(5000) for number in range(10)}
    path = write_tar(tmp_path / "archive", noise, mode)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(UserError, match="damaged or ends early"):
        list(read_archive(path, limit))


def test_a_tar_cut_between_members_or_broken_in_a_header_says_so(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "archive", {"1.txt": b"1" * 512, "2.txt": b"2" * 512}, "w")
    whole = path.read_bytes()
    for damaged in (whole[:1024], whole[:1024] + b"?" * 512 + whole[1536:]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="damaged or ends early"):
            list(read_archive(path, limit))


@pytest.mark.parametrize("size", [-512, 1 << 40])
def test_a_tar_header_that_lies_about_its_size_is_refused(tmp_path: Path, size: int) -> None:
    for kind in (tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE):
        member = tarfile.TarInfo("1.txt")
        member.type, member.size = kind, size
        header = member.tobuf(tarfile.GNU_FORMAT)
        path = tmp_path / "archive"
        first = write_tar(path, {"0.txt": b""}, "w").read_bytes()[:512]
        path.write_bytes(first + header + bytes(10_240))
        with pytest.raises(UserError, match=r"refused|damaged"):
            list(read_archive(path, limit))


def test_an_encrypted_or_oddly_packed_zip_member_is_refused(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("1.txt", "text")
    (tmp_path / "archive").write_bytes(file.getvalue())
    with pytest.raises(UserError, match="pack the archive again"):
        list(read_archive(tmp_path / "archive", limit))
