"""Songs of the objects of other libraries: scores of music21 and music of MusPy, merged to the five tracks.

An instrument goes to the track that LPD-5 merges its General MIDI program into, unless the name of its part is given a
track. Neither library is imported before it is needed, because that takes seconds.
"""

import bisect
import copy
from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from musiclab.data.bars import whole_bars
from musiclab.data.songs import BEAT_TICKS, MAX_BEATS, BadSong, Song, first_tempo, track_of

if TYPE_CHECKING:
    import muspy
    from music21.instrument import Instrument
    from music21.note import GeneralNote
    from music21.stream import Stream

# From the name of a part to one of `TRACKS`, or to None, which leaves the part out.
Tracks = Mapping[str, str | int | None]
# (track, pitch, start, length) in beats, as `Song.of` takes it.
_Note = tuple[str | int, int, float, float]
_DRUM_CHANNEL = 9  # counted from 0, as in music21
_USUAL_BAR = 4.0


def song_of_muspy(name: str, music: "muspy.Music", tracks: Tracks | None = None) -> Song:
    """The song of a `muspy.Music`, such as the items of MusPy's data sets are.

    Bars are those of its bar lines that are as long as the time signature says, or, if it has none, of its time
    signatures; without these a bar has 4 beats.

    Args:
        name: of the song, see `Song.of`.
        music: is not changed.
        tracks: the track of each of its tracks that is named here.

    Raises:
        BadSong: it has no notes, or notes that cannot be right.
    """
    resolution = music.resolution
    if not (isinstance(resolution, int) and resolution > 0):
        raise BadSong(f"a resolution of {resolution!r}, not a whole number above 0")
    notes: list[_Note] = []
    for each in music.tracks:
        track = _track(each.name, each.program, each.is_drum, tracks)
        if track is None:
            continue
        notes += [(track, note.pitch, note.time / resolution, note.duration / resolution) for note in each.notes]
        for chord in each.chords:
            notes += [(track, pitch, chord.time / resolution, chord.duration / resolution) for pitch in chord.pitches]
    meters = [(meter.time / resolution, 4 * meter.numerator / meter.denominator) for meter in music.time_signatures]
    starts = [line.time / resolution for line in music.barlines]
    return _song(
        name, notes, starts, meters,
        title=music.metadata.title or "",
        artist=", ".join(map(str, music.metadata.creators or [])),
        tempo=first_tempo(np.array([tempo.qpm for tempo in music.tempos], np.float64)),
    )  # fmt: skip


def song_of_music21(name: str, stream: "Stream[Any]", tracks: Tracks | None = None) -> Song:
    """The song of a score or part of music21, as it sounds.

    Repeats are played, ties are joined, and transposing instruments are heard where they sound. Grace notes and chord
    symbols are left out. Repeats that music21 cannot make sense of are played once.

    Args:
        name: of the song, see `Song.of`.
        stream: a Score, Part or other Stream; it is not changed.
        tracks: the track of each of its parts that is named here.

    Raises:
        BadSong: it has no notes, or notes that cannot be right.
    """
    from music21 import metadata, tempo
    from music21 import stream as streams

    if isinstance(stream, streams.Opus):
        raise BadSong(f"a collection of {len(stream.scores)} pieces; give one of its scores at a time")
    parts = _sounding(list(stream.parts) if isinstance(stream, streams.Score) else [stream])
    notes = [note for part in parts for note in _notes_of(part, tracks)]
    starts, meters = _measures(parts[0]) if parts else ([], [])
    marks = [mark.getQuarterBPM() for mark in stream.recurse().getElementsByClass(tempo.MetronomeMark)]
    about = stream.metadata or metadata.Metadata()
    return _song(
        name, notes, starts, meters,
        title=about.bestTitle or "",
        artist=about.composer or "",
        tempo=first_tempo(np.array([mark or np.nan for mark in marks], np.float64)),
    )  # fmt: skip


def _song(name: str, notes: list[_Note], starts: list[float], meters: list[tuple[float, float]], **fields: Any) -> Song:
    """The song of notes with measures that begin at `starts` and meters (start, beats a bar), all in beats."""
    if not notes:
        raise BadSong("no notes")
    meters = [(0.0, _USUAL_BAR), *sorted(meter for meter in meters if meter[1] > 0)]
    end = max(start + length for _, _, start, length in notes)
    if not 0 <= end <= MAX_BEATS or not all(0 <= time <= MAX_BEATS for time in starts):
        raise BadSong(f"longer than {MAX_BEATS:,} beats")
    if not starts:
        starts = _regular_bars(meters, end)
    ticks = np.unique(np.floor(np.array(starts) * BEAT_TICKS + 0.5).astype(np.int64))
    times, sizes = np.array(meters).T * BEAT_TICKS
    full = np.floor(sizes[np.searchsorted(times, ticks, "right") - 1] + 0.5).astype(np.int64)
    last = int(ticks[-1]) + int(full[-1]) if len(ticks) else 0
    length = max(int(np.ceil(end * BEAT_TICKS)), last)
    return Song.of(
        name, notes, beats=length / BEAT_TICKS, bars=(whole_bars(ticks, full, length) / BEAT_TICKS).tolist(), **fields
    )


