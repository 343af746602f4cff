from pathlib import Path

from musiclab.data import describe as describe_module
from musiclab.data.describe import describe
from musiclab.data.midi import Midi
from musiclab.data.store import WindowStore, build
from musiclab.data.windows import WindowSpec
from tests.support.made_songs import midi_bytes, write_files


def made_store(tmp_path: Path, songs: int, damaged: int = 0) -> WindowStore:
    """Each song: two windows of 16 beats; piano sounds one pitch for 8 beats, the bass four times in the second."""
    music = [(1, 60, 0, 8), *((3, 40, beat, beat + 1) for beat in (16, 20, 24, 31))]
    files = {f"{number:02}.mid": midi_bytes(music) for number in range(songs)}
    files |= {f"damaged {number}.mid": b"MThd" for number in range(damaged)}
    return build(Midi(write_files(tmp_path / "songs", files)), WindowSpec(), tmp_path / "stores", 1)


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


def test_of_many_skipped_songs_some_are_named_and_the_others_said_where(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(describe_module, "_NAMES_SHOWN", 2)
    store = made_store(tmp_path, 10, damaged=5)
    last = describe(store).splitlines()[-3:]
    assert last[:2] == ["            damaged 0.mid", "            damaged 1.mid"]
    assert last[2] == f"            and 3 more; all are listed in {store.folder / 'songs.json'}"


def test_few_songs_are_described_without_a_split(tmp_path: Path) -> None:
    text = describe(made_store(tmp_path, 3))
    assert "Too few songs to split: 3; at least 10 are needed." in text
    assert "Skipped songs by reason" not in text
