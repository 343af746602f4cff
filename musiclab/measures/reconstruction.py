"""How well decoded windows match the windows that were encoded: precision, recall and F1 of frames and of onsets."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from musiclab.measures.rolls import checked, onsets, packed_by_step, ratio

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
    first, second = np.packbits(predicted, axis=-1), np.packbits(actual, axis=-1)
    hits, found, wanted = (packed_by_step(cells).sum(axis=(0, 2)) for cells in (first & second, first, second))
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


def best_constant(window: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """The best frame F1 of saying one and the same window for all, made binary at each track's best threshold.

    Of all sets `window > t` of a track's cells, the one with the best micro-averaged F1 on `actual` itself: an upper
    bound of what a constant of this shape scores, for baselines that are to get every chance.

    Args:
        window: real numbers `(track, time, pitch)`, larger where a note is likelier.
        actual: bool `(n, track, time, pitch)`.

    Returns:
        `(track,)`, between 0 and 1, higher is better. NaN for a track that is silent in `actual`: the best is silence.
    """
    if window.shape != checked(actual).shape[1:]:
        raise ValueError(f"window {window.shape} must be one of actual {actual.shape}")
    counts = actual.sum(axis=0).reshape(len(window), -1)
    result = np.full(len(window), np.nan)
    for track, (likely, count) in enumerate(zip(window.reshape(len(window), -1), counts, strict=True)):
        if count.any():
            order = np.argsort(-likely, kind="stable")
            said = np.arange(1, len(order) + 1)
            f1 = 2 * np.cumsum(count[order]) / (len(actual) * said + count.sum())
            # Equally likely cells come together: a threshold lies after the last of them.
            ends = np.append(np.diff(likely[order]) != 0, True)
            result[track] = f1[ends].max()
    return result
