"""Strengths of conditions from votes, by Bradley and Terry (1952); `choix` finds the most likely ones."""

import numpy as np
from scipy import special

# Each pair counts as if it had been heard once more and been called equal. So no strength is infinite.
_PRIOR = 0.5
_PRECISION = 1e-6


def strengths(wins: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """The strengths that explain the votes best, in logits; their mean is 0.

    If the strengths of two conditions differ by d, the stronger one wins 1 / (1 + exp(-d)) of their votes. An equal
    pair is half a vote for each.

    Args:
        wins: `(conditions, conditions)`, how many votes the row won against the column.
        start: strengths to begin with, such as those of a similar table.
    """
    import choix  # which imports scipy.stats, half a second that no other command needs

    with_prior = wins + _PRIOR * (1 - np.eye(len(wins)))
    found: np.ndarray = choix.ilsr_pairwise_dense(with_prior, initial_params=start, tol=_PRECISION, max_iter=1000)
    return found


def shares(logits: np.ndarray) -> np.ndarray:
    """The share of votes that each would win against all others, each heard equally often, `(..., conditions)`."""
    n = logits.shape[-1]
    against = special.expit(logits[..., :, None] - logits[..., None, :])
    of_others: np.ndarray = (against.sum(-1) - 0.5) / (n - 1)  # less that against itself
    return of_others
