"""Songs in the rows of Parquet files, as Hugging Face keeps data sets on disk: MIDI files, or tokens of MidiTok."""

import functools
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from musiclab.data.archives import file_digest
from musiclab.data.folders import Content, list_folder, read_file
from musiclab.data.kinds import HEAD_BYTES, MIDI, kind_of
from musiclab.data.midi import Midi
from musiclab.data.songs import BadSong, Song, clean_text
from musiclab.data.source import Source
from musiclab.errors import UserError
from musiclab.hashing import content_hash

if TYPE_CHECKING:
    import miditok
    import pyarrow

_ROWS_AT_ONCE = 16
_ANY_SIZE = 1 << 62  # files of rows are read row by row
_TITLE, _ARTISTS = "title", ("artist", "composer")  # columns that are read if they are there


class Parquet(Source):
    """Rows with a MIDI file each, in a column of bytes or of Hugging Face's `{bytes, path}`. `title` and `artist` or
    `composer` are read if they are columns.

    Attributes:
        column: the one with the songs; "" for the only one that can hold them. A subclass in a file of your own may
            set it.
    """

    kind = "parquet"
    revision = 1
    suffixes = (".parquet",)
    file_kinds: ClassVar[tuple[str, ...]] = (MIDI,)
    max_bytes = Midi.max_bytes
    column: ClassVar[str] = ""
    holding: ClassVar[str] = "bytes"  # what the column holds, in words

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._names: dict[str, tuple[str, str]] = {}

    def limit(self, name: str) -> int:
        return _ANY_SIZE if self._is_song(name) else 0

    def items(self) -> Iterator[tuple[str, Content]]:
        """Name and content of each row; a file that cannot be read has a reason for a content.

        Raises:
            UserError: a file has no column that can hold the songs, or several.
        """
        for name, reason in list_folder(self._folder, self._listed).items():
            if not reason and not name.lower().endswith(self.suffixes):
                head = read_file(self._folder / name, HEAD_BYTES)
                reason = f"{kind_of(head)}, not a .parquet file; unpack it" if isinstance(head, bytes) else head
            if reason:
                yield name, reason
            else:
                yield from self._rows(name)

    def count(self) -> int | None:
        """None, because the files say how many rows they have when they are read; 0 if there is no file."""
        return len(list_folder(self._folder, self._listed)) and None

    def names(self, ids: Iterable[str]) -> dict[str, tuple[str, str]]:
        return {song_id: self._names[song_id] for song_id in ids if song_id in self._names}

    @classmethod
    def read(cls, name: str, data: bytes) -> Song:
        return replace(Midi.read(name, data), artist="", title=name)

    @classmethod
    def song_kind(cls) -> str:
        return MIDI

    @property
    def _folder(self) -> Path:
        return self.path if self.path.is_dir() else self.path.parent

    def _listed(self, name: str) -> int:
        return self._song_limit(name) if self.path.is_dir() or name == self.path.name else 0

    def _rows(self, name: str) -> Iterator[tuple[str, Content]]:
        import pyarrow
        from pyarrow import parquet

        row = 0
        try:
            with parquet.ParquetFile(self._folder / name, pre_buffer=False) as file:
                column = self._column(name, file.schema_arrow)
                about = [each for each in (_TITLE, *_ARTISTS) if each in file.schema_arrow.names]
                for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[column, *about]):
                    for values in batch.to_pylist():
                        row += 1
                        song = f"{name.rpartition('.')[0]} {row}"
                        artist = next((str(values[each]) for each in _ARTISTS if values.get(each)), "")
                        if values.get(_TITLE) or artist:
                            self._names[clean_text(song)] = artist, str(values.get(_TITLE) or song)
                        yield song, self._content(values[column])
        except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as error:
            what = clean_text(f"{type(error).__name__}: {error}")
            yield name, f"damaged or not a .parquet file{f', after row {row}' if row else ''} ({what})"

    def _column(self, name: str, schema: "pyarrow.Schema") -> str:
        fitting = [field.name for field in schema if self._fits(field.type)]
        if self.column in fitting:
            return self.column
        if len(fitting) == 1 and not self.column:
            return str(fitting[0])
        what = f"the column {self.column!r}" if self.column else f"one column of {self.holding}"
        found = f"it has {', '.join(map(repr, fitting))}" if fitting else f"its columns are {', '.join(schema.names)}"
        raise UserError(
            f"--data: {self._folder / name} must have {what} for the songs, but {found}; a subclass of "
            f"{type(self).__name__} in a file of your own may name another with column = 'NAME'."
        )

    @classmethod
    def _fits(cls, kind: "pyarrow.DataType") -> bool:
        from pyarrow import types

        if types.is_struct(kind):
            return any(field.name == "bytes" and cls._fits(field.type) for field in kind)
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    def _content(self, value: Any) -> Content:
        """The content of a song of a cell of the column."""
        data = value.get("bytes") if isinstance(value, dict) else value
        return data if isinstance(data, bytes) else "a row without a song"

    def _check(self) -> None:
        if not os.path.isfile(self.path):  # noqa: PTH113 - Path.is_file raises if a name is too long
            super()._check()
        elif not self.path.name.lower().endswith(self.suffixes):
            raise UserError(f"--data: {self.path} must be a folder of .parquet files, or one of them.")


class ParquetTokens(Parquet):
    """Rows with the tokens of a song each, whose tokeniser is `tokenizer.json` beside them, as MidiTok saves it.

    It must make one stream of tokens that name their programs: several streams do not say their instruments.
    """

    kind = "tokens"
    file_kinds = ()
    holding = "whole numbers in lists"

    def limit(self, name: str) -> int:
        return _ANY_SIZE if name == _TOKENIZER else super().limit(name)

    def content(self) -> str:
        beside = file_digest(self._tokenizer)  # a folder's hash has it too, a file's has not
        return content_hash([super().content(), beside, version("miditok"), version("symusic")])

    @classmethod
    def read(cls, name: str, data: bytes) -> Song:
        tokenizer, ids = json.loads(data)
        score = _tokenizer(tokenizer).decode(ids)
        return super().read(name, score.dumps_midi())

    @classmethod
    def song_kind(cls) -> str:
        return "a song of tokens"

    @classmethod
    def _fits(cls, kind: "pyarrow.DataType") -> bool:
        from pyarrow import types

        lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
        return bool(lists and types.is_integer(kind.value_type))

    def _content(self, value: Any) -> Content:
        return json.dumps([str(self._tokenizer), value]).encode() if value else "a row without a song"

    @property
    def _tokenizer(self) -> Path:
        return (self._folder / _TOKENIZER).absolute()

    def _check(self) -> None:
        super()._check()
        if not self._tokenizer.is_file():
            raise UserError(f"--data: {self._folder} must have the {_TOKENIZER} that MidiTok saved, beside the tokens.")


_TOKENIZER = "tokenizer.json"


@functools.cache
def _tokenizer(path: str) -> "miditok.MusicTokenizer":
    """The tokeniser that MidiTok has saved in a file; it holds text only, and nothing in it is executed."""
    import miditok

    with Path(path).open(encoding="utf-8") as file:
        name = json.load(file)["tokenization"]
    if name not in miditok.tokenizations.__all__:
        raise BadSong(f"a tokeniser of no kind that MidiTok knows: {clean_text(str(name))!r}")
    tokenizer = getattr(miditok, name)(params=Path(path))
    if not (tokenizer.config.one_token_stream_for_programs and tokenizer.config.use_programs):
        raise BadSong("a tokeniser without programs in one stream, so its tokens do not say their instruments")
    return tokenizer
