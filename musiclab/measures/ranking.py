"""How well activations separate cells that are on from cells that are off, over all thresholds."""

from dataclasses import dataclass

import numpy as np

from musiclab.measures.rolls import ratio


@dataclass(frozen=True)
class Ranking:
    """Counts of cells at or above each threshold, from the lowest threshold to the highest.

    The thresholds are the activations of the cells that are on. Any other threshold would only add cells that are off.
    Cells with equal activations have equal counts.

    Attributes:
        thresholds: `(threshold,)`, ascending.
        hits: `(threshold,)`, the cells at or above the threshold that are on.
        positives: `(threshold,)`, all cells at or above the threshold.
        wanted: the number of cells that are on.
    """

    thresholds: np.ndarray
    hits: np.ndarray
    positives: np.ndarray
    wanted: int

    @property
    def average_precision(self) -> float:
        """Area under the precision-recall curve.

        AP = sum over thresholds of (recall - recall at the next higher threshold) x precision. The curve is a step
        function, because a straight line between two of its points promises what no threshold reaches. No threshold
        has to be chosen. Cells that are rightly off do not count, and nearly all cells are. Between 0 and 1, higher is
        better. Activations without information score the share of cells that are on. NaN if no cell is on.

        Source: Davis and Goadrich 2006, "The relationship between precision-recall and ROC curves"; AP of Manning,
        Raghavan and Schuetze 2008, section 8.4.
        """
        gained = self.hits - np.append(self.hits[1:], 0)
        return float(ratio((gained * (self.hits / self.positives)).sum(), self.wanted))

    @property
    def best_f1(self) -> float:
        """F1 at the threshold that is best on these very cells: 2 hits / (positives + wanted).

        An upper bound of the F1 at any threshold. A model has to choose its threshold beforehand, so it cannot claim
        this score. Between 0 and 1, higher is better. NaN if no cell is on.
        """
        return float(self._f1.max(initial=0)) if self.wanted else float("nan")

    @property
    def best_threshold(self) -> float:
        """The threshold of `best_f1`: cells at or above it are taken to be on. Infinite if no cell is on."""
        return float(self.thresholds[self._f1.argmax()]) if len(self.thresholds) else float("inf")

    @property
    def _f1(self) -> np.ndarray:
        f1: np.ndarray = 2 * self.hits / (self.positives + self.wanted)
        return f1


def ranking(activations: np.ndarray, actual: np.ndarray) -> Ranking:
    """The counts at each threshold, over all cells together.

    Activations of -inf and NaN are below every threshold.

    Args:
        activations: real numbers of any shape; a larger one means that a note is more likely.
        actual: bool, the same shape.

    Raises:
        ValueError: the two shapes differ.
    """
    if activations.shape != actual.shape:
        raise ValueError(f"activations and actual must have one shape; got {activations.shape} and {actual.shape}.")
    # Sorting numbers is several times faster than sorting their indices. fmax turns NaN into -inf.
    all_sorted, on_sorted = (np.sort(np.fmax(values, -np.inf)) for values in (activations.ravel(), activations[actual]))
    thresholds = on_sorted[on_sorted > -np.inf]
    hits, positives = (len(values) - np.searchsorted(values, thresholds) for values in (on_sorted, all_sorted))
    return Ranking(thresholds, hits=hits, positives=positives, wanted=len(on_sorted))
