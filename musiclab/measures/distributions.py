"""How features of single windows are distributed in a set, and how far generated windows lie from real ones by them."""

from dataclasses import dataclass

import numpy as np

from musiclab.measures.notes import in_blocks, note_starts, packed
from musiclab.measures.rolls import DRUMS, PITCHED, PITCHES, cells_by_pitch, packed_by_step, pitch_classes, ratio

# Steps of the grid that distances of a feature are counted on, between the first and the last of its edges.
_GRID = 512
# The kernel ends where a Gaussian is 3 in 10,000 of its height.
_KERNEL_SDS = 4


@dataclass(frozen=True)
class Feature:
    """A number of each window, and the bins that its histograms have everywhere.

    Attributes:
        title: one line for a chart's axis.
        unit: of the value.
        edges: of the bins, ascending, one more than bins. A bin holds its lower edge, the last one both. What lies
            outside counts in the first or the last bin.
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
    """The value of each feature of each window, float64 `(n, feature)` in the order of FEATURES.

    Of all pitched tracks together: `onsets` a beat; `note_length` = sounding cells / onsets, in beats; `polyphony` =
    sounding cells / steps at which any sounds (two tracks in unison count twice); `pitch_classes`, how many are used;
    `mean_pitch` of the sounding cells; `pitch_range` from the lowest to the highest pitch. Of drums `drum_hits` a beat.
    Of all tracks `silence`, the share of steps without any note, and `tracks`, how many have one.

    Without a pitched note a window has no note length, polyphony, mean pitch and range: NaN there, and 0 else.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        resolution: steps a beat.
    """
    return in_blocks(lambda part: _features(part, resolution), rolls)


def histograms(values: np.ndarray) -> dict[str, list[int]]:
    """How many windows lie in each bin of each feature, from what `features` gives; NaN lies in none."""
    return {
        name: np.histogram(_inside(column, feature.edges), feature.edges)[0].tolist()
        for (name, feature), column in zip(FEATURES.items(), values.T, strict=True)
    }


@dataclass(frozen=True)
class Overlap:
    """Two ways to compare distributions of distances, see `distances_compared`; both NaN where there are none."""

    area: float
    kl: float


def distances_compared(generated: np.ndarray, real: np.ndarray, feature: Feature) -> Overlap:
    """Whether generated windows are as far from real ones in a feature as these are from one another.

    Two densities: p of the distances |x - y| between all pairs of different real windows (leave-one-out, or a window's
    distance 0 from itself would count), and q of those between all generated and real windows. Then

        area = sum min(p, q), between 0 and 1, higher is better;
        kl = sum p ln(p / q), in nats, at least 0, lower is better.

    Both densities are Gaussian kernel estimates on one grid: values, cut off at the feature's outer edges, count at the
    nearest of 512 steps between these, and distances of all pairs are then counted exactly. Both have one bandwidth,
    by Scott's rule that of the distances between real windows (sd x pairs^(-1/5)), a step of the grid at least, so that
    they differ by what they estimate alone. Each has one imaginary pair, spread evenly over the grid, so that the
    divergence is never infinite; with the 73,000 pairs of 384 real windows, at most about 20 nats.

    A set at the middle of the real one scores well though it has no variety: read diversity beside it.

    Args:
        generated: values `(n,)`; NaN is left out.
        real: values `(m,)`; NaN is left out.
        feature: what they are of.

    Returns:
        NaN for no generated and for fewer than two real values.

    Source: Yang and Lerch 2020, "On the evaluation of generative models in music" (intra-set against inter-set).
    """
    ours, theirs = (_on_grid(values, feature.edges) for values in (generated, real))
    if not ours.sum() or theirs.sum() < 2:
        return Overlap(float("nan"), float("nan"))
    within = _distance_counts(theirs, theirs)
    within[0] -= theirs.sum()
    kernel = _kernel(within)
    p, q = (_density(counts, kernel) for counts in (within, _distance_counts(ours, theirs)))
    return Overlap(float(np.minimum(p, q).sum()), float(max(0.0, (p * np.log(p / q)).sum())))


def _features(rolls: np.ndarray, resolution: int) -> np.ndarray:
    bits = packed(rolls)
    steps = bits.shape[2]
    by_step, begun = (packed_by_step(each) for each in (bits, note_starts(bits)))
    by_pitch = cells_by_pitch(rolls[:, PITCHED]).sum(axis=1)
    cells, notes, hits = by_pitch.sum(axis=1), begun[:, PITCHED].sum(axis=(1, 2)), begun[:, DRUMS].sum(axis=1)
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
    """The values that are not NaN, cut off at the outer edges."""
    return np.clip(values[~np.isnan(values)], edges[0], edges[-1])


def _on_grid(values: np.ndarray, edges: tuple[float, ...]) -> np.ndarray:
    """How many values lie nearest to each of the grid's points, `(_GRID + 1,)` float64."""
    places = np.rint((_inside(values, edges) - edges[0]) * (_GRID / (edges[-1] - edges[0])))
    return np.bincount(places.astype(np.int64), minlength=_GRID + 1).astype(np.float64)


def _distance_counts(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How many pairs of one value counted in a and one in b are each number of steps apart, `(_GRID + 1,)`."""
    by_lag = np.rint(np.correlate(a, b, "full"))
    result = by_lag[_GRID:].copy()
    result[1:] += by_lag[_GRID - 1 :: -1]
    return result


def _kernel(counts: np.ndarray) -> np.ndarray:
    """Gaussian weights by step, adding up to 1, of Scott's bandwidth for distances whose pairs are counted twice."""
    steps, total = np.arange(len(counts)), counts.sum()
    mean = (counts @ steps) / total
    sd = np.sqrt((counts @ (steps - mean) ** 2) / total)
    bandwidth = max(1.0, sd * (total / 2) ** -0.2)
    reach = int(np.ceil(_KERNEL_SDS * bandwidth))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / bandwidth) ** 2)
    return weights / weights.sum()


def _density(counts: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Share of distances at each step, smoothed, with one imaginary pair spread evenly."""
    smooth = np.convolve(counts, kernel)
    return (smooth + 1 / len(smooth)) / (counts.sum() + 1)
