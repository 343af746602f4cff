"""Storage: whole files or none, on this machine and elsewhere."""

import itertools
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow.fs
import pytest

from musiclab.errors import UserError
from musiclab.storage import files
from musiclab.storage.files import LOCAL, Storage, StorageFailed
from musiclab.study import Grid, Study, session
from tests.support.waiting import STILL_S, wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that `away://bucket` opens as if it lay on another machine; what it holds is never opened by path."""
    folder, opened = tmp_path / "elsewhere", files._opened

    def open_away(root: str) -> tuple[pyarrow.fs.FileSystem, str]:
        if not root.startswith("away://"):
            return opened(root)
        return pyarrow.fs.SubTreeFileSystem(str(folder), LOCAL), root.removeprefix("away://").partition("?")[0]

    folder.mkdir()
    monkeypatch.setattr(files, "_opened", open_away)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


@pytest.fixture(params=["here", "elsewhere", "file://", "s3://"])
def place(request: pytest.FixtureRequest, tmp_path: Path, elsewhere: Path) -> Storage:
    """A storage whose place has blanks and other letters in its name."""
    if request.param == "s3://":
        server = request.getfixturevalue("s3")
        return Storage(f"{server.root()}/my%20t%C3%B6ne")
    roots = {
        "here": str(tmp_path / "my töne"),
        "elsewhere": "away://büc ket/my töne",
        "file://": (tmp_path / "my töne").as_uri(),
    }
    return Storage(roots[request.param])


def test_files_are_read_as_written_and_replaced(place: Storage) -> None:
    place.write("trials/a b/ü.json", b"old")
    place.write("trials/a b/ü.json", b"\x00new")
    place.write("trials/empty", b"")
    assert place.read("trials/a b/ü.json") == b"\x00new"
    assert place.read("trials/empty") == b""
    assert place.names("trials") == ["a b", "empty"]
    assert place.names("trials/a b") == ["ü.json"]


def test_what_is_not_there(place: Storage) -> None:
    with pytest.raises(FileNotFoundError):
        place.read("trials/none")
    assert not place.exists("trials/none")
    assert place.names("none") == []
    place.remove("trials/none")


def test_exists_and_remove(place: Storage) -> None:
    place.write("a/b", b"1")
    assert place.exists("a/b")
    assert not place.exists("a/c")
    place.remove("a/b")
    assert not place.exists("a/b")
    assert place.names("a") == []


def test_a_storage_travels_to_other_processes(place: Storage) -> None:
    place.write("a", b"1")
    assert pickle.loads(pickle.dumps(place)).read("a") == b"1"
    assert Storage(place.root).read("a") == b"1"


def test_trying_the_storage_out_leaves_nothing(place: Storage) -> None:
    assert place.names("") == []


def test_a_storage_that_is_only_looked_at_is_left_as_it_is(tmp_path: Path) -> None:
    assert Storage(str(tmp_path / "none"), probe="look").names("") == []
    assert not [*tmp_path.iterdir()]
    place = Storage(str(tmp_path))
    place.write("a/b", b"1")
    before = tmp_path.stat().st_mtime_ns
    looking = pickle.loads(pickle.dumps(Storage(str(tmp_path), probe="look")))
    assert looking.read("a/b") == b"1"
    assert tmp_path.stat().st_mtime_ns == before


def test_the_size_of_a_file_and_when_it_was_written(place: Storage) -> None:
    assert place.info("a/b") is None
    place.write("a/b", b"123")
    first = place.info("a/b")
    assert first is not None and first.size == 3
    assert place.info("a") is None
    place.write("a/b", b"1234")
    assert place.info("a/b") != first


def test_local_gives_a_folder_with_the_files(place: Storage) -> None:
    place.write("data/f/windows.npy", b"12")
    place.write("data/f/deep/songs.json", b"{}")
    folder = place.local("data/f")
    assert {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()} == {
        "windows.npy": b"12",
        "deep/songs.json": b"{}",
    }
    assert place.local("data/f") == folder


def test_upload_puts_the_file_that_counts_last(place: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("z.npy", "a.json", "deep/m.json"):
        (tmp_path / "made" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "made" / name).write_bytes(name.encode())
    copied, copy = [], files._copy
    monkeypatch.setattr(files, "_copy", lambda *given: copied.append(given[1]) or copy(*given))
    place.upload(tmp_path / "made", "data/f", last="a.json")
    assert place.read("data/f/deep/m.json") == b"deep/m.json"
    assert place.names("data/f") == ["a.json", "deep", "z.npy"]
    assert Path(copied[-1]).name == "a.json"
    assert len({*copied}) == 3


def test_a_file_uri_is_a_local_folder(tmp_path: Path) -> None:
    place = Storage((tmp_path / "a b").as_uri())
    assert place.is_local
    assert place.root == str(tmp_path / "a b")
    assert place.local("data") == tmp_path / "a b" / "data"


def test_a_path_is_made_absolute_and_home_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Storage("sub/dir").root == str(tmp_path / "sub" / "dir")
    assert Storage("~/music").path("x/y") == f"{tmp_path}/home/music/x/y"


def test_the_path_of_a_name_in_a_uri_with_a_query(elsewhere: Path) -> None:
    assert Storage("away://bucket/x?region=eu").path("trials/1") == "away://bucket/x/trials/1?region=eu"
    assert Storage("away://bucket/x/").path("trials/1") == "away://bucket/x/trials/1"


# Elsewhere: the copy that is kept here.


def test_the_copy_is_fetched_once_and_appears_whole(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Storage("away://bucket")
    place.write("data/f/windows.npy", b"12")
    copied, copy = [], files._copy
    monkeypatch.setattr(files, "_copy", lambda *given: copied.append(given) or copy(*given))
    for _ in range(3):
        assert (place.local("data/f") / "windows.npy").read_bytes() == b"12"
    assert len(copied) == 1
    assert not place.local("data/f").is_relative_to(elsewhere)


def test_half_a_copy_is_thrown_away(elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, copy = Storage("away://bucket"), files._copy
    place.write("data/f/windows.npy", b"12")

    def broken(*given) -> None:
        copy(*given)
        raise OSError("the line is cut")

    monkeypatch.setattr(files, "_copy", broken)
    with pytest.raises(StorageFailed, match="cut"):
        place.local("data/f")
    assert list((tmp_path / "cache/musiclab/data").iterdir()) == []
    monkeypatch.setattr(files, "_copy", copy)
    assert (place.local("data/f") / "windows.npy").read_bytes() == b"12"


def test_two_workers_fetch_one_copy(elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, copy = Storage("away://bucket"), files._copy
    place.write("data/f/windows.npy", b"12")
    both = threading.Barrier(2)

    def together(*given) -> None:
        copy(*given)
        both.wait(STILL_S)

    monkeypatch.setattr(files, "_copy", together)
    got = []
    threads = [threading.Thread(target=lambda: got.append(place.local("data/f"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got[0] == got[1]
    assert (got[0] / "windows.npy").read_bytes() == b"12"
    assert [path.name for path in got[0].parent.iterdir()] == ["f"]


def test_a_whole_study_on_a_storage_elsewhere(
    elsewhere: Path, song_folder: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    class NoMirror:
        def __init__(self, *_: object) -> None: ...

        def start(self, say: object, counting: bool) -> None: ...

        def stop(self) -> str:
            return ""

    monkeypatch.setattr(session, "Mirror", NoMirror)
    question = Study(
        name="q", system="vae_nn", space={"latent_dim": Grid(2, 3)}, control={"latent_dim": 2}, blocks=1,
        objective="frechet",
    )  # fmt: skip
    options = ["--in-process", "--data", f"midi:{song_folder}", "--storage", "away://bucket", *tiny]
    for said in ("0 of 2 trials done", "2 of 2 trials done"):
        question.main(options)
        assert said in capsys.readouterr().out
    assert len(list((elsewhere / "bucket/trials").glob("*/record.json"))) == 2
    assert not list((elsewhere / "bucket").rglob(".*"))


def test_a_new_file_is_written_once_and_never_replaced(place: Storage) -> None:
    assert place.write_new("studies/a b/ü.json", b"first")
    assert not place.write_new("studies/a b/ü.json", b"second")
    assert place.read("studies/a b/ü.json") == b"first"
    place.write("studies/a b/ü.json", b"replaced")
    assert place.read("studies/a b/ü.json") == b"replaced"
    assert place.names("studies/a b") == ["ü.json"]


# Here: atomic writes.


@pytest.mark.parametrize("write", [Storage.write, Storage.write_new])
def test_a_write_is_on_the_disk_with_the_folders_that_are_new_when_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Storage, str, bytes], object]
) -> None:
    place, synced, sync = Storage(str(tmp_path)), [], os.fsync

    def note(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()).partition("/.half-")[0])
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    write(place, "a/b/c", b"1")
    new = [str(tmp_path / "a" / "b"), str(tmp_path / "a"), str(tmp_path)]
    assert synced == [new[0], *new], "the file itself, then the folders that name it and one another"
    synced.clear()
    write(place, "a/b/d", b"1")
    assert synced == [new[0]] * 2


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Storage(str(tmp_path))
    place.write("trials/a", b"old")

    def full(_: int) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            place.write("trials/a", b"new")
    assert place.read("trials/a") == b"old"
    assert [path.name for path in (tmp_path / "trials").iterdir()] == ["a"]


def test_a_killed_write_leaves_what_was_there_and_shows_nothing(tmp_path: Path) -> None:
    place = Storage(str(tmp_path))
    place.write("trials/a", b"old")
    code = (
        "import os, sys, time; from musiclab.storage.files import Storage;"
        "place = Storage(sys.argv[1]); os.fsync = lambda _: (print('in it', flush=True), time.sleep(600));"
        "place.write('trials/a', b'new' * 1000)"
    )
    # The try-out write of the storage is over when fsync is replaced, so it is the real one that is cut off.
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"in it\n"
        assert place.read("trials/a") == b"old"
        assert place.names("trials") == ["a"]
        writer.send_signal(signal.SIGKILL)
    assert place.read("trials/a") == b"old"
    assert place.names("trials") == ["a"]
    assert len(list((tmp_path / "trials").iterdir())) == 2  # the half is there, and nobody is shown it


def test_a_reader_never_sees_half_of_a_file(tmp_path: Path) -> None:
    place = Storage(str(tmp_path))
    contents = [bytes([value]) * 300_000 for value in range(2)]
    place.write("a", contents[0])
    seen, reads, over = set(), itertools.count(1), threading.Event()

    def write() -> None:
        while not over.is_set():
            for content in contents:
                place.write("a", content)

    def has_read_enough() -> bool:
        seen.add(place.read("a"))
        return next(reads) >= 500 and len(seen) >= len(contents)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        wait_until(has_read_enough, "both contents", lambda: len(seen), poll_s=0)
    finally:
        over.set()
        writer.join()
    assert seen == set(contents)


# Roots that are none.


def test_a_root_that_cannot_be_written_to_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    bad = [str(tmp_path / "file"), str(tmp_path / "file" / "below"), "/proc/none", "~nobody-of-that-name/x"]
    bad += ["nonsense://bucket", "file://host/x"]
    for root in bad:
        with pytest.raises(UserError) as error:
            Storage(root)
        said = str(error.value)
        assert said.startswith(f"--storage {root!r} cannot be written to: ")
        assert said.endswith("; name a folder or URI that can.")
        assert "\n" not in said


def test_a_root_that_cannot_be_written_to_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", read_only)
    with pytest.raises(UserError, match="Permission denied"):
        Storage(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
