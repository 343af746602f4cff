"""Baselines that no music is like: real tracks combined from different songs, and random notes."""

import numpy as np

from musiclab.measures.rolls import checked


def tracks_exchanged(rolls: np.ndarray, songs: np.ndarray) -> np.ndarray:
    """As many windows, whose tracks are real but come from different windows.

    In the order of songs, each track is taken a fifth of the set (with n tracks, an n-th) further on than the track
    before it; the first track stays. So no two tracks of a window are from one song, unless a song has more than a
    fifth of the windows. Each track as a whole keeps its real windows. Nothing is random.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        songs: `(n,)`, which song each window is from; any values that can be sorted.

    Returns:
        bool, the same shape.
    """
    order = np.argsort(songs, kind="stable")
    result = np.empty_like(checked(rolls))
    for track, places in enumerate(_exchanged(len(rolls), rolls.shape[1])):
        result[order, track] = rolls[order[places], track]
    return result


def songs_exchanged(pieces: list[np.ndarray]) -> list[np.ndarray]:
    """`tracks_exchanged` for whole songs, bool `(track, time, pitch)` each. Songs that are combined are cut to the
    length of the shortest.
    """
    result = []
    for places in _exchanged(len(pieces), len(pieces[0]) if pieces else 0).T:
        tracks = [pieces[place][track] for track, place in enumerate(places)]
        shortest = min(map(len, tracks))
        result.append(np.stack([track[:shortest] for track in tracks]))
    return result


def random_notes(rolls: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same notes at random places: each track keeps the number of its notes and their lengths.

    Each note gets a step drawn evenly from those at which it fits, and a pitch drawn evenly from the lowest to the
    highest that its track has in any of the windows. Notes that overlap at one pitch become one note, so there are
    slightly fewer notes.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        rng: draws steps and pitches.

    Returns:
        bool, the same shape.
    """
    # With pitch before time the cells of a note are adjacent, and starts and ends are found in the same order.
    lines = np.pad(checked(rolls).swapaxes(2, 3), [(0, 0)] * 3 + [(1, 1)])
    window, track, pitch, start = np.nonzero(lines[..., 1:] & ~lines[..., :-1])
    length = np.nonzero(lines[..., :-1] & ~lines[..., 1:])[3] - start
    low, high = np.full(rolls.shape[1], rolls.shape[3]), np.full(rolls.shape[1], -1)
    np.minimum.at(low, track, pitch)
    np.maximum.at(high, track, pitch)
    step = rng.integers(rolls.shape[2] - length + 1)
    drawn = rng.integers(low[track], high[track] + 1)
    result = np.zeros_like(rolls)
    for later in range(length.max(initial=0)):
        long = length > later
        result[window[long], track[long], step[long] + later, drawn[long]] = True
    return result


def _exchanged(count: int, tracks: int) -> np.ndarray:
    """The index from which each track of each window is taken, `(track, count)`."""
    sources: np.ndarray = (np.arange(count) + np.arange(tracks)[:, None] * count // max(tracks, 1)) % max(count, 1)
    return sources
