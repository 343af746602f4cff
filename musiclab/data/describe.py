"""What a window store holds, as a text for people."""

from collections import defaultdict

import numpy as np

from musiclab.data.songs import BEAT_TICKS, TRACKS
from musiclab.data.splits import MIN_SONGS, split_songs
from musiclab.data.store import TABLE, WindowStore
from musiclab.data.windows import PITCHES

_WINDOWS_AT_ONCE = 4096
_NAMES_SHOWN = 100  # of each reason
_NAME_WIDTH = 100


def describe(store: WindowStore) -> str:
    """Songs, windows, what each track plays, sizes of an example split and skipped songs, in lines of text."""
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
        "",
        f"{'Track':<10}{'empty windows':>15}{'cells on':>12}{'notes a beat':>15}",
    ]
    for name, empty, on, notes in zip(TRACKS, *_track_shares(store), strict=True):
        lines.append(f"{name:<10}{empty:>15.1%}{on:>12.2%}{notes:>15.2f}")
    return "\n".join([*lines, "", *_split_lines(store), *_skipped_lines(store)])


def _range(values: list[float]) -> str:
    return f"{min(values):.4g} to {max(values):.4g}, median {np.median(values):.4g}"


def _track_shares(store: WindowStore) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each track the share of windows in which it is silent, the share of its cells that sound, onsets a beat.

    A cell is an onset where it sounds and the step before in the same window does not.
    """
    silent, on, onsets = (np.zeros(len(TRACKS), np.int64) for _ in range(3))
    for first in range(0, len(store.windows), _WINDOWS_AT_ONCE):
        windows = np.asarray(store.windows[first : first + _WINDOWS_AT_ONCE])
        before = np.zeros_like(windows)
        before[:, :, 1:] = windows[:, :, :-1]
        silent += (~windows.any(axis=(2, 3))).sum(axis=0)
        on += np.bitwise_count(windows).sum(axis=(0, 2, 3), dtype=np.int64)
        onsets += np.bitwise_count(windows & ~before).sum(axis=(0, 2, 3), dtype=np.int64)
    steps = len(store.windows) * store.spec.steps
    return silent / len(store.windows), on / (steps * PITCHES), onsets / (steps / store.spec.resolution)


def _split_lines(store: WindowStore) -> list[str]:
    if len(store.songs) < MIN_SONGS:
        return [f"Too few songs to split: {len(store.songs)}, and {MIN_SONGS} are needed."]
    split = split_songs([song.id for song in store.songs], np.random.default_rng(0))
    lines = ["An example split by song (each block of a study draws its own):"]
    for name, ids in split.to_json().items():
        lines.append(f"  {name:<12}{len(ids):>8,} songs{len(store.indices(ids)):>12,} windows")
    return lines


def _skipped_lines(store: WindowStore) -> list[str]:
    by_reason = defaultdict(list)
    for name, reason in store.skipped:
        by_reason[reason].append(name)
    if not by_reason:
        return []
    lines = ["", "Skipped songs by reason:"]
    for reason, names in sorted(by_reason.items(), key=lambda entry: (-len(entry[1]), entry[0])):
        lines.append(f"{len(names):>8,}  {reason}:")
        lines += [f"{'':12}{_short(name)}" for name in names[:_NAMES_SHOWN]]
        if len(names) > _NAMES_SHOWN:
            lines.append(f"{'':12}and {len(names) - _NAMES_SHOWN:,} more, all named in {store.folder / TABLE}")
    return lines


def _short(name: str) -> str:
    return name if len(name) <= _NAME_WIDTH else f"…{name[1 - _NAME_WIDTH :]}"
