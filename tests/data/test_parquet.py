"""Data sets of Hugging Face on disk: MIDI files and tokens in the rows of Parquet files; and hostile ones."""

from pathlib import Path
from typing import Any

import miditok
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from musiclab.data import BadSong
from musiclab.data import parquet as parquet_module
from musiclab.data.describe import describe
from musiclab.data.midi import Midi
from musiclab.data.parquet import Parquet, ParquetTokens
from musiclab.data.sources import open_source
from musiclab.data.store import WindowStore, build, store_fingerprint
from musiclab.data.windows import WindowSpec
from musiclab.errors import UserError
from tests.support.made_songs import midi_bytes, write_zip

SPEC = WindowSpec()


def song(pitch: int) -> bytes:
    return midi_bytes([(1, pitch, 0, 16), (3, pitch - 24, 0, 32)])


def write(file: Path, **columns: Any) -> Path:
    """A Parquet file of columns; the folder that it is in."""
    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns), file, row_group_size=2)
    return file.parent


def stored(source: Parquet, folder: Path) -> WindowStore:
    return build(source, SPEC, folder / "stores", workers=1)


def test_rows_of_midi_are_the_songs_that_the_files_would_be(tmp_path: Path) -> None:
    songs = [song(pitch) for pitch in (60, 62, 64)]
    folder = write(tmp_path / "set" / "data" / "train-00000-of-00001.parquet", midi=songs, label=[1, 2, 3]).parent
    store = stored(open_source(f"parquet:{folder}"), tmp_path)
    assert [row.id for row in store.songs] == [f"data/train-00000-of-00001 {number}" for number in (1, 2, 3)]
    assert [row.title for row in store.songs] == [row.id for row in store.songs]
    (tmp_path / "files").mkdir()
    for number, data in enumerate(songs):
        (tmp_path / "files" / f"{number}.mid").write_bytes(data)
    assert np.array_equal(store.windows, build(Midi(tmp_path / "files"), SPEC, tmp_path / "stores", 1).windows)


def test_names_are_read_from_their_columns(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "set" / "x.parquet",
        music=[{"bytes": song(pitch), "path": "x.mid"} for pitch in (60, 62, 64)],
        title=["One\n", None, "Three"],
        composer=["Bach", "Anna", None],
    )
    store = stored(Parquet(folder), tmp_path)
    assert [(row.title, row.artist) for row in store.songs] == [("One", "Bach"), ("x 2", "Anna"), ("Three", "")]


def test_one_file_is_a_source_too_and_a_link_is_followed(tmp_path: Path) -> None:
    write(tmp_path / "blobs" / "1234", midi=[song(60)])
    write(tmp_path / "set" / "other.parquet", midi=[song(62), song(64)])
    (tmp_path / "set" / "linked.parquet").symlink_to("../blobs/1234")
    assert [name for name, _ in Parquet(tmp_path / "set").items()] == ["linked 1", "other 1", "other 2"]
    assert [name for name, _ in Parquet(tmp_path / "set" / "other.parquet").items()] == ["other 1", "other 2"]


def test_rows_and_files_that_cannot_be_used_are_named_with_their_reasons(tmp_path: Path) -> None:
    folder = write(tmp_path / "set" / "a.parquet", midi=[song(60), b"", None, b"ID3\x04", song(62)[:50], song(64)])
    whole = (folder / "a.parquet").read_bytes()
    (folder / "b.parquet").write_bytes(b"PAR1" + bytes(1000))
    (folder / "c.parquet").write_bytes(whole[: len(whole) // 2])
    (folder / "d.parquet").write_bytes(b"")
    (folder / "e.parquet.gz").write_bytes(b"\x1f\x8b\x08")
    (folder / "f.parquet").write_bytes(whole[:40] + bytes(200) + whole[240:])
    (folder / "g.parquet").mkdir()
    (folder / "h.parquet").symlink_to("nowhere")
    store = stored(Parquet(folder), tmp_path)
    assert [row.id for row in store.songs] == ["a 1", "a 6"]
    reasons = dict(store.skipped)
    assert reasons["a 2"] == "an empty file"
    assert reasons["a 3"] == "a row without a song"
    assert reasons["a 4"] == "an MP3 file, not a MIDI file"
    assert reasons["a 5"].startswith("ends early")
    for name in ("b", "c", "d", "f"):
        assert "damaged or not a .parquet file" in reasons[f"{name}.parquet"]
    assert reasons["e.parquet.gz"] == "a gzip file, not a .parquet file; unpack it"
    assert (reasons["g.parquet"], reasons["h.parquet"]) == ("a folder, not a file", "a link that leads nowhere")
    assert "a row without a song" in describe(store)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (
            {"text": ["x"]},
            "must have one column of bytes for the songs, but its columns are text; a subclass of Parquet",
        ),
        ({"a": [b"x"], "b": [b"x"]}, "must have one column of bytes for the songs, but it has 'a', 'b'; a subclass of"),
    ],
)
def test_a_table_without_one_column_of_songs_says_what_would_be_right(
    tmp_path: Path, columns: dict[str, Any], sentence: str
) -> None:
    folder = write(tmp_path / "set" / "x.parquet", **columns)
    with pytest.raises(UserError, match=sentence):
        stored(Parquet(folder), tmp_path)


