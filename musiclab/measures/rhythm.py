"""Measures of time: how long notes last, where in the bar they start, and whether bars share their rhythm.

All notes of all windows are counted together, unless a docstring says otherwise. Values are `(1 + track,)`: first of
the pitched tracks together, which leaves out drums, then of each track.
"""

import numpy as np

from musiclab.data.songs import DRUMS, TRACKS
from musiclab.measures.notes import blocks, entropy, note_starts, packed, with_pitched, without_drums
from musiclab.measures.rolls import BEATS_PER_BAR, POSITIONS, packed_by_step, ratio

# A 32nd note is an eighth of a beat.
_QUALIFIED_PER_BEAT = 8


def note_length(rolls: np.ndarray, resolution: int) -> np.ndarray:
    """Mean length of a note, in beats.

    Cells on / notes / resolution. Best if closest to the value of real music. A note cut by a window's end counts with
    the length inside the window, so compare only sets of windows of equal length.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        resolution: steps a beat.

    Returns:
        `(1 + track,)`, at least one step. NaN for drums, because their hits have no length, and for tracks without
        notes.

    Source: the mean of the note length histogram of Yang and Lerch 2020, "On the evaluation of generative models in
    music".
    """
    bits = packed(rolls)
    cells, notes = (with_pitched(packed_by_step(marked).sum(axis=(0, 2))) for marked in (bits, note_starts(bits)))
    return without_drums(ratio(cells, notes) / resolution)


def note_length_entropy(rolls: np.ndarray) -> np.ndarray:
    """How varied note lengths are: 0 if all are equal.

    H = -sum over lengths in steps of p log2 p, with p the share of all notes that have this length. In bits; best if
    closest to the value of real music. A higher resolution tells more lengths apart and so gives a higher value. A
    note cut by a window's end counts with the length inside the window. So compare only at one resolution and one
    window length.

    Args:
        rolls: bool `(n, track, time, pitch)`.

    Returns:
        `(1 + track,)`, 0 to log2 of the steps of a window. NaN for drums and for tracks without notes.

    Source: after the note length histogram of Yang and Lerch 2020; entropy after Shannon 1948.
    """
    return without_drums(entropy(_notes_by_length(rolls)))


