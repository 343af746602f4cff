"""A summary of a window store, as text."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from musiclab.data.songs import BEAT_TICKS, TRACKS
from musiclab.data.splits import MIN_SONGS, split_songs
from musiclab.data.store import TABLE, WindowStore
from musiclab.data.transposition import AS_WRITTEN
from musiclab.data.windows import PITCHES
from musiclab.wording import counted

_WINDOWS_AT_ONCE = 4096
_NAMES_SHOWN = 100  # for each reason
_NAME_WIDTH = 100
# The major and the minor key that are moved to C major and A minor by one interval, by the major key's pitch class.
_KEYS = (
    "C or Am", "Db or Bbm", "D or Bm", "Eb or Cm", "E or C#m", "F or Dm", "F# or D#m", "G or Em", "Ab or Fm",
    "A or F#m", "Bb or Gm", "B or G#m",
)  # fmt: skip


def describe(store: WindowStore) -> str:
    """Lines about the songs, their keys, the windows, each track, an example split, copies, and skipped songs."""
    spec = store.spec
    beats = spec.steps / spec.resolution
    counts = [song.count for song in store.songs]
    lines = [
        f"Data      {store.source}",
        f"Store     {store.folder} ({store.windows.nbytes / 1e6:,.1f} MB)",
        f"Songs     {len(store.songs):,} (and {len(store.skipped):,} skipped)",
        f"Windows   {len(store.windows):,} of {beats:g} beats, {spec.steps} steps; "
        f"{min(counts)} to {max(counts)} a song, median {np.median(counts):g}",
        f"Tempo     {_range([song.tempo for song in store.songs])} quarter notes a minute",
        f"Bars      {_range([song.bar_ticks / BEAT_TICKS for song in store.songs])} beats",
        *_key_lines(store),
        "",
        f"{'Track':<10}{'empty windows':>15}{'cells on':>12}{'notes a beat':>15}",
    ]
    activity = _activity(store)
    for track, name in enumerate(TRACKS):
        empty, on, onsets = activity.empty[track], activity.on[track], activity.onsets_a_beat[track]
        lines.append(f"{name:<10}{empty:>15.1%}{on:>12.2%}{onsets:>15.2f}")
    return "\n".join([*lines, "", *_split_lines(store), *_copy_lines(store), *_skipped_lines(store)])


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.4g} to {max(values):.4g}, median {np.median(values):.4g}"


def _key_lines(store: WindowStore) -> list[str]:
    """How many songs were in which key, if all were moved to one; the most frequent key first."""
    if store.spec.transpose == AS_WRITTEN:
        return []
    songs_by_key = Counter(_KEYS[-song.transposed % len(_KEYS)] for song in store.songs)
    return ["Keys      " + ", ".join(f"{count:,} in {key}" for key, count in songs_by_key.most_common())]


@dataclass(frozen=True)
class _Activity:
    """How much each track plays, `(track,)` each: share of empty windows, share of cells that are on, onsets a beat."""

    empty: npt.NDArray[np.float64]
    on: npt.NDArray[np.float64]
    onsets_a_beat: npt.NDArray[np.float64]


def _activity(store: WindowStore) -> _Activity:
    """How much is played in all windows. A cell is an onset if it is on and the one before it in its window is not."""
    silent, on, onsets = (np.zeros(len(TRACKS), np.int64) for _ in range(3))
    for first in range(0, len(store.windows), _WINDOWS_AT_ONCE):
        windows = np.asarray(store.windows[first : first + _WINDOWS_AT_ONCE])
        before = np.zeros_like(windows)
        before[:, :, 1:] = windows[:, :, :-1]
        silent += (~windows.any(axis=(2, 3))).sum(axis=0)
        on += np.bitwise_count(windows).sum(axis=(0, 2, 3), dtype=np.int64)
        onsets += np.bitwise_count(windows & ~before).sum(axis=(0, 2, 3), dtype=np.int64)
    steps = len(store.windows) * store.spec.steps
    return _Activity(
        empty=silent / len(store.windows),
        on=on / (steps * PITCHES),
        onsets_a_beat=onsets / (steps / store.spec.resolution),
    )


def _split_lines(store: WindowStore) -> list[str]:
    works = len(set(store.works.values()))
    if works < MIN_SONGS:
        return [f"Too few different songs to split: {works}; at least {MIN_SONGS} are needed."]
    split = split_songs(store.works, np.random.default_rng(0))
    lines = ["An example split by song (each block of a study draws its own):"]
    for name, ids in split.to_json().items():
        lines.append(f"  {name:<12}{len(ids):>8,} songs{len(store.indices(ids)):>12,} windows")
    return lines


def _copy_lines(store: WindowStore) -> list[str]:
    """Which songs have the same windows as an earlier one."""
    firsts: dict[str, str] = {}
    copies: list[str] = []
    for song in store.songs:
        first = firsts.setdefault(song.content, song.id)
        if first != song.id:
            copies.append(f"{_short(song.id)}, of {_short(first)}")
    if not copies:
        return []
    heading = f"Copies ({counted(len(copies), 'song')} with the windows of another; a split keeps them together):"
    return ["", heading, *_listed(copies, store)]


def _skipped_lines(store: WindowStore) -> list[str]:
    by_reason: defaultdict[str, list[str]] = defaultdict(list)
    for name, reason in store.skipped:
        by_reason[reason].append(_short(name))
    if not by_reason:
        return []
    lines = ["", "Skipped songs by reason:"]
    for reason, names in sorted(by_reason.items(), key=lambda entry: (-len(entry[1]), entry[0])):
        lines.append(f"{len(names):>8,}  {reason}:")
        lines += _listed(names, store)
    return lines


def _listed(names: list[str], store: WindowStore) -> list[str]:
    lines = [f"{'':12}{name}" for name in names[:_NAMES_SHOWN]]
    if len(names) > _NAMES_SHOWN:
        lines.append(f"{'':12}and {len(names) - _NAMES_SHOWN:,} more; all are listed in {store.folder / TABLE}")
    return lines


def _short(name: str) -> str:
    return name if len(name) <= _NAME_WIDTH else f"…{name[1 - _NAME_WIDTH :]}"
