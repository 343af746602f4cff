"""Votes: the answers of a listening test that count, as arrays, and what they say for a variant against its control."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from musiclab.analysis.attendance import counted_ballots, preferred, ratings
from musiclab.design.listening import SCALES
from musiclab.storage.ballots import SessionBallots


@dataclass(frozen=True)
class Votes:
    """Answers to pairs.

    "Much" and "slightly" better are one vote alike, and equal is half a vote for each. So all numbers are shares of
    votes. Weights for grades would find hardly more (docs/listening.md), and listeners use words differently.

    Attributes:
        listener: `(n,)`, the index of the session.
        block: `(n,)`, the block whose models are heard.
        start: `(n,)`, the number of the start window.
        first: `(n,)`, the condition that was heard as A.
        second: `(n,)`, the condition that was heard as B.
        won: `(..., n)`, the share of each vote that the first one won: 1, 0.5 or 0.
    """

    listener: np.ndarray
    block: np.ndarray
    start: np.ndarray
    first: np.ndarray
    second: np.ndarray
    won: np.ndarray

    def __len__(self) -> int:
        return len(self.listener)

    def involve(self, condition: int) -> np.ndarray:
        """Which votes are about a condition, `(n,)` bool."""
        involved: np.ndarray = (self.first == condition) | (self.second == condition)
        return involved

    def won_by(self, condition: int) -> np.ndarray:
        """The share of each vote that a condition won, `(..., n)`; only meaningful where it is involved."""
        return np.where(self.first == condition, self.won, 1 - self.won)

    def opponents(self, condition: int) -> np.ndarray:
        """What a condition is compared with in each vote, `(n,)`; only meaningful where it is involved."""
        return np.where(self.first == condition, self.second, self.first)


@dataclass(frozen=True)
class Ratings:
    """Answers about single pieces.

    Attributes:
        listener: `(n,)`, as of `Votes`.
        block: `(n,)`
        start: `(n,)`
        condition: `(n,)`
        given: `(n, scales)`, from 1 to 5, in the order of `SCALES`.
    """

    listener: np.ndarray
    block: np.ndarray
    start: np.ndarray
    condition: np.ndarray
    given: np.ndarray


def votes(sessions: Sequence[SessionBallots]) -> Votes:
    """The votes of the sessions, whose indices are the listeners; warm-ups and repeats are none."""
    rows = []
    for index, session in enumerate(sessions):
        for ballot in counted_ballots(session):
            shown, winner = ballot.shown, preferred(ballot)
            won = 0.5 if winner is None else float(winner == shown.first)
            rows.append((index, *shown.place, shown.first, shown.second, won))
    table = np.array(rows, float).reshape(len(rows), 6)
    listener, block, start, first, second = table[:, :5].astype(int).T
    return Votes(listener, block, start, first, second, table[:, 5])


def all_ratings(sessions: Sequence[SessionBallots]) -> Ratings:
    """The ratings of the sessions, whose indices are the listeners; warm-ups and repeats are none."""
    answers = [(index, ballot) for index, session in enumerate(sessions) for ballot in counted_ballots(session)]
    rows = [(index, *ballot.shown.place, ballot.shown.first) for index, ballot in answers]
    given = [[ratings(ballot.answer)[scale] for scale in SCALES] for _, ballot in answers]
    listener, block, start, condition = np.array(rows, int).reshape(len(rows), 4).T
    return Ratings(listener, block, start, condition, np.array(given, float).reshape(len(rows), len(SCALES)))


def for_variant(votes: Votes, variant: int, control: int) -> tuple[np.ndarray, np.ndarray]:
    """What each vote says for a variant against its control, if it is about one of them.

    A vote of the two against one another counts for both. In a vote of one of them against a third, what counts is by
    how much it won more than the two together did against that one. So the sum is the difference of the votes that the
    two have won, as far as both have been compared with the same conditions; and if listeners could not tell the two
    apart, each vote would say as much for the one as for the other.

    Returns:
        Which votes count, `(n,)` bool, and what those say, `(..., those)`, from -1 to 1.
    """
    with_variant, with_control = votes.involve(variant), votes.involve(control)
    by_variant, by_control = votes.won_by(variant), votes.won_by(control)
    says = np.zeros(votes.won.shape)
    direct = with_variant & with_control
    says[..., direct] = 2 * by_variant[..., direct] - 1
    used = direct.copy()
    third_variant, third_control = votes.opponents(variant), votes.opponents(control)
    for third in {*third_variant[with_variant].tolist(), *third_control[with_control].tolist()} - {variant, control}:
        one, other = with_variant & (third_variant == third), with_control & (third_control == third)
        if not one.any() or not other.any():
            continue  # nothing to compare with
        middle = (by_variant[..., one].mean(-1) + by_control[..., other].mean(-1))[..., None] / 2
        says[..., one] = by_variant[..., one] - middle
        says[..., other] = middle - by_control[..., other]
        used |= one | other
    return used, says[..., used]