def qualified_notes(rolls: np.ndarray, resolution: int) -> np.ndarray:
    """Share of notes that last at least a 32nd note, an eighth of a beat (QN of MuseGAN).

    Notes of at least resolution / 8 steps (rounded up) / notes. Best if closest to the value of real music. A low
    share means a fragmented roll, which is typical of noise. MuseGAN splits notes at bar lines and averages shares
    over bars. Here notes are whole, and each note counts the same.

    Up to 8 steps a beat no step is shorter than a 32nd, so every note qualifies and the share would always be 1.
    Therefore it is NaN there; it means something from 12 steps a beat on.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        resolution: steps a beat.

    Returns:
        `(1 + track,)`, between 0 and 1. NaN up to 8 steps a beat, for drums and for tracks without notes.

    Source: Dong et al. 2018, MuseGAN, section "Objective metrics".
    """
    shortest = -(-resolution // _QUALIFIED_PER_BEAT)
    if shortest <= 1:
        return np.full(1 + len(TRACKS), np.nan)
    by_length = _notes_by_length(rolls)
    return without_drums(ratio(by_length[:, shortest:].sum(axis=1), by_length.sum(axis=1)))


def drum_pattern(rolls: np.ndarray, resolution: int) -> float:
    """Share of drum hits on the grid of eighth notes, the 8-beat pattern of rock (DP of MuseGAN).

    Hits at steps that are multiples of half a beat / hits. Best if closest to the value of real music. Hits spread
    evenly over the steps score 2 / resolution. MuseGAN accepts 8-beat and 16-beat patterns at 24 steps a beat, with
    partial credit for hits beside the grid (`musegan.musegan_compat`). At 4 steps a beat every step is on the 16-beat
    grid, so only the grid of eighths is used here.

    At 1 and 2 steps a beat every step is on the grid of eighths too, so the share would always be 1. An odd resolution
    has no such grid. The value is NaN in both cases.

    Args:
        rolls: bool `(n, track, time, pitch)`, of windows that begin on a beat.
        resolution: steps a beat.

    Returns:
        Between 0 and 1. NaN for 1 or 2 steps a beat, for an odd resolution and without drum hits.

    Source: after Dong et al. 2018, MuseGAN, section "Objective metrics".
    """
    if resolution <= 2 or resolution % 2:
        return float("nan")
    hits = packed_by_step(packed(rolls)[:, DRUMS]).sum(axis=0)
    return float(ratio(hits[:: resolution // 2].sum(), hits.sum()))


def groove_similarity(rolls: np.ndarray, resolution: int) -> np.ndarray:
    """How much a bar's rhythm is like that of the bar before.

    Cosine of the two bars' histograms of onsets over the eight eighths of a bar, averaged over neighbouring bars of a
    window of which at least one has an onset. From 0 (no eighth in common, or one bar without onsets) to 1. Best if
    closest to the value of real music: a rhythm that changes from bar to bar is low, a loop is 1. Dense noise is high
    too, because it fills all eighths equally: .88 (.75 on the LPD-5 sample) and .82 (.80 on chorales). So the measure
    tells steady rhythm from unsteady rhythm, not music from noise.

    It differs from `muspy.groove_consistency`, which is 1 minus the share of a bar's steps at which exactly one of two
    bars has an onset. On a fine grid nearly all steps are empty in both bars, so that value depends on the resolution:
    bars that share no onset score .06 at 2 steps a beat and .99 at 220. It also counts one bar too many if the music
    ends on a bar line, so that two equal bars of two onsets score .875. A cosine depends only on where notes start,
    and eighths are the same at all resolutions (except that a roll joins equal notes in a row).

    Args:
        rolls: bool `(n, track, time, pitch)`; windows begin on a bar line.
        resolution: steps a beat; a bar is four beats, and steps after the last whole bar are left out.

    Returns:
        `(1 + track,)`; the first value is of the summed onsets of the pitched tracks. NaN for windows of less than two
        bars and for tracks without notes.

    Source: ours, after the grooving pattern similarity of Wu and Yang 2020.
    """
    bars = _onsets_by_eighth(rolls, resolution)
    squares = (bars * bars).sum(axis=3)
    shared = (bars[:, :, :-1] * bars[:, :, 1:]).sum(axis=3)
    # Whole numbers under the root, so that the cosine of equal bars is exactly 1.
    cosines = shared / np.sqrt(np.maximum(squares[:, :, :-1] * squares[:, :, 1:], 1))
    counted = (squares[:, :, :-1] + squares[:, :, 1:]) > 0
    return ratio(cosines.sum(axis=(0, 2)), counted.sum(axis=(0, 2)))


def _notes_by_length(rolls: np.ndarray) -> np.ndarray:
    """Number of notes of each length in steps, from 0 to the whole window, int64 `(1 + track, steps + 1)`."""
    _, tracks, steps, _ = rolls.shape
    at_least = np.zeros((tracks, steps + 2), np.int64)
    for block in blocks(rolls):
        bits = packed(block)
        cells, lasting = (np.ascontiguousarray(marked).view(np.uint64) for marked in (bits, note_starts(bits)))
        # `lasting` holds the starts of the notes that last at least `length` steps; longer notes must start earlier.
        for length in range(1, steps + 1):
            count = np.bitwise_count(lasting).sum(axis=(0, 2, 3), dtype=np.int64)
            at_least[:, length] += count
            if not count.any():
                break
            lasting = lasting[:, :, :-1] & cells[:, :, length:]
    at_least[:, 0] = at_least[:, 1]
    return with_pitched(at_least[:, :-1] - at_least[:, 1:])


def _onsets_by_eighth(rolls: np.ndarray, resolution: int) -> np.ndarray:
    """Onsets at each eighth of each whole bar, int64 `(n, 1 + track, bar, 8)`."""
    by_step = with_pitched(packed_by_step(note_starts(packed(rolls))), axis=1)
    length = BEATS_PER_BAR * resolution
    count = by_step.shape[2] // length
    bars = by_step[:, :, : count * length].reshape(*by_step.shape[:2], count, length)
    eighths = np.arange(length) * POSITIONS // length
    return np.stack([bars[..., eighths == eighth].sum(axis=-1) for eighth in range(POSITIONS)], axis=-1)
