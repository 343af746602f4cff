"""How features of single windows are distributed in a set, and how far these distributions are from real ones."""

from dataclasses import dataclass

import numpy as np

from musiclab.data.songs import DRUMS
from musiclab.measures.notes import in_blocks, note_starts, packed
from musiclab.measures.rolls import PITCHED, PITCHES, cells_by_pitch, packed_by_step, pitch_classes, ratio

# Distances of a feature are counted on a grid of this many steps between its outer edges.
_GRID = 512
# The kernel ends where the Gaussian has fallen to 3 in 10,000 of its height.
_KERNEL_SDS = 4


@dataclass(frozen=True)
class Feature:
    """A number that each window has, and the bins of its histograms.

    Attributes:
        title: one line for a chart's axis.
        unit: of the value.
        edges: of the bins, ascending, one more than there are bins. A bin includes its lower edge; the last bin
            includes both. Values outside count in the first or the last bin.
    """

    title: str
    unit: str
    edges: tuple[float, ...]


def _bins(title: str, unit: str, low: float, high: float, bins: int) -> Feature:
    return Feature(title, unit, tuple(float(edge) for edge in np.linspace(low, high, bins + 1)))


FEATURES: dict[str, Feature] = {
    "onsets": _bins("Onsets of pitched tracks", "onsets/beat", 0, 16, 32),
    "note_length": _bins("Mean length of a pitched note", "beats", 0, 8, 32),
    "polyphony": _bins("Pitched notes at a step that has any", "notes", 0, 16, 32),
    "pitch_classes": _bins("Pitch classes used", "pitch classes", -0.5, 12.5, 13),
    "mean_pitch": _bins("Mean pitch", "MIDI pitch", 24, 96, 24),
    "pitch_range": _bins("From the lowest to the highest pitch", "semitones", 0, 96, 24),
    "drum_hits": _bins("Drum hits", "hits/beat", 0, 8, 32),
    "silence": _bins("Steps at which nothing sounds", "share", 0, 1, 20),
    "tracks": _bins("Tracks that sound", "tracks", -0.5, 5.5, 6),
}


def features(rolls: np.ndarray, resolution: int) -> np.ndarray:
    """The value of each feature of each window.

    Of all pitched tracks together:
        onsets: onsets per beat;
        note_length: sounding cells / onsets, in beats;
        polyphony: sounding cells / steps at which any pitched track sounds (two tracks in unison count twice);
        pitch_classes: how many are used;
        mean_pitch: of the sounding cells;
        pitch_range: from the lowest to the highest pitch.
    Of drums:
        drum_hits: hits per beat.
    Of all tracks:
        silence: the share of steps without any note;
        tracks: how many have a note.

    A window without a pitched note has NaN for note length, polyphony, mean pitch and range. Its other features have
    their values: 0 for onsets and pitch classes.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        resolution: steps a beat.

    Returns:
        float64 `(n, feature)` in the order of FEATURES.
    """
    return in_blocks(lambda block: _features(block, resolution), rolls)


def histograms(values: np.ndarray) -> dict[str, list[int]]:
    """How many windows lie in each bin of each feature, given the values of `features`; NaN lies in no bin."""
    return {
        name: np.histogram(_inside(column, feature.edges), feature.edges)[0].tolist()
        for (name, feature), column in zip(FEATURES.items(), values.T, strict=True)
    }


@dataclass(frozen=True)
class Overlap:
    """Two comparisons of distributions of distances, see `distances_compared`; both NaN if there are no distances."""

    area: float
    kl: float


