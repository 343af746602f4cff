"""What no music is like: real tracks put together from different songs, and random notes; the ends of the scale."""

import numpy as np

from musiclab.measures.bins import distinct_windows
from musiclab.measures.originality import TrainingWindows, copied_from
from musiclab.measures.rolls import checked, nan_mean
from musiclab.measures.suite import (
    comparison_measures,
    descriptive_measures,
    reconstruction_measures,
    training_measures,
    variety_measures,
)
from musiclab.measures.window_set import WindowSet


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


# End the keys of what real music scores against real music, tracks of different songs put together, random notes.
FLOOR, SHUFFLED, RANDOM = ".floor", ".shuffled", ".random"


# The likeness to training windows from which on a window counts as copied, among the values of the scale.
COPIED_FROM = "set/copied_rate.from"


def baseline_measures(
    other: WindowSet, reference: WindowSet, training: TrainingWindows, rng: np.random.Generator
) -> dict[str, float]:
    """What the measures of the groups `music` and `set` are read on: real music, and what no music is like.

    Keys and their meaning:
        `music/...` and those of `set` that ask for it: the real value, which `better="real"` is to come close to. It is
            the reference's own; of `set/start_sensitivity` that of windows and their songs (windows of one song stand
            for those that continue one start window); of `set/diversity_ratio` and `latent/density_ratio` 1 by
            definition. Of `set/distinct_windows` and what is taken of pairs, or of likeness to training windows, it is
            that of as many reference windows as there are other ones;
        `.floor`: real against real. What the other songs' windows score in place of generated ones, or, where there is
            a real value, how far that is from it;
        `.shuffled`, `.random`: ceilings. What the other songs' windows score in place of generated ones when their
            tracks are exchanged between songs, and when their notes are put anywhere (see `ceilings`); values, not
            distances, of the plain names only;
        `latent/frame_f1.floor` and its like: the score of taking, for each of as many reference windows, some window of
            the other songs, drawn evenly; what a decoder scores that ignores its code and plays other real music;
        `set/copied_rate.from`: the likeness to training windows from which on a window counts as copied, which the
            nearest 1 % of the reference windows have.

    Args:
        other: windows and pieces of other songs. As many windows as generated ones, so that the numbers compare.
        reference: those that generated windows are measured against.
        training: those that the block trains on.
        rng: draws the pairs and the random notes.
    """
    resolution, count = reference.resolution, len(other.rolls)
    some = reference.first(count)
    likeness = training.likeness(some.rolls)
    least = copied_from(likeness)
    # Of the other songs, as the floor is: between songs of their own, the reference's tracks would pass for real.
    exchanged = tracks_exchanged(other.rolls, other.songs), songs_exchanged(list(other.pieces))
    drawn = random_notes(other.rolls, rng), [random_notes(piece[None], rng)[0] for piece in other.pieces]

    def scores(made: WindowSet) -> dict[str, float]:
        return (
            descriptive_measures(made)
            | comparison_measures(made, reference)
            | variety_measures(made, some)
            | training_measures(training.likeness(made.rolls), least)
        )

    real = descriptive_measures(reference) | {
        "set/diversity_ratio": 1.0,
        "set/start_sensitivity": variety_measures(some, some)["set/start_sensitivity"],
        "set/distinct_windows": distinct_windows(some.rolls),
        "set/training_similarity": nan_mean(likeness),
    }
    result = real | {COPIED_FROM: least, "latent/density_ratio": 1.0}
    floors = scores(other)
    if count:
        partners = other.rolls[rng.integers(count, size=len(some.rolls))]
        floors |= reconstruction_measures(partners, some.rolls)
    for name, value in floors.items():
        ideal = 1.0 if name.startswith("latent/density_ratio") else real.get(name)
        result[name + FLOOR] = value if ideal is None else abs(value - ideal)
    for suffix, (rolls, pieces) in ((SHUFFLED, exchanged), (RANDOM, drawn)):
        ceilings = scores(WindowSet(rolls, other.songs, resolution, pieces))
        result |= {name + suffix: value for name, value in ceilings.items() if "." not in name}
    return result
