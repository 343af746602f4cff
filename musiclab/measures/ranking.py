"""How well activations tell cells that are on from those that are off, whatever threshold is taken."""

from dataclasses import dataclass

import numpy as np

from musiclab.measures.rolls import ratio


@dataclass(frozen=True)
class Ranking:
    """What each threshold finds; only activations of cells that are on are tried, for others add false ones alone.

    Attributes:
        hits, found: `(threshold,)`, cells at or above it that are on, and all cells at or above it; from the lowest
            threshold to the highest. Equal activations come together, and find the same.
        wanted: cells that are on.
    """

    hits: np.ndarray
    found: np.ndarray
    wanted: int

    @property
    def average_precision(self) -> float:
        """Area under precision and recall: AP = sum over thresholds of (recall - recall at the next higher) precision.

        A step function, for straight lines between points of precision and recall promise what no threshold gives. No
        threshold is chosen, and cells that are rightly off do not count, which nearly all are. Between 0 and 1, higher
        is better; activations that say nothing have the share of cells that are on. NaN where no cell is on.

        Source: Davis and Goadrich 2006, "The relationship between precision-recall and ROC curves"; AP of Manning,
        Raghavan and Schuetze 2008, section 8.4.
        """
        gained = self.hits - np.append(self.hits[1:], 0)
        return float(ratio((gained * (self.hits / self.found)).sum(), self.wanted))

    @property
    def best_f1(self) -> float:
        """F1 at the threshold that is best on these very cells: 2 hits / (found + wanted).

        An upper bound of what any threshold gives, and so no score that a model which had to choose one can claim;
        between 0 and 1, higher is better. NaN where no cell is on.
        """
        return float((2 * self.hits / (self.found + self.wanted)).max(initial=0)) if self.wanted else float("nan")


def ranking(activations: np.ndarray, actual: np.ndarray) -> Ranking:
    """Of cells, all given pooled; -inf and NaN are above no threshold, so such cells are never found.

    Args:
        activations: real numbers of any shape, larger where a note is likelier.
        actual: bool, the same shape.
    """
    if activations.shape != actual.shape:
        raise ValueError(f"activations {activations.shape} and actual {actual.shape} must have one shape")
    # Numbers alone are sorted, several times faster than their places would be; fmax makes NaN -inf.
    everything, wanted = (np.sort(np.fmax(values, -np.inf)) for values in (activations.ravel(), activations[actual]))
    thresholds = wanted[wanted > -np.inf]
    hits, found = (len(values) - np.searchsorted(values, thresholds) for values in (wanted, everything))
    return Ranking(hits, found, len(wanted))
