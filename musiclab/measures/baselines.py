"""Baselines that no music is like: real tracks combined from different songs, and random notes."""

import numpy as np

from musiclab.measures.bins import distinct_windows
from musiclab.measures.latent_suite import reconstruction_measures
from musiclab.measures.originality import TrainingWindows, copied_from
from musiclab.measures.rolls import checked, nan_mean
from musiclab.measures.suite import comparison_measures, descriptive_measures, training_measures, variety_measures
from musiclab.measures.window_set import WindowSet


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


# Suffixes of baselines: real music against real music, tracks combined from different songs, random notes.
FLOOR, SHUFFLED, RANDOM = ".floor", ".shuffled", ".random"


# The baseline's key for the likeness to training windows from which a window counts as copied.
COPIED_FROM = "set/copied_rate.from"


def baseline_measures(
    other: WindowSet, reference: WindowSet, training: TrainingWindows, rng: np.random.Generator
) -> dict[str, float]:
    """Baselines of the groups `music` and `set`: the values of real music, and of what no music is like.

    Keys and their meaning:
        `music/...`, and those of `set` that are better `real`: the value of real music. In general it is that of the
            reference. For `set/start_sensitivity` songs take the place of starts: windows of one song stand for windows
            that continue one start. For `set/diversity_ratio` and `latent/density_ratio` it is 1 by definition. For
            `set/distinct_windows`, and for measures of pairs or of likeness to training windows, it is the value of as
            many reference windows as there are other windows;
        `.floor`: real music against real music. It is the value of the other songs' windows in place of generated
            ones, or, if there is a value of real music, the distance from it;
        `.shuffled`, `.random`: ceilings. They are the values of the other songs' windows in place of generated ones,
            with tracks exchanged between songs, and with notes at random places. They are values, not distances. Only
            plain names have them, and the Frechet distances of single tracks. Each exchanged track alone is real, so
            its distance is the floor's;
        `latent/frame_f1.floor` and its like: the score if each reference window (as many as other windows) is predicted
            by a window of the other songs, drawn evenly. A decoder that ignores its code and plays other real music
            scores this;
        `set/copied_rate.from`: the likeness to training windows from which a window counts as copied. The nearest 1 %
            of the reference windows have it.

    Args:
        other: windows and pieces of other songs, with as many windows as are generated, so that numbers compare.
        reference: the real windows that generated windows are compared with.
        training: the windows that the block trains on.
        rng: draws the pairs and the random notes.
    """
    count = len(other.rolls)
    sample = reference.first(count)
    likeness = training.likeness(sample.rolls)
    least = copied_from(likeness)
    # Of the other songs, like the floor: tracks exchanged within the reference would count as its own and look real.
    ceilings = unlike_music(other, rng)

    def scores(windows: WindowSet) -> dict[str, float]:
        return (
            descriptive_measures(windows)
            | comparison_measures(windows, reference)
            | variety_measures(windows, sample)
            | training_measures(training.likeness(windows.rolls), least)
        )

    real = descriptive_measures(reference) | {
        "set/diversity_ratio": 1.0,
        "set/start_sensitivity": variety_measures(sample, sample)["set/start_sensitivity"],
        "set/distinct_windows": distinct_windows(sample.rolls),
        "set/training_similarity": nan_mean(likeness),
    }
    result = real | {COPIED_FROM: least, "latent/density_ratio": 1.0}
    floors = scores(other)
    if count:
        partners = other.rolls[rng.integers(count, size=len(sample.rolls))]
        floors |= reconstruction_measures(partners, sample.rolls)
    for name, value in floors.items():
        ideal = 1.0 if name.startswith("latent/density_ratio") else real.get(name)
        result[name + FLOOR] = value if ideal is None else abs(value - ideal)
    for suffix, windows in ceilings.items():
        result |= {name + suffix: value for name, value in scores(windows).items() if _has_ceilings(name)}
    return result


def unlike_music(other: WindowSet, rng: np.random.Generator) -> dict[str, WindowSet]:
    """Windows that no music is like, by the suffix of their values.

    Args:
        other: windows and pieces of other songs than the reference's.
        rng: draws the random notes, those of the windows first.
    """
    exchanged = tracks_exchanged(other.rolls, other.songs), songs_exchanged(list(other.pieces))
    drawn = random_notes(other.rolls, rng), [random_notes(piece[None], rng)[0] for piece in other.pieces]
    return {
        suffix: WindowSet(rolls, other.songs, other.resolution, pieces)
        for suffix, (rolls, pieces) in ((SHUFFLED, exchanged), (RANDOM, drawn))
    }


def _has_ceilings(name: str) -> bool:
    return "." not in name or name.startswith("set/frechet.")
