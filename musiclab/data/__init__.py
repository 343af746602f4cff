"""Songs from files, cut into packed windows that are built once and then mapped from disk.

The names in `__all__` are public: with them a source of one's own is written.
"""

from typing import TYPE_CHECKING

from musiclab.on_demand import on_demand

if TYPE_CHECKING:
    from musiclab.data.midi import Midi
    from musiclab.data.music_objects import song_of_music21, song_of_muspy
    from musiclab.data.own_songs import song_source
    from musiclab.data.parquet import Parquet, ParquetTokens
    from musiclab.data.scores import Abc, MusicXml, MusPy
    from musiclab.data.songs import TRACKS, BadSong, Song
    from musiclab.data.source import Source

__all__ = [
    "TRACKS",
    "Abc",
    "BadSong",
    "Midi",
    "MusPy",
    "MusicXml",
    "Parquet",
    "ParquetTokens",
    "Song",
    "Source",
    "song_of_music21",
    "song_of_muspy",
    "song_source",
]

# Imported when asked for, so that a worker that needs one module does not pay for the others.
__getattr__, __dir__ = on_demand(
    __name__,
    {
        "musiclab.data.midi": ["Midi"],
        "musiclab.data.music_objects": ["song_of_music21", "song_of_muspy"],
        "musiclab.data.own_songs": ["song_source"],
        "musiclab.data.parquet": ["Parquet", "ParquetTokens"],
        "musiclab.data.scores": ["Abc", "MusPy", "MusicXml"],
        "musiclab.data.songs": ["TRACKS", "BadSong", "Song"],
        "musiclab.data.source": ["Source"],
    },
)
