"""How near generated windows come to those that were trained on, in any key: what may be copied."""

from collections.abc import Iterable

import numpy as np

from musiclab.measures.rolls import DRUMS, PITCH_CLASSES, PITCHED, PITCHES, checked

# A window is taken for copied from this quantile of held-out real windows' likeness on.
COPIED_QUANTILE = 0.99
# Compared at once: the products of so many of each side take 30 MB.
_WINDOWS_AT_ONCE, _TRAINING_AT_ONCE = 256, 1024
# Pitch classes turn in a circle, so that all 12 transpositions at once are a product of Fourier coefficients.
_FREQUENCIES = PITCH_CLASSES // 2 + 1


def copied_from(likeness: np.ndarray) -> float:
    """The likeness that the nearest 1 % of held-out real windows have at least (linear between two); NaN without any.

    Args:
        likeness: `(n,)` of real windows to the training windows; NaN is left out.
    """
    present = likeness[~np.isnan(likeness)]
    return float(np.quantile(present, COPIED_QUANTILE)) if present.size else float("nan")


def copied_rate(likeness: np.ndarray, least: float) -> float:
    """Share of windows as near to a training window as the nearest 1 % of held-out real windows are; lower is better.

    Real music has .01 or a little more, for it repeats itself too: where more than 1 % of the real windows stand in
    the training set as they are (of chorales some 5 %), only such windows count, and theirs is the share.

    Args:
        likeness: `(n,)` of the windows to the training windows; NaN, a silent window, is left out.
        least: what `copied_from` says of real windows.

    Returns:
        Between 0 and 1; NaN where no window sounds or `least` is NaN.
    """
    present = likeness[~np.isnan(likeness)]
    return float((present >= least).mean()) if present.size and not np.isnan(least) else float("nan")


class TrainingWindows:
    """Training windows, kept as the few hundred bits of each that likeness is judged by."""

    def __init__(self, blocks: Iterable[np.ndarray]) -> None:
        """`blocks` are bool `(n, track, time, pitch)` each, of any n and one shape else; taken one at a time."""
        kept = [(np.packbits(pitched, axis=-1), np.packbits(drums, axis=-1)) for pitched, drums in map(_cells, blocks)]
        self._pitched, self._drums = (np.concatenate(part) for part in zip(*kept, strict=True)) if kept else ([], [])

    def likeness(self, rolls: np.ndarray) -> np.ndarray:
        """The largest similarity of each window to any training window, in whatever key either is: `(n,)`.

        A window's cells are (step, pitch class) of the pitched tracks together and (step, instrument) of the drums.
        Similarity = cells in both / cells in either (Jaccard), the highest of all 12 transpositions of the pitched
        ones: 1 for a window that was copied, transposed or given to other instruments or octaves. It is exact, over
        all pairs. What was copied from another place of a bar is not found.

        Real music repeats real music, and a window with few notes is like many: read it beside what held-out real
        windows score.

        Args:
            rolls: bool `(n, track, time, pitch)`, as many steps as the training windows.

        Returns:
            Between 0 and 1. NaN for a silent window, which copies nothing, and where there is no training window.

        Source: after the originality report of Yin et al. 2021, "Measuring when a music generation algorithm copies
        too much", whose similarity counts shared notes of two excerpts, the best of transpositions.
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
        # Drum cells that none of these windows has are shared with no training window.
        used = drums.reshape(len(drums), -1).any(axis=0)
        own_drums = drums.reshape(len(drums), -1)[:, used].astype(np.float32)
        for first in range(0, len(self._pitched), _TRAINING_AT_ONCE):
            part = slice(first, first + _TRAINING_AT_ONCE)
            their_pitched = np.unpackbits(self._pitched[part], axis=-1, count=PITCH_CLASSES)
            their_drums = np.unpackbits(self._drums[part], axis=-1)
            their_sizes = _size(their_pitched) + _size(their_drums)
            shared = _best_shared(spectrum, _spectrum(their_pitched))
            shared += own_drums @ their_drums.reshape(len(their_drums), -1)[:, used].astype(np.float32).T
            likeness = shared / np.maximum(sizes[:, None] + their_sizes - shared, 1)
            best = np.fmax(best, likeness.max(axis=1))
        best[sizes == 0] = np.nan
        return best


def _cells(rolls: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which pitch classes the pitched tracks have at each step, bool `(n, time, 12)`, and the drums' cells."""
    pitched = checked(rolls)[:, PITCHED[0]].copy()
    for track in PITCHED[1:]:
        pitched |= rolls[:, track]
    classes = np.zeros((*pitched.shape[:2], PITCH_CLASSES), bool)
    for lowest in range(0, PITCHES, PITCH_CLASSES):
        octave = pitched[..., lowest : lowest + PITCH_CLASSES]
        classes[..., : octave.shape[-1]] |= octave
    return classes, rolls[:, DRUMS]


def _size(cells: np.ndarray) -> np.ndarray:
    """Cells of each window, `(n,)` float32."""
    return cells.sum(axis=(1, 2), dtype=np.float32)


def _spectrum(pitched: np.ndarray) -> np.ndarray:
    """Fourier coefficients over pitch classes, complex64 `(7, n, time)`."""
    return np.moveaxis(pitched.astype(np.float32) @ _waves(), 2, 0)


def _best_shared(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Cells that each of ours (conjugated) shares with each of theirs in its best transposition, `(n, m)` float32.

    The counts of all transpositions are the circular correlation over pitch classes. They are whole numbers, so that
    rounding takes away what single precision adds.
    """
    products = ours @ theirs.transpose(0, 2, 1)
    by_transposition = _inverse() @ products.reshape(_FREQUENCIES, -1)
    return np.rint(by_transposition.real.max(axis=0)).reshape(products.shape[1:])


def _waves() -> np.ndarray:
    """`(12, 7)`, what takes pitch classes to the coefficients of a real Fourier transform."""
    turns = np.outer(np.arange(PITCH_CLASSES), np.arange(_FREQUENCIES)) / PITCH_CLASSES
    return np.exp(-2j * np.pi * turns).astype(np.complex64)


def _inverse() -> np.ndarray:
    """`(12, 7)`, whose product with coefficients has the transform's inverse as its real part."""
    twice = np.where(np.arange(_FREQUENCIES) % (PITCH_CLASSES // 2) == 0, 1, 2)
    return (_waves().conj() * twice / PITCH_CLASSES).astype(np.complex64)
