import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from musiclab.data.folders import list_folder, read_file
from tests.support.made_songs import write_files

FOLDER, PIPE, SOCKET, DEVICE = (f"a {what}, not a file" for what in ("folder", "pipe", "socket", "device"))
NOWHERE, CIRCLE = "a link that leads nowhere", "a link that leads in a circle"


def limit(name: str) -> int:
    return 10_000 if name.endswith(".txt") else 0


def listed(folder: Path) -> list[str]:
    found = list_folder(folder, limit)
    assert list(found) == sorted(found)
    assert not any(found.values())
    return list(found)


def test_a_folder_is_listed_sorted(tmp_path: Path) -> None:
    write_files(tmp_path, {"b/2.txt": b"", "a/1.txt": b"", "a.txt": b"", "a/b/c/3.txt": b"", "other.bin": b""})
    assert listed(tmp_path) == ["a.txt", "a/1.txt", "a/b/c/3.txt", "b/2.txt"]


@pytest.mark.parametrize("folder", ["before", "zz"])
def test_a_link_to_a_folder_is_followed(tmp_path: Path, folder: str) -> None:
    elsewhere = write_files(tmp_path / "elsewhere", {"1.txt": b"1", "deep/2.txt": b"2"})
    data = write_files(tmp_path / "data", {"own.txt": b""})
    (data / folder).symlink_to(elsewhere)
    assert listed(data) == sorted(["own.txt", f"{folder}/1.txt", f"{folder}/deep/2.txt"])
    (tmp_path / "link to all").symlink_to(data)
    assert listed(tmp_path / "link to all") == listed(data)


def test_links_to_links_to_folders_and_files_are_followed(tmp_path: Path) -> None:
    write_files(tmp_path / "elsewhere", {"1.txt": b"1", "x/y.bin": b"2"})
    data = write_files(tmp_path / "data", {})
    data.mkdir()
    (tmp_path / "elsewhere" / "further").symlink_to(tmp_path / "third")
    write_files(tmp_path / "third", {"3.txt": b"3"})
    (tmp_path / "hop").symlink_to("elsewhere")
    (data / "here").symlink_to("../hop")
    (data / "named.txt").symlink_to("here/x/y.bin")
    assert listed(data) == ["here/1.txt", "here/further/3.txt", "named.txt"]
    assert (data / "here/further/3.txt").read_bytes() == b"3"


def link_to_itself(data: Path) -> None:
    (data / "circle").symlink_to(data)


def link_to_the_folder_above(data: Path) -> None:
    (data / "a" / "up").symlink_to("..")


def two_links_to_one_folder(data: Path) -> None:
    (data / "1").symlink_to(data.parent / "elsewhere")
    (data / "2").symlink_to("1")
    (data / "a" / "3").symlink_to(data.parent / "elsewhere")


def links_to_folders_that_link_to_each_other(data: Path) -> None:
    (data / "1").symlink_to(data.parent / "elsewhere")
    (data.parent / "elsewhere" / "back").symlink_to(data)
    (data.parent / "elsewhere" / "self").symlink_to(".")


def a_folder_inside_a_linked_one(data: Path) -> None:
    (data / "1").symlink_to(data.parent / "elsewhere")
    (data / "2").symlink_to(data.parent / "elsewhere" / "deep")


def a_link_to_a_file_of_a_linked_folder(data: Path) -> None:
    (data / "1").symlink_to(data.parent / "elsewhere")
    (data / "2.txt").symlink_to(data.parent / "elsewhere" / "e.txt")


@pytest.mark.parametrize(
    ("links", "more"),
    [
        (link_to_itself, []),
        (link_to_the_folder_above, []),
        (two_links_to_one_folder, ["1/deep/f.txt", "1/e.txt"]),
        (links_to_folders_that_link_to_each_other, ["1/deep/f.txt", "1/e.txt"]),
        (a_folder_inside_a_linked_one, ["1/deep/f.txt", "1/e.txt"]),
        (a_link_to_a_file_of_a_linked_folder, ["1/deep/f.txt", "1/e.txt"]),
    ],
)
def test_what_can_be_reached_in_several_ways_is_listed_once(
    tmp_path: Path, links: Callable[[Path], None], more: list[str]
) -> None:
    write_files(tmp_path / "elsewhere", {"e.txt": b"e", "deep/f.txt": b"f"})
    data = write_files(tmp_path / "data", {"a/b.txt": b"b", "c.txt": b"c"})
    links(data)
    assert listed(data) == sorted([*more, "a/b.txt", "c.txt"])


