"""What no music is like: real tracks put together from different songs, and random notes; the ends of the scale."""

import numpy as np

from musiclab.measures.rolls import checked


def tracks_exchanged(rolls: np.ndarray, songs: np.ndarray) -> np.ndarray:
    """Windows whose tracks are real and do not belong together, as many as there are.

    Each track comes from a window that is, in the order of songs, a fifth of the set (of n tracks, an n-th) further on
    than that of the track before it; the first one stays. So no two tracks of a window are of one song, unless a song
    has more than a fifth of the windows, and every track's windows are the real ones. Nothing is drawn.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        songs: `(n,)`, which song each window is of; any values that can be sorted.
    """
    order = np.argsort(songs, kind="stable")
    result = np.empty_like(checked(rolls))
    for track, places in enumerate(_exchanged(len(rolls), rolls.shape[1])):
        result[order, track] = rolls[order[places], track]
    return result


def songs_exchanged(pieces: list[np.ndarray]) -> list[np.ndarray]:
    """The same of whole songs, bool `(track, time, pitch)` each, cut to the shortest of those that meet in one."""
    result = []
    for places in _exchanged(len(pieces), len(pieces[0]) if pieces else 0).T:
        tracks = [pieces[place][track] for track, place in enumerate(places)]
        shortest = min(map(len, tracks))
        result.append(np.stack([track[:shortest] for track in tracks]))
    return result


def random_notes(rolls: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Windows in which each track has as many notes as in the given one, of the same lengths, anywhere.

    Every note goes to a step drawn evenly of those where it fits, and to a pitch drawn evenly from the lowest to the
    highest that its track has in any of the windows. Notes that meet at one pitch become one, so that there are a few
    less.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        rng: draws steps and pitches.
    """
    # Pitch before time, so that the cells of a note lie side by side and starts and ends come in one order.
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
    """For each track and place, the place that it is taken from, `(track, count)`."""
    return (np.arange(count) + np.arange(tracks)[:, None] * count // max(tracks, 1)) % max(count, 1)
