"""Measures of form: does music repeat after one, two, four and eight bars?"""

import numpy as np

from musiclab.data.songs import TRACKS
from musiclab.measures.notes import with_pitched
from musiclab.measures.rolls import bars, packed_by_step, ratio

# Distances in bars: the next bar, and the usual lengths of phrases in popular music.
LAGS = (1, 2, 4, 8)


def self_similarity(pieces: list[np.ndarray], resolution: int) -> np.ndarray:
    """Likeness of a bar to the bar 1, 2, 4 and 8 bars later.

    The likeness of two bars is their Jaccard similarity, cells on in both / cells on in either. It is averaged over
    all pairs of bars of one piece that are that far apart, over all pieces. From 0 (no cell in common, or one bar
    silent) to 1 (equal). Pairs of two silent bars do not count, because silence repeats nothing. Best if closest to
    the value of real music: a loop is 1 at every lag, and music without form has what any two bars in its key share.

    At lags 1, 2, 4 and 8 and 2 steps a beat it is .09, .09, .20, .11 on chorales, .24, .30, .34, .30 on the LPD-5
    sample, and under .01 on random notes. Long pieces have more pairs than short ones and so count more. A
    continuation has few pairs at the longest lag.

    Args:
        pieces: bool `(track, time, pitch)` each, of any length, starting at a bar line: whole songs, or all windows
            of a continuation joined.
        resolution: steps a beat; a bar is four beats, and steps after the last whole bar are left out.

    Returns:
        `(lag, 1 + track)` in the order of `LAGS`: of the pitched tracks together, then of each track. NaN if no
        piece is longer than the lag, or if nothing sounds.

    Source: ours, after the self-similarity of Foote 1999, "Visualizing music and audio using self-similarity".
    """
    total, pairs = np.zeros((2, len(LAGS), 1 + len(TRACKS)))
    for piece in pieces:
        cells = np.packbits(bars(piece[None], resolution)[0], axis=-1)
        for row, lag in enumerate(LAGS):
            similarities = _similarities(cells[:, :-lag], cells[:, lag:])
            total[row] += np.nansum(similarities, axis=1)
            pairs[row] += (~np.isnan(similarities)).sum(axis=1)
    return ratio(total, pairs)


def _similarities(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Jaccard similarities `(1 + track, bar)` of packed bars `(track, bar, time, 16)`; NaN where both are silent."""
    in_both, in_either = (with_pitched(packed_by_step(cells).sum(axis=2)) for cells in (first & second, first | second))
    return ratio(in_both, in_either)
