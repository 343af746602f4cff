import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from musiclab.data.archives import count_members, list_folder, read_archive, read_file
from musiclab.errors import UserError
from tests.support.made_songs import write_files, write_tar, write_zip

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


def test_a_folder_is_listed_sorted(tmp_path: Path) -> None:
    write_files(tmp_path, FILES)
    os.mkfifo(tmp_path / "a" / "pipe.txt")  # reading it would wait for ever
    assert list_folder(tmp_path, limit) == ["a/1.txt", "b/2.txt"]


def test_a_file_is_read_one_byte_further_than_its_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_file(tmp_path / "file", 3) == b"1234"
    assert read_file(tmp_path / "missing", 3) == b""


@pytest.mark.parametrize("name", ["../evil.txt", "a/../../evil.txt", "/etc/evil.txt", "..\\evil.txt"])
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


def test_links_and_devices_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "archive.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in (("link.txt", tarfile.SYMTYPE), ("hard.txt", tarfile.LNKTYPE), ("dev.txt", tarfile.CHRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    assert list(read_archive(path, limit)) == []
    link = zipfile.ZipInfo("link.txt")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert list(read_archive(tmp_path / "archive.zip", limit)) == []


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