def distances_compared(generated: np.ndarray, real: np.ndarray, feature: Feature) -> Overlap:
    """Whether generated windows are as far from real ones in a feature as real ones are from each other.

    p is the density of the distances |x - y| between all pairs of different real windows (a window's distance 0 from
    itself does not count), and q that of the distances between all generated and all real windows. Then

        area = sum min(p, q), between 0 and 1, higher is better;
        kl = sum p ln(p / q), in nats, at least 0, lower is better.

    Both densities are Gaussian kernel estimates on one grid. Values are clipped to the feature's outer edges and
    rounded to the nearest of the 512 steps between them. Then the distances of all pairs are counted exactly. Both
    densities have the same bandwidth, so that only the data make them differ. It follows Scott's rule for the
    distances between real windows (sd x pairs^(-1/5)), but is at least one step of the grid. Each density gets one
    imaginary pair, spread evenly over the grid, so that the divergence is never infinite. With the 73,000 pairs of 384
    real windows it is at most about 20 nats.

    A set at the middle of the real one scores well although it has no variety, so read diversity beside it.

    Args:
        generated: values `(n,)`; NaN is left out.
        real: values `(m,)`; NaN is left out.
        feature: the feature that the values are of.

    Returns:
        NaN for both if there is no generated value or if there are fewer than two real ones.

    Source: Yang and Lerch 2020, "On the evaluation of generative models in music" (intra-set against inter-set).
    """
    generated_counts, real_counts = (_on_grid(values, feature.edges) for values in (generated, real))
    if not generated_counts.sum() or real_counts.sum() < 2:
        return Overlap(float("nan"), float("nan"))
    within = _distance_counts(real_counts, real_counts)
    within[0] -= real_counts.sum()
    kernel = _kernel(within)
    p, q = (_density(counts, kernel) for counts in (within, _distance_counts(generated_counts, real_counts)))
    return Overlap(float(np.minimum(p, q).sum()), float(max(0.0, (p * np.log(p / q)).sum())))


def _features(rolls: np.ndarray, resolution: int) -> np.ndarray:
    """`features` of all windows at once."""
    bits = packed(rolls)
    steps = bits.shape[2]
    by_step, starts_by_step = (packed_by_step(marked) for marked in (bits, note_starts(bits)))
    by_pitch = cells_by_pitch(rolls[:, PITCHED]).sum(axis=1)
    cells, notes = by_pitch.sum(axis=1), starts_by_step[:, PITCHED].sum(axis=(1, 2))
    hits = starts_by_step[:, DRUMS].sum(axis=1)
    used = by_pitch > 0
    lowest, highest = used.argmax(axis=1), PITCHES - 1 - used[:, ::-1].argmax(axis=1)
    columns = {
        "onsets": notes * resolution / steps,
        "note_length": ratio(cells, notes * resolution),
        "polyphony": ratio(cells, by_step[:, PITCHED].any(axis=1).sum(axis=1)),
        "pitch_classes": (pitch_classes(by_pitch) > 0).sum(axis=1),
        "mean_pitch": ratio(by_pitch @ np.arange(PITCHES), cells),
        "pitch_range": np.where(cells > 0, highest - lowest, np.nan),
        "drum_hits": hits * resolution / steps,
        "silence": (~by_step.any(axis=1)).mean(axis=1),
        "tracks": by_step.any(axis=2).sum(axis=1),
    }
    return np.stack([columns[name] for name in FEATURES], axis=1).astype(np.float64)


def _inside(values: np.ndarray, edges: tuple[float, ...]) -> np.ndarray:
    """The values that are not NaN, clipped to the outer edges."""
    clipped: np.ndarray = np.clip(values[~np.isnan(values)], edges[0], edges[-1])
    return clipped


def _on_grid(values: np.ndarray, edges: tuple[float, ...]) -> np.ndarray:
    """How many values lie nearest to each of the grid's points, `(_GRID + 1,)` float64."""
    places = np.rint((_inside(values, edges) - edges[0]) * (_GRID / (edges[-1] - edges[0])))
    return np.bincount(places.astype(np.int64), minlength=_GRID + 1).astype(np.float64)


def _distance_counts(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How many pairs of a value counted in `a` and one counted in `b` are 0, 1, ... steps apart, `(_GRID + 1,)`."""
    by_lag = np.rint(np.correlate(a, b, "full"))
    result = by_lag[_GRID:].copy()
    result[1:] += by_lag[_GRID - 1 :: -1]
    return result


def _kernel(counts: np.ndarray) -> np.ndarray:
    """Gaussian weights by step, with sum 1 and Scott's bandwidth, for distances of pairs that are counted twice."""
    steps, total = np.arange(len(counts)), counts.sum()
    mean = (counts @ steps) / total
    sd = np.sqrt((counts @ (steps - mean) ** 2) / total)
    bandwidth = max(1.0, sd * (total / 2) ** -0.2)
    reach = int(np.ceil(_KERNEL_SDS * bandwidth))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / bandwidth) ** 2)
    kernel: np.ndarray = weights / weights.sum()
    return kernel


def _density(counts: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Smoothed share of distances at each step, with one imaginary pair spread evenly over all steps."""
    smooth = np.convolve(counts, kernel)
    density: np.ndarray = (smooth + 1 / len(smooth)) / (counts.sum() + 1)
    return density
