"""How similar generated windows are to training windows, in any key: signs of copying."""

from collections.abc import Iterable

import numpy as np

from musiclab.data.songs import DRUMS
from musiclab.measures.rolls import PITCH_CLASSES, PITCHED, PITCHES, checked

# A window counts as copied from this quantile of the likeness of held-out real windows on.
COPIED_QUANTILE = 0.99
# Windows compared at once on each side: their products take 30 MB.
_WINDOWS_AT_ONCE, _TRAINING_AT_ONCE = 256, 1024
# Pitch classes form a circle, so one product of Fourier coefficients compares all 12 transpositions.
_FREQUENCIES = PITCH_CLASSES // 2 + 1


def copied_from(likeness: np.ndarray) -> float:
    """The smallest likeness of the 1 % of held-out real windows that are most similar to training windows.

    It is the 99 % quantile, interpolated linearly.

    Args:
        likeness: `(n,)` of real windows to the training windows; NaN is left out.

    Returns:
        Between 0 and 1; NaN if there is no value.
    """
    present = likeness[~np.isnan(likeness)]
    return float(np.quantile(present, COPIED_QUANTILE)) if present.size else float("nan")


def copied_rate(likeness: np.ndarray, least: float) -> float:
    """Share of windows as near to a training window as the nearest 1 % of held-out real windows; lower is better.

    Real music has .01 or a little more, because it repeats itself too. If more than 1 % of the real windows are exact
    copies of training windows (about 5 % for chorales), then only exact copies count, and the share of real music is
    that percentage.

    Args:
        likeness: `(n,)` of the windows to the training windows; NaN (a silent window) is left out.
        least: the value of `copied_from` for real windows.

    Returns:
        Between 0 and 1; NaN if no window sounds or `least` is NaN.

    Source: ours.
    """
    present = likeness[~np.isnan(likeness)]
    return float((present >= least).mean()) if present.size and not np.isnan(least) else float("nan")


class TrainingWindows:
    """Training windows, stored as the few hundred bits of each that likeness depends on."""

    def __init__(self, blocks: Iterable[np.ndarray]) -> None:
        """Read the windows one block at a time; each is bool `(n, track, time, pitch)`, and only n may vary."""
        pitched_bits: list[np.ndarray] = []
        drum_bits: list[np.ndarray] = []
        for pitched, drums in map(_cells, blocks):
            pitched_bits.append(np.packbits(pitched, axis=-1))
            drum_bits.append(np.packbits(drums, axis=-1))
        self._pitched = np.concatenate(pitched_bits) if pitched_bits else np.zeros((0, 0, 0), np.uint8)
        self._drums = np.concatenate(drum_bits) if drum_bits else np.zeros((0, 0, 0), np.uint8)

    def likeness(self, rolls: np.ndarray) -> np.ndarray:
        """The largest similarity of each window to any training window, in any key: `(n,)`.

        A window's cells are (step, pitch class) of the pitched tracks together and (step, instrument) of the drums.
        Similarity = cells in both / cells in either (Jaccard), the highest over all 12 transpositions of the pitched
        tracks. It is 1 for a copy, also for one that is transposed or moved to other instruments or octaves. All pairs
        are compared exactly. A copy that is shifted in time is not recognised.

        Real music repeats other music, and a window with few notes is similar to many. So read the value beside that
        of held-out real windows.

        Args:
            rolls: bool `(n, track, time, pitch)`, with as many steps as the training windows.

        Returns:
            Between 0 and 1. NaN for a silent window, because it copies nothing, and if there are no training windows.

        Source: after the originality report of Yin et al. 2021, "Measuring when a music generation algorithm copies
        too much". Their similarity counts the notes that two excerpts share in the best transposition.
        """
        result = np.full(len(checked(rolls)), np.nan)
        for first in range(0, len(rolls), _WINDOWS_AT_ONCE):
            rows = slice(first, first + _WINDOWS_AT_ONCE)
            result[rows] = self._likeness(*_cells(rolls[rows]))
        return result

    def _likeness(self, pitched: np.ndarray, drums: np.ndarray) -> np.ndarray:
        sizes = _size(pitched) + _size(drums)
        best = np.full(len(sizes), np.nan)
        spectrum = _spectrum(pitched).conj()
        # A drum cell that none of these windows has cannot be shared, so it is left out.
        used = drums.reshape(len(drums), -1).any(axis=0)
        own_drums = drums.reshape(len(drums), -1)[:, used].astype(np.float32)
        for first in range(0, len(self._pitched), _TRAINING_AT_ONCE):
            block = slice(first, first + _TRAINING_AT_ONCE)
            their_pitched = np.unpackbits(self._pitched[block], axis=-1, count=PITCH_CLASSES)
            their_drums = np.unpackbits(self._drums[block], axis=-1)
            their_sizes = _size(their_pitched) + _size(their_drums)
            shared = _best_shared(spectrum, _spectrum(their_pitched))
            shared += own_drums @ their_drums.reshape(len(their_drums), -1)[:, used].astype(np.float32).T
            likeness = shared / np.maximum(sizes[:, None] + their_sizes - shared, 1)
            best = np.fmax(best, likeness.max(axis=1))
        best[sizes == 0] = np.nan
        return best


def _cells(rolls: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pitch classes of the pitched tracks at each step, bool `(n, time, 12)`, and the cells of the drums."""
    pitched = checked(rolls)[:, PITCHED[0]].copy()
    for track in PITCHED[1:]:
        pitched |= rolls[:, track]
    classes = np.zeros((*pitched.shape[:2], PITCH_CLASSES), bool)
    for lowest in range(0, PITCHES, PITCH_CLASSES):
        octave = pitched[..., lowest : lowest + PITCH_CLASSES]
        classes[..., : octave.shape[-1]] |= octave
    return classes, rolls[:, DRUMS]


def _size(cells: np.ndarray) -> np.ndarray:
    """Number of cells that are on in each window, `(n,)` float32."""
    sizes: np.ndarray = cells.sum(axis=(1, 2), dtype=np.float32)
    return sizes


def _spectrum(pitched: np.ndarray) -> np.ndarray:
    """Fourier coefficients over pitch classes, complex64 `(7, n, time)`."""
    return np.moveaxis(pitched.astype(np.float32) @ _waves(), 2, 0)


def _best_shared(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Cells that each window shares with each other one in its best transposition, `(n, m)` float32.

    `ours` and `theirs` are spectra, `ours` conjugated. The counts of all transpositions are the circular correlation
    over pitch classes. They are whole numbers, so rounding removes the error of single precision.
    """
    products = ours @ theirs.transpose(0, 2, 1)
    by_transposition = _inverse() @ products.reshape(_FREQUENCIES, -1)
    shared: np.ndarray = np.rint(by_transposition.real.max(axis=0)).reshape(products.shape[1:])
    return shared


def _waves() -> np.ndarray:
    """The matrix `(12, 7)` that maps pitch classes to the coefficients of a real Fourier transform."""
    turns = np.outer(np.arange(PITCH_CLASSES), np.arange(_FREQUENCIES)) / PITCH_CLASSES
    waves: np.ndarray = np.exp(-2j * np.pi * turns).astype(np.complex64)
    return waves


def _inverse() -> np.ndarray:
    """The matrix `(12, 7)` whose product with coefficients has the inverse transform as its real part."""
    # All frequencies but 0 and 6 stand for two coefficients of the complex transform.
    weights = np.where(np.arange(_FREQUENCIES) % (PITCH_CLASSES // 2) == 0, 1, 2)
    inverse: np.ndarray = (_waves().conj() * weights / PITCH_CLASSES).astype(np.complex64)
    return inverse
