import gzip
import os
from pathlib import Path

import pytest

from musiclab.data import describe as describe_module
from musiclab.data.describe import describe
from musiclab.data.lpd5 import Lpd5
from musiclab.data.midi import Midi
from musiclab.data.store import WindowStore, build
from musiclab.data.transposition import TO_C
from musiclab.data.windows import WindowSpec
from tests.support.made_songs import midi_bytes, npz_bytes, write_files


def music(number: int) -> bytes:
    """Two windows of 16 beats; piano sounds one pitch for 8 beats, the bass four times in the second."""
    return midi_bytes([(1, 60 + number, 0, 8), *((3, 40, beat, beat + 1) for beat in (16, 20, 24, 31))])


def store_of(tmp_path: Path, files: dict[str, bytes]) -> WindowStore:
    return build(Midi(write_files(tmp_path / "songs", files)), WindowSpec(), tmp_path / "stores", 1)


def made_store(tmp_path: Path, songs: int, damaged: int = 0) -> WindowStore:
    files = {f"{number:02}.mid": music(number) for number in range(songs)}
    files |= {f"damaged {number}.mid": b"MThd" for number in range(damaged)}
    return store_of(tmp_path, files)


def row(text: str, start: str) -> list[str]:
    return next(line for line in text.splitlines() if line.strip().startswith(start)).split()


def test_the_numbers_are_those_of_the_music(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(describe_module, "_WINDOWS_AT_ONCE", 7)
    text = describe(made_store(tmp_path, 12, damaged=5))
    assert row(text, "Songs") == ["Songs", "12", "(and", "5", "skipped)"]
    assert row(text, "Windows")[1] == "24"
    assert row(text, "Drums") == ["Drums", "100.0%", "0.00%", "0.00"]
    # 16 of 64 steps sound, 1 pitch of 128: 0.195 %; one onset in 32 beats
    assert row(text, "Piano") == ["Piano", "50.0%", "0.20%", "0.03"]
    # 8 of 64 steps; 4 onsets in 32 beats
    assert row(text, "Bass") == ["Bass", "50.0%", "0.10%", "0.12"]
    assert row(text, "train") == ["train", "10", "songs", "20", "windows"]
    assert row(text, "test") == ["test", "1", "songs", "2", "windows"]
    assert row(text, "5 ")[-1] == "header:"
    assert text.splitlines()[-5:] == [f"            damaged {number}.mid" for number in range(5)]


def test_songs_in_one_key_are_counted_by_the_key_that_they_were_in(tmp_path: Path) -> None:
    store = made_store(tmp_path, 12)
    assert "Keys " not in describe(store)
    files = {f"{n:02}.mid": midi_bytes([(1, pitch, 0, 16)]) for n, pitch in enumerate((60, 62, 66, 67, 67, 72))}
    moved = build(Midi(write_files(tmp_path / "others", files)), WindowSpec(transpose=TO_C), tmp_path / "stores", 1)
    lines = describe(moved).splitlines()
    assert "Keys      2 in C or Am, 2 in G or Em, 1 in D or Bm, 1 in F# or D#m" in lines


def test_of_many_skipped_songs_some_are_named_and_the_others_said_where(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(describe_module, "_NAMES_SHOWN", 2)
    store = made_store(tmp_path, 10, damaged=5)
    last = describe(store).splitlines()[-3:]
    assert last[:2] == ["            damaged 0.mid", "            damaged 1.mid"]
    assert last[2] == f"            and 3 more; all are listed in {store.folder / 'songs.json'}"


def test_few_songs_are_described_without_a_split(tmp_path: Path) -> None:
    text = describe(made_store(tmp_path, 3))
    assert "Too few different songs to split: 3; at least 10 are needed." in text
    assert "Skipped songs by reason" not in text
    assert "Copies" not in text


def test_copies_are_counted_named_and_kept_together(tmp_path: Path) -> None:
    files = {f"{number:02}.mid": music(number) for number in range(10)}
    text = describe(store_of(tmp_path, files | {"a/copy.mid": music(3), "b/copy.kar": music(3), "c.mid": music(0)}))
    assert text.splitlines()[-4:] == [
        "Copies (3 songs with the windows of another; a split keeps them together):",
        "            a/copy, of 03",
        "            b/copy, of 03",
        "            c, of 00",
    ]
    assert "  test               1 songs           2 windows" in text


@pytest.mark.parametrize(
    "copies",
    [
        {f"{number}.midi": music(number) for number in range(7)},  # of the same name
        {f"again/{number}.mid": music(number) for number in range(7)},
        {f"all of one {number}.mid": music(0) for number in range(20)},
    ],
)
def test_few_different_songs_are_described_however_many_copies_there_are(
    tmp_path: Path, copies: dict[str, bytes]
) -> None:
    text = describe(store_of(tmp_path, {f"{number}.mid": music(number) for number in range(7)} | copies))
    assert "Too few different songs to split: 7; at least 10 are needed." in text
    assert f"Copies ({len(copies)} songs with" in text
    assert row(text, "Songs")[1] == str(7 + len(copies))


def test_ten_versions_of_few_songs_are_described(tmp_path: Path) -> None:
    """Two files of one track of the Million Song Dataset are one song, though their notes differ."""
    files = {f"TRAAAAA{number % 7:011X}/{number}.npz": npz_bytes([(1, 30 + number, 0, 40)]) for number in range(14)}
    store = build(Lpd5(write_files(tmp_path / "songs", files)), WindowSpec(), tmp_path / "stores", 1)
    text = describe(store)
    assert "Too few different songs to split: 7; at least 10 are needed." in text
    assert "Copies" not in text


def test_every_odd_file_of_a_folder_is_named_with_its_reason(tmp_path: Path) -> None:
    songs = tmp_path / "songs"
    write_files(
        songs,
        {f"{number:02}.mid": music(number) for number in range(10)}
        | {
            "karaoke.kar": music(11),
            "packed.mid.gz": gzip.compress(music(12)),
            "empty.mid": b"",
            "cut.mid": music(13)[:-9],
            "mp3.mid": b"ID3\x04" + bytes(100),
            "zip.mid": npz_bytes(),
            "folder.mid/inside.mid": music(14),
            "short.mid": midi_bytes([(1, 60, 0, 1)]),
            "elsewhere/linked.mid": music(15),
            "cover.jpg": b"",
        },
    )
    (songs / "dangling.mid").symlink_to("gone")
    (songs / "circle").symlink_to("circle")
    (songs / "up").symlink_to(".")
    os.mkfifo(songs / "pipe.mid")
    (songs / "device.mid").symlink_to("/dev/zero")
    store = build(Midi(songs), WindowSpec(), tmp_path / "stores", 1)
    text = describe(store)
    assert row(text, "Songs") == ["Songs", "13", "(and", "11", "skipped)"]
    assert sorted(text.partition("Skipped songs by reason:\n")[2].split("\n")) == sorted(
        line
        for name, reason in {
            "circle": "a link that leads in a circle",
            "cut.mid": dict(store.skipped)["cut.mid"],  # as the reader says it
            "dangling.mid": "a link that leads nowhere",
            "device.mid": "a device, not a file",
            "empty.mid": "an empty file",
            "folder.mid": "a folder, not a file",
            "mp3.mid": "an MP3 file, not a .mid file",
            "packed.mid.gz": "a gzip file, not a .mid file; unpack it",
            "pipe.mid": "a pipe, not a file",
            "short.mid": "shorter than one window",
            "zip.mid": "a zip archive, not a .mid file; unpack it",
        }.items()
        for line in (f"       1  {reason}:", f"            {name}")
    )