def test_a_link_beside_the_folder_that_it_leads_to_changes_nothing(tmp_path: Path) -> None:
    data = write_files(tmp_path, {"music/1.txt": b"1"})
    (data / "alias").symlink_to("music")  # sorted before it
    (data / "alias.txt").symlink_to("music/1.txt")
    assert listed(data) == ["music/1.txt"]


def test_hard_links_are_files_of_their_own(tmp_path: Path) -> None:
    data = write_files(tmp_path, {"1.txt": b"1"})
    (data / "2.txt").hardlink_to(data / "1.txt")
    assert listed(data) == ["1.txt", "2.txt"]


def test_the_outside_of_a_linked_folder_above_is_listed_too(tmp_path: Path) -> None:
    write_files(tmp_path / "all", {"data/1.txt": b"1", "beside/2.txt": b"2"})
    (tmp_path / "all" / "data" / "up").symlink_to("..")
    assert listed(tmp_path / "all" / "data") == ["1.txt", "up/beside/2.txt"]


def test_what_is_no_file_is_named_and_never_opened(tmp_path: Path) -> None:
    write_files(tmp_path, {"good.txt": b"1", "folder.txt/inside.txt": b"2"})
    os.mkfifo(tmp_path / "pipe.txt")  # reading it would wait for ever
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to a pipe.txt").symlink_to("pipe")
    (tmp_path / "device.txt").symlink_to("/dev/zero")
    (tmp_path / "nowhere.txt").symlink_to("gone.txt")
    (tmp_path / "nowhere").symlink_to("good.txt/beyond")
    (tmp_path / "one.txt").symlink_to("other.txt")
    (tmp_path / "other.txt").symlink_to("one.txt")
    (tmp_path / "own").symlink_to("own")
    (tmp_path / "linked.txt").symlink_to("folder.txt")
    here = Path.cwd()
    os.chdir(tmp_path)  # the name of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("socket.txt")
    finally:
        os.chdir(here)
    found = list_folder(tmp_path, limit)
    assert found == {
        "device.txt": DEVICE,
        "folder.txt": FOLDER,
        "folder.txt/inside.txt": "",
        "good.txt": "",
        "linked.txt": FOLDER,
        "nowhere": NOWHERE,
        "nowhere.txt": NOWHERE,
        "one.txt": CIRCLE,
        "other.txt": CIRCLE,
        "own": CIRCLE,
        "pipe.txt": PIPE,
        "socket.txt": SOCKET,
        "to a pipe.txt": PIPE,
    }
    assert list(found) == sorted(found)


@pytest.fixture
def others_folder() -> Iterator[Path]:
    """A folder that everybody can see; what stands in folders of `tmp_path` only its owner can."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextlib.contextmanager
def as_anybody() -> Iterator[None]:
    """Without the rights of root, which may open anything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_what_may_not_be_opened_is_named(others_folder: Path) -> None:
    write_files(others_folder, {"closed.txt": b"1", "open.txt": b"2", "closed/1.txt": b"3"})
    (others_folder / "link").symlink_to("closed")
    (others_folder / "link.txt").symlink_to("closed/1.txt")
    for name in ("closed", "closed.txt"):
        (others_folder / name).chmod(0)
    with as_anybody():
        found = list_folder(others_folder, limit)
        contents = {name: reason or read_file(others_folder / name, 100) for name, reason in found.items()}
    denied = "Permission denied"
    assert contents == {
        "closed": f"a folder that cannot be opened ({denied})",
        "closed.txt": f"cannot be read ({denied})",
        "link.txt": f"a link that cannot be followed ({denied})",
        "open.txt": b"2",
    }


def test_a_folder_that_may_not_be_opened_itself_is_named(others_folder: Path) -> None:
    write_files(others_folder / "closed", {"1.txt": b"1"})
    (others_folder / "closed").chmod(0)
    with as_anybody():
        assert list_folder(others_folder / "closed", limit) == {
            ".": "a folder that cannot be opened (Permission denied)"
        }


def test_a_file_is_read_one_byte_further_than_its_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_file(tmp_path / "file", 3) == b"1234"
    assert read_file(tmp_path / "missing", 3) == "cannot be read (No such file or directory)"
    assert read_file(tmp_path, 3) == "cannot be read (Is a directory)"


def test_names_that_are_no_text_are_listed(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n.txt"))).write_bytes(b"1")
    assert [os.fsencode(name) for name in listed(tmp_path)] == [b"\xff\n.txt"]
