"""All measures of one kind at once, as flat dicts from full name to float, ready for a record."""

import numpy as np

from musiclab.data.songs import TRACKS
from musiclab.measures.latent import active_units, kl_per_dimension
from musiclab.measures.music import (
    PITCHED_PAIRS,
    empty_bars,
    note_density,
    pair_name,
    tonal_distance,
    used_pitch_classes,
)
from musiclab.measures.reconstruction import frame_scores, onset_scores
from musiclab.measures.rolls import nan_mean
from musiclab.measures.sets import diversity_ratio, embed, frechet_distance, start_sensitivity

# Ends the key of what real music scores against real music.
FLOOR = ".floor"


def music_measures(rolls: np.ndarray, resolution: int) -> dict[str, float]:
    """Every measure of the group `music`: one value a track or pair, and their mean under the plain name.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        resolution: steps a beat.

    Returns:
        Keys such as `music/empty_bars`, `music/empty_bars.Piano`, `music/tonal_distance.Piano-Guitar`. Values are NaN
        where a measure says so (a silent track has no pitch classes); means are over the values that are not.
    """
    pairs = [pair_name(pair) for pair in PITCHED_PAIRS]
    return (
        _by_part("music/empty_bars", empty_bars(rolls, resolution), TRACKS)
        | _by_part("music/used_pitch_classes", used_pitch_classes(rolls, resolution), TRACKS)
        | _by_part("music/tonal_distance", tonal_distance(rolls, resolution), pairs)
        | _by_part("music/note_density", note_density(rolls, resolution), TRACKS)
    )


def reconstruction_measures(predicted: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    """Frame and onset precision, recall and F1, one value a track and their mean under the plain name.

    Args:
        predicted: bool `(n, track, time, pitch)`, what was decoded.
        actual: bool, the same shape, what was encoded.

    Returns:
        Keys such as `latent/frame_f1`, `latent/onset_recall.Bass`; NaN rules at `reconstruction.Scores`.
    """
    result = {}
    for kind, scores in (("frame", frame_scores(predicted, actual)), ("onset", onset_scores(predicted, actual))):
        result |= _by_part(f"latent/{kind}_f1", scores.f1, TRACKS)
        result |= _by_part(f"latent/{kind}_precision", scores.precision, TRACKS)
        result |= _by_part(f"latent/{kind}_recall", scores.recall, TRACKS)
    return result


def posterior_measures(posteriors: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """`latent/active_units`, and `latent/kl` summed over dimensions, one value a track and their mean.

    Args:
        posteriors: by track, means `(n, K)` and log-sigmas `(n, K)`, `(n, 1)` or `(n,)`; tracks without a VAE left out.
    """
    active = np.array([active_units(means) for means, _ in posteriors.values()])
    kl = np.array([kl_per_dimension(means, log_sigma).sum() for means, log_sigma in posteriors.values()])
    return _by_part("latent/active_units", active, list(posteriors)) | _by_part("latent/kl", kl, list(posteriors))


def set_measures(
    generated: np.ndarray, starts: np.ndarray, reference: np.ndarray, resolution: int, frechet_windows: int
) -> dict[str, float]:
    """Every measure of the group `set`: generated windows against held-out real ones.

    Args:
        generated: bool `(n, track, time, pitch)`.
        starts: `(n,)`, which start window each one continues, see `start_sensitivity`.
        reference: bool `(m, track, time, pitch)`, real windows of held-out songs, as many steps as `generated`. It
            also sets the scale of the Frechet distance, so keep it the same for everything that is to be compared.
        resolution: steps a beat.
        frechet_windows: how many of the generated windows, spread evenly over them, the Frechet distance takes; it
            grows as sets get smaller, so take as many as those that it is compared with have.
    """
    real = embed(reference, resolution)
    spread = np.arange(frechet_windows) * len(generated) // max(1, frechet_windows)
    return {
        "set/frechet": frechet_distance(embed(generated[spread], resolution), real, real),
        "set/diversity_ratio": diversity_ratio(generated, reference),
        "set/start_sensitivity": start_sensitivity(generated, starts, reference),
    }


def floors(
    other: np.ndarray,
    other_songs: np.ndarray,
    reference: np.ndarray,
    reference_songs: np.ndarray,
    resolution: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    """What real music scores against real music: windows of two disjoint sets of held-out songs, compared.

    Keys and their meaning:
        `music/...` and `set/start_sensitivity`: the value on the reference, which is the real value that
        `better="real"` asks for (windows of one song standing for those that continue one start window);
        the same with `.floor`: its absolute difference from the value on the other songs;
        `set/frechet.floor`: the distance between the two sets;
        `set/diversity_ratio`: 1, its real value by definition; with `.floor`, how far the quotient is from 1;
        `latent/frame_f1.floor` and its like: the score of taking, for each reference window, some window of the other
        songs, drawn evenly; what a decoder scores that ignores its code and plays other real music.

    Args:
        other: bool `(n, track, time, pitch)`. As many as the generated windows, so that the distances compare.
        other_songs: `(n,)`, which song each window is of; any values that compare equal.
        reference: bool `(m, track, time, pitch)`, those that generated windows are measured against.
        reference_songs: `(m,)`.
        resolution: steps a beat.
        rng: draws the pairs.
    """
    theirs, real = music_measures(other, resolution), music_measures(reference, resolution)
    theirs["set/start_sensitivity"] = start_sensitivity(other, other_songs, reference)
    real["set/start_sensitivity"] = start_sensitivity(reference, reference_songs, reference)
    result = real | {name + FLOOR: abs(theirs[name] - real[name]) for name in real}
    scale = embed(reference, resolution)
    result["set/frechet" + FLOOR] = frechet_distance(embed(other, resolution), scale, scale)
    result["set/diversity_ratio"] = 1.0
    result["set/diversity_ratio" + FLOOR] = abs(diversity_ratio(other, reference) - 1)
    if len(other):
        partners = other[rng.integers(len(other), size=len(reference))]
        chance = reconstruction_measures(partners, reference)
        result |= {name + FLOOR: value for name, value in chance.items()}
    return result


def _by_part(name: str, values: np.ndarray, parts: list[str] | tuple[str, ...]) -> dict[str, float]:
    """The mean of the values that are not NaN under `name`, and each value under `name.part`."""
    by_part = {f"{name}.{part}": float(value) for part, value in zip(parts, values, strict=True)}
    return {name: nan_mean(values)} | by_part