def _regular_bars(meters: list[tuple[float, float]], end: float) -> list[float]:
    """Where bars begin, in beats, if only time signatures say so: each begins a bar."""
    starts: list[float] = []
    for (start, size), stop in zip(meters, [*(start for start, _ in meters[1:]), end], strict=True):
        starts += np.arange(start, min(stop, end), max(size, 1 / BEAT_TICKS)).tolist()
    return starts


def _track(name: str | None, program: Any, is_drum: Any, tracks: Tracks | None) -> str | int | None:
    """The track of a part, by its name if that is given one, else by its instrument; None to leave it out."""
    if tracks and name in tracks:
        return tracks[str(name)]
    return track_of(int(program or 0), bool(is_drum))


def _sounding(parts: list["Stream[Any]"]) -> list["Stream[Any]"]:
    """Copies of the parts as they sound. All are played with repeats, or all without."""
    from music21.exceptions21 import Music21Exception

    try:
        sounding = [part.expandRepeats() if part.hasMeasures() else copy.deepcopy(part) for part in parts]
    except Music21Exception:
        sounding = [copy.deepcopy(part) for part in parts]
    for part in sounding:
        part.toSoundingPitch(inPlace=True)
        part.stripTies(inPlace=True)
    return sounding


def _notes_of(part: "Stream[Any]", tracks: Tracks | None) -> list[_Note]:
    from music21.harmony import Harmony
    from music21.instrument import Instrument

    flat = part.flatten()
    instruments = sorted(((flat.elementOffset(each), each) for each in flat.getElementsByClass(Instrument)), key=_first)
    changes = [offset for offset, _ in instruments]
    notes: list[_Note] = []
    for element in flat.notes:
        if isinstance(element, Harmony) or element.duration.isGrace:
            continue
        start = flat.elementOffset(element)
        place = max(bisect.bisect_right(changes, start) - 1, 0)
        instrument = instruments[place][1] if instruments else None
        track = _track(getattr(part, "partName", None), *_program(instrument), tracks)
        if track is not None:
            length = float(element.quarterLength)
            notes += [(track, pitch, float(start), length) for pitch in _pitches(element, instrument)]
    return notes


def _first(pair: tuple[float | Fraction, Any]) -> float:
    return float(pair[0])


def _program(instrument: "Instrument | None") -> tuple[int, bool]:
    """The General MIDI program, counted from 0, and whether it is drums; a piano if nothing is known."""
    from music21.instrument import UnpitchedPercussion

    if instrument is None:
        return 0, False
    return instrument.midiProgram or 0, (
        isinstance(instrument, UnpitchedPercussion) or instrument.midiChannel == _DRUM_CHANNEL
    )


def _pitches(element: "GeneralNote", instrument: "Instrument | None") -> list[int]:
    """The MIDI pitches of a note or chord. A drum without pitch has its instrument's, if it is known."""
    from music21.note import Unpitched
    from music21.percussion import PercussionChord

    pitches: list[int] = []
    for note in element.notes if isinstance(element, PercussionChord) else [element]:
        if isinstance(note, Unpitched):
            drum = getattr(note.storedInstrument or instrument, "percMapPitch", None)
            pitches += [int(drum)] if drum is not None else []
        else:
            pitches += [round(pitch.ps) for pitch in note.pitches]  # not `midi`, which moves what is out of range
    return pitches


def _measures(part: "Stream[Any]") -> tuple[list[float], list[tuple[float, float]]]:
    """Where measures begin, and the meters (start, beats a bar), in beats; no measures if the part has none."""
    from music21.meter import TimeSignature
    from music21.stream import Measure

    starts = [float(part.elementOffset(measure)) for measure in part.getElementsByClass(Measure)]
    flat = part.flatten()
    meters = [
        (float(flat.elementOffset(meter)), float(meter.barDuration.quarterLength))
        for meter in flat.getElementsByClass(TimeSignature)
    ]
    return starts, meters
