"""Rungs: shares of a training after which its progress is worked out, kept and told."""

from collections.abc import Callable, Collection
from itertools import pairwise

from musiclab.training.epoch import Epoch
from musiclab.training.files import Files, read_progress, write_progress

_ROUNDING = 1e-9  # in epochs; a ninth of nine epochs is one epoch


class Rungs:
    """The rungs of one training.

    A rung lies at the first step after which at least its share of all steps is done. If epochs have not equally many
    steps, each is an equal part of the training.

    Args:
        shares: of the training, rising, between 0 and 1.
        at_rung: called with a rung's number, from 0, and the progress there; it may raise.
        files: where the progress at each share is kept.
        epochs: how many the training has in all.

    Raises:
        ValueError: the shares do not rise, or not between 0 and 1.
    """

    def __init__(
        self, shares: tuple[float, ...], at_rung: Callable[[int, float], None], files: Files, epochs: int
    ) -> None:
        if not all(low < high for low, high in pairwise((0.0, *shares, 1.0))):
            raise ValueError(f"rungs must be rising shares between 0 and 1; got {shares}.")
        self.shares, self.at_rung, self.files, self.epochs = shares, at_rung, files, epochs

    def at(self, epoch: Epoch) -> range:
        """The rungs that lie at the last step done, which is of this epoch."""
        if not epoch.done:
            return range(0)
        before, now = (self._passed(epoch.number + done / epoch.count) for done in (epoch.done - 1, epoch.done))
        return range(before, now)

    def known(self, epoch: Epoch) -> list[int]:
        """The rungs up to the last step done whose progress can be told: it is kept, or they lie at that very step.

        Others were passed by a training that did not have them.
        """
        kept, at = read_progress(self.files), self.at(epoch)
        passed = self._passed(epoch.number + (epoch.done / epoch.count if epoch.done else 0))
        return [rung for rung in range(passed) if self.shares[rung] in kept or rung in at]

    def tell(self, rungs: Collection[int], progress: Callable[[], float]) -> None:
        """Call `at_rung` for each of these rungs, with the value that is kept, or else with what `progress` returns."""
        kept = read_progress(self.files)
        missing = [self.shares[rung] for rung in rungs if self.shares[rung] not in kept]
        if missing:
            kept |= dict.fromkeys(missing, progress())
            write_progress(self.files, kept)
        for rung in rungs:
            self.at_rung(rung, kept[self.shares[rung]])

    def _passed(self, epochs_done: float) -> int:
        return sum(share * self.epochs <= epochs_done + _ROUNDING for share in self.shares)
