"""How well decoded windows match the windows that were encoded: precision, recall and F1 of frames and of onsets."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from musiclab.measures.rolls import checked, onsets, ratio

# Windows compared at once while a threshold is sought: bounds the temporary arrays at 20 MB for windows of 32 steps.
_WINDOWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Scores:
    """Agreement of two sets of cells, each array `(track,)`, between 0 and 1, higher is better.

    With tp, fp and fn counted over all cells of all windows of a track (micro-average):
    precision = tp / (tp + fp), NaN where nothing was predicted; recall = tp / (tp + fn), NaN where there was nothing
    to find; f1 = 2 tp / (2 tp + fp + fn), NaN only where the track is silent in both. A track that plays on one side
    only therefore has f1 = 0, so judge by f1: silence escapes precision, and a full roll escapes recall.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


def frame_scores(predicted: np.ndarray, actual: np.ndarray) -> Scores:
    """Precision, recall and F1 over cells that are on; NaN rules at `Scores`.

    Args:
        predicted: bool `(n, track, time, pitch)`.
        actual: the same shape, window i the one that prediction i should equal.

    Source: Poliner and Ellis 2007, frame-level transcription scores.
    """
    if checked(predicted).shape != checked(actual).shape:
        raise ValueError(f"predicted {predicted.shape} and actual {actual.shape} must have one shape")
    hits = (predicted & actual).sum(axis=(0, 2, 3))
    found = predicted.sum(axis=(0, 2, 3))
    wanted = actual.sum(axis=(0, 2, 3))
    return Scores(precision=ratio(hits, found), recall=ratio(hits, wanted), f1=ratio(2 * hits, found + wanted))


def onset_scores(predicted: np.ndarray, actual: np.ndarray) -> Scores:
    """Precision, recall and F1 over onsets, matched at exactly the same step and pitch; NaN rules at `Scores`.

    An onset is a cell that is on and whose previous step in the window is off; at step 0, a cell that is on. One
    wrongly filled gap merges two notes and so loses an onset that frame scores hardly notice.

    Args:
        predicted: bool `(n, track, time, pitch)`.
        actual: the same shape, window i the one that prediction i should equal.

    Source: Bay, Ehmann and Downie 2009, note-level scores, with a tolerance of 0 steps.
    """
    return frame_scores(onsets(predicted), onsets(actual))


def best_threshold(activations: np.ndarray, actual: np.ndarray, candidates: Sequence[float]) -> float:
    """The candidate t whose cells `activations > t` have the best frame F1, everything given pooled.

    To be chosen on validation songs and then kept for the test songs. Of equals the lowest wins.

    Args:
        activations: real numbers `(n, ...)`, larger where a note is likelier.
        actual: bool, the same shape.
        candidates: thresholds to try, at least one.

    Returns:
        The threshold, in the unit of `activations`; NaN where `actual` holds no note, for then no threshold is best.
    """
    if activations.shape != actual.shape:
        raise ValueError(f"activations {activations.shape} and actual {actual.shape} must have one shape")
    if not actual.any():
        return float("nan")
    thresholds = sorted(float(candidate) for candidate in candidates)
    hits = np.zeros(len(thresholds), dtype=np.int64)
    found = np.zeros(len(thresholds), dtype=np.int64)
    for first in range(0, len(actual), _WINDOWS_AT_ONCE):
        block = slice(first, first + _WINDOWS_AT_ONCE)
        for index, threshold in enumerate(thresholds):
            predicted = activations[block] > threshold
            found[index] += np.count_nonzero(predicted)
            hits[index] += np.count_nonzero(predicted & actual[block])
    return thresholds[int(np.argmax(2 * hits / (found + np.count_nonzero(actual))))]