class Named(Parquet):
    column = "b"


def test_a_subclass_names_the_column(tmp_path: Path) -> None:
    folder = write(tmp_path / "set" / "x.parquet", a=[b"x"], b=[song(60)])
    assert [Named.parse(*item).id for item in Named(folder).items()] == ["x 1"]
    with pytest.raises(UserError, match="must have the column 'b' for the songs"):
        list(Named(write(tmp_path / "other" / "x.parquet", a=[b"x"])).items())


@pytest.mark.parametrize("kind", ["parquet", "tokens"])
def test_a_path_without_tables_says_what_would_be_right(kind: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_zip(tmp_path / "packed.zip", {"x.parquet": b""})
    for name, sentence in (
        ("missing", "does not exist"),
        ("empty", "holds no .parquet files"),
        ("packed.zip", "one of them"),
    ):
        with pytest.raises(UserError, match=sentence):
            open_source(f"{kind}:{tmp_path / name}")


def test_a_fingerprint_is_of_the_tables(tmp_path: Path) -> None:
    folder = write(tmp_path / "set" / "x.parquet", midi=[song(60)])
    first = store_fingerprint(Parquet(folder), SPEC)
    assert store_fingerprint(Parquet(folder), SPEC) == first
    write(tmp_path / "set" / "x.parquet", midi=[song(62)])
    assert store_fingerprint(Parquet(folder), SPEC) != first


def _tokenizer(**fields: Any) -> miditok.REMI:
    config = {"use_programs": True, "one_token_stream_for_programs": True, "beat_res": {(0, 40): 24}}
    return miditok.REMI(miditok.TokenizerConfig(**(config | fields)))


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """A folder of tokens of two songs, with their tokeniser, and the songs as files."""
    import symusic

    tokenizer, folder = _tokenizer(), tmp_path / "tokens"
    ids = []
    for number, pitch in enumerate((60, 62)):
        (tmp_path / "files").mkdir(exist_ok=True)
        data = midi_bytes([(0, 36, 0, 0.25), (1, pitch, 0, 16), (2, pitch, 4, 8), (3, pitch - 24, 0, 17)])
        (tmp_path / "files" / f"{number}.mid").write_bytes(data)
        ids.append(tokenizer.encode(symusic.Score.from_midi(data)).ids)
    write(folder / "x.parquet", input_ids=ids)
    tokenizer.save(folder / "tokenizer.json")
    return folder


def test_tokens_are_the_songs_that_they_were_made_of(tokens: Path, tmp_path: Path) -> None:
    songs = [ParquetTokens.parse(*item) for item in open_source(f"tokens:{tokens}").items()]
    files = [Midi.parse(*item) for item in Midi(tmp_path / "files").items()]
    assert [song.notes.tolist() for song in songs] == [song.notes.tolist() for song in files]
    assert [song.title for song in songs] == ["x 1", "x 2"]


def test_a_fingerprint_is_of_the_tokeniser_too(tokens: Path) -> None:
    for path in (tokens, tokens / "x.parquet"):
        first = ParquetTokens(path).fingerprint()
        _tokenizer(beat_res={(0, 40): 12}).save(tokens / "tokenizer.json")
        assert ParquetTokens(path).fingerprint() != first
        _tokenizer().save(tokens / "tokenizer.json")


def test_tokens_and_tokenisers_that_cannot_be_used_are_named(tokens: Path, tmp_path: Path) -> None:
    write(tokens / "x.parquet", ids=[[1, 2, 3], [10**9], [-5], [], None, list(range(4, 200))])

    def reasons() -> list[str]:
        """Why each row cannot be used; in this process, because importing MidiTok takes seconds."""
        found = []
        parquet_module._tokenizer.cache_clear()
        for name, content in ParquetTokens(tokens).items():
            with pytest.raises(BadSong) as reason:
                ParquetTokens.parse(name, content)
            found.append(str(reason.value))
        return found

    assert reasons()[3:5] == ["a row without a song"] * 2
    assert reasons()[1].startswith("damaged or not a song of tokens (")
    _tokenizer(one_token_stream_for_programs=False).save(tokens / "tokenizer.json")
    assert reasons()[0].startswith("a tokeniser without programs in one stream")
    for text in ('{"tokenization": "TokenizerConfig"}', '{"tokenization": "os"}', "{}", "no JSON"):
        (tokens / "tokenizer.json").write_text(text)
        assert len(reasons()) == 6
    (tokens / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"must have the tokenizer.json that MidiTok saved, beside the tokens\."):
        ParquetTokens(tokens).opened()
