"""How well decoded windows match the windows that were encoded: precision, recall and F1 of frames and of onsets."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from musiclab.measures.rolls import checked, onsets, packed_by_step, ratio

# Windows compared at once in the search for a threshold: keeps temporary arrays under 20 MB for windows of 32 steps.
_WINDOWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Scores:
    """Agreement of two sets of cells, each array `(track,)`, between 0 and 1, higher is better.

    Counts tp, fp and fn are over all cells of all windows of a track (micro-average).

    Attributes:
        precision: tp / (tp + fp); NaN if nothing was predicted.
        recall: tp / (tp + fn); NaN if nothing was to be predicted.
        f1: 2 tp / (2 tp + fp + fn); NaN only if the track is silent on both sides. A track that plays on one side only
            has f1 = 0. So judge by f1: silence has no precision, and a full roll has perfect recall.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


def frame_scores(predicted: np.ndarray, actual: np.ndarray) -> Scores:
    """Precision, recall and F1 over cells that are on; see `Scores` for when they are NaN.

    Args:
        predicted: bool `(n, track, time, pitch)`.
        actual: the same shape; window i is what prediction i should equal.

    Raises:
        ValueError: the two shapes differ.

    Source: Poliner and Ellis 2007, frame-level transcription scores.
    """
    if checked(predicted).shape != checked(actual).shape:
        raise ValueError(f"predicted and actual must have one shape; got {predicted.shape} and {actual.shape}.")
    predicted_bits, actual_bits = np.packbits(predicted, axis=-1), np.packbits(actual, axis=-1)
    hits, positives, wanted = (
        packed_by_step(bits).sum(axis=(0, 2)) for bits in (predicted_bits & actual_bits, predicted_bits, actual_bits)
    )
    return Scores(precision=ratio(hits, positives), recall=ratio(hits, wanted), f1=ratio(2 * hits, positives + wanted))


def onset_scores(predicted: np.ndarray, actual: np.ndarray) -> Scores:
    """Precision, recall and F1 over onsets at exactly the same step and pitch; see `Scores` for when they are NaN.

    An onset is a cell that is on after a step at which it is off; at step 0, any cell that is on. A wrongly filled gap
    merges two notes and loses an onset, which frame scores hardly notice.

    Args:
        predicted: bool `(n, track, time, pitch)`.
        actual: the same shape; window i is what prediction i should equal.

    Raises:
        ValueError: the two shapes differ.

    Source: Bay, Ehmann and Downie 2009, note-level scores, with a tolerance of 0 steps.
    """
    return frame_scores(onsets(predicted), onsets(actual))


def best_threshold(activations: np.ndarray, actual: np.ndarray, candidates: Sequence[float]) -> float:
    """The candidate t whose cells `activations > t` have the best frame F1 over all cells together.

    Choose it on validation songs and keep it for the test songs. If several candidates are best, the lowest wins.

    Args:
        activations: real numbers `(n, ...)`; a larger one means that a note is more likely.
        actual: bool, the same shape.
        candidates: thresholds to try, at least one.

    Returns:
        The threshold, in the unit of `activations`; NaN if `actual` has no note, because then no threshold is best.

    Raises:
        ValueError: the two shapes differ.
    """
    if activations.shape != actual.shape:
        raise ValueError(f"activations and actual must have one shape; got {activations.shape} and {actual.shape}.")
    if not actual.any():
        return float("nan")
    thresholds = sorted(float(candidate) for candidate in candidates)
    hits = np.zeros(len(thresholds), dtype=np.int64)
    positives = np.zeros(len(thresholds), dtype=np.int64)
    for first in range(0, len(actual), _WINDOWS_AT_ONCE):
        block = slice(first, first + _WINDOWS_AT_ONCE)
        for index, threshold in enumerate(thresholds):
            predicted = activations[block] > threshold
            positives[index] += np.count_nonzero(predicted)
            hits[index] += np.count_nonzero(predicted & actual[block])
    return thresholds[int(np.argmax(2 * hits / (positives + np.count_nonzero(actual))))]


def best_constant(window: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """The best frame F1 of predicting the same window every time, made binary at each track's best threshold.

    For each track it takes the set of cells `window > t` with the best micro-averaged F1 on `actual` itself. This is
    an upper bound of what a constant prediction in this order of cells can score, so it favours a baseline.

    Args:
        window: real numbers `(track, time, pitch)`; a larger one means that a note is more likely.
        actual: bool `(n, track, time, pitch)`.

    Returns:
        `(track,)`, between 0 and 1, higher is better. NaN for a track that is silent in `actual`, because silence is
        then the best prediction.

    Raises:
        ValueError: `window` has not the shape of a window of `actual`.
    """
    if window.shape != checked(actual).shape[1:]:
        raise ValueError(f"window must have the shape of one window of actual {actual.shape}; got {window.shape}.")
    counts = actual.sum(axis=0).reshape(len(window), -1)
    result = np.full(len(window), np.nan)
    for track, (likelihood, count) in enumerate(zip(window.reshape(len(window), -1), counts, strict=True)):
        if count.any():
            order = np.argsort(-likelihood, kind="stable")
            cells_predicted = np.arange(1, len(order) + 1)
            f1 = 2 * np.cumsum(count[order]) / (len(actual) * cells_predicted + count.sum())
            # A threshold cannot part equally likely cells: it lies after the last of them.
            ends = np.append(np.diff(likelihood[order]) != 0, True)
            result[track] = f1[ends].max()
    return result
