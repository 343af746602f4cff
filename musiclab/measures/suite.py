"""All measures of one group together, as flat dicts from full name to float, ready for a record."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from musiclab.data.songs import TRACKS
from musiclab.measures.bins import bins_compared, distinct_windows
from musiclab.measures.distributions import FEATURES, distances_compared
from musiclab.measures.embedding import frechet_distance
from musiclab.measures.fidelity import fidelity, scaled
from musiclab.measures.latent import active_units, collapsed, kl_per_dimension, prior_gap
from musiclab.measures.music import (
    PITCHED_PAIRS,
    empty_bars,
    harmony_gain,
    note_density,
    pair_name,
    tonal_distance,
    used_pitch_classes,
)
from musiclab.measures.originality import copied_rate
from musiclab.measures.pairs import mean_distance
from musiclab.measures.ranking import ranking
from musiclab.measures.reconstruction import best_constant, frame_scores, onset_scores
from musiclab.measures.rhythm import drum_pattern, groove_similarity, note_length, note_length_entropy, qualified_notes
from musiclab.measures.rolls import nan_mean, ratio
from musiclab.measures.structure import LAGS, self_similarity
from musiclab.measures.style import retrieval, similarity, song_likeness, specificity
from musiclab.measures.tonality import pitch_class_entropy, pitch_range, polyphony, scale_consistency
from musiclab.measures.variety import noise_distances
from musiclab.measures.window_set import WindowSet

# A perplexity is at most 1e30: a record has no infinity, and the mean of two of the largest floats would overflow.
_MOST_NATS = 30 * math.log(10)


def music_measures(rolls: np.ndarray, resolution: int) -> dict[str, float]:
    """Every measure of the group `music` that single windows have; those of pieces are in `structure_measures`.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        resolution: steps a beat.

    Returns:
        Keys such as `music/empty_bars`, `music/empty_bars.Piano`, `music/tonal_distance.Piano-Guitar`. A value is NaN
        if the measure's rule says so (a silent track has no pitch classes). For the measures of `music.py` the plain
        name has the mean of the values that are not NaN; for all others the value of the pitched tracks together.
    """
    pair_names = [pair_name(pair) for pair in PITCHED_PAIRS]
    return (
        _by_part("music/empty_bars", empty_bars(rolls, resolution), TRACKS)
        | _by_part("music/used_pitch_classes", used_pitch_classes(rolls, resolution), TRACKS)
        | _by_part("music/tonal_distance", tonal_distance(rolls, resolution), pair_names)
        | _by_part("music/harmony_gain", harmony_gain(rolls, resolution), pair_names)
        | _by_part("music/note_density", note_density(rolls, resolution), TRACKS)
        | _together("music/pitch_class_entropy", pitch_class_entropy(rolls))
        | _together("music/scale_consistency", scale_consistency(rolls))
        | _together("music/pitch_range", pitch_range(rolls))
        | _together("music/polyphony", polyphony(rolls))
        | _together("music/note_length", note_length(rolls, resolution))
        | _together("music/note_length_entropy", note_length_entropy(rolls))
        | _together("music/qualified_notes", qualified_notes(rolls, resolution))
        | {"music/drum_pattern": drum_pattern(rolls, resolution)}
        | _together("music/groove_similarity", groove_similarity(rolls, resolution))
    )


def structure_measures(pieces: list[np.ndarray], resolution: int) -> dict[str, float]:
    """The measures of the group `music` that need whole pieces: likeness of a bar to later bars.

    Args:
        pieces: bool `(track, time, pitch)` each, of any length, starting at a bar line: a whole song, or all windows of
            a continuation joined.
        resolution: steps a beat.

    Returns:
        Keys such as `music/self_similarity_4` of the pitched tracks together, and `music/self_similarity_4.Drums` of
        each track. NaN if no piece has sounding bars that far apart.
    """
    result: dict[str, float] = {}
    for lag, values in zip(LAGS, self_similarity(pieces, resolution), strict=True):
        result |= _together(f"music/self_similarity_{lag}", values)
    return result


def reconstruction_measures(predicted: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    """Frame and onset precision, recall and F1, and the ratio of densities, by track and as the mean over tracks.

    `latent/density_ratio` = cells predicted / cells in `actual`. Best at 1, which does not tell whether the cells are
    the right ones. NaN for a track that is silent in `actual`.

    Args:
        predicted: bool `(n, track, time, pitch)`, the decoded windows.
        actual: bool, the same shape, the windows that were encoded.

    Returns:
        Keys such as `latent/frame_f1`, `latent/onset_recall.Bass`; see `reconstruction.Scores` for when they are NaN.
    """
    density = ratio(predicted.sum(axis=(0, 2, 3)), actual.sum(axis=(0, 2, 3)))
    result = _by_part("latent/density_ratio", density, TRACKS)
    for kind, scores in (("frame", frame_scores(predicted, actual)), ("onset", onset_scores(predicted, actual))):
        result |= _by_part(f"latent/{kind}_f1", scores.f1, TRACKS)
        result |= _by_part(f"latent/{kind}_precision", scores.precision, TRACKS)
        result |= _by_part(f"latent/{kind}_recall", scores.recall, TRACKS)
    return result


def activation_measures(activations: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    """Measures of a decoder's output before any threshold, by track and as the mean over tracks.

    `latent/frame_auprc` and `latent/best_frame_f1` are `Ranking.average_precision` and `Ranking.best_f1` of all cells
    of a track. The second uses the threshold that is best on these very windows, so it is an upper bound of
    `latent/frame_f1`.

    `latent/mse` is the mean of (activation - cell)^2; lower is better. With a Gaussian likelihood, read it beside its
    sigma; with a Bernoulli likelihood, it is the Brier score. Rolls are so sparse that silence has a small error too:
    the share of cells that are on. NaN if an activation is infinite.

    Args:
        activations: float `(n, track, time, pitch)`; -inf for a track that has no decoder and never sounds.
        actual: bool, the same shape, the windows that were encoded.
    """
    tracks = [(activations[:, track], actual[:, track]) for track in range(len(TRACKS))]
    rankings = [ranking(decoded, real) for decoded, real in tracks]
    # One track at a time, so that temporary arrays are a fifth as large.
    mse = np.array(
        [float(ratio(np.square(decoded - real).sum(dtype=np.float64), real.size)) for decoded, real in tracks]
    )
    return (
        _by_part("latent/frame_auprc", np.array([track.average_precision for track in rankings]), TRACKS)
        | _by_part("latent/best_frame_f1", np.array([track.best_f1 for track in rankings]), TRACKS)
        | _by_part("latent/mse", np.where(np.isinf(mse), np.nan, mse), TRACKS)
    )


def posterior_measures(posteriors: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """The measures of `latent.py` for posteriors, by track and as the mean over tracks.

    `latent/active_units`, `latent/collapsed` and `latent/prior_gap`; `latent/kl`, summed over dimensions; and
    `latent/posterior_sd`, the mean of sigma over windows and dimensions, in latent units, to compare noise with.

    Args:
        posteriors: by track, means `(n, K)` and log-sigmas `(n, K)`, `(n, 1)` or `(n,)`. Tracks without a VAE are left
            out.
    """
    kl_by_track = [kl_per_dimension(means, log_sigma) for means, log_sigma in posteriors.values()]
    values: dict[str, Sequence[float]] = {
        "active_units": [active_units(means) for means, _ in posteriors.values()],
        "kl": [kl.sum() for kl in kl_by_track],
        "collapsed": [collapsed(kl) for kl in kl_by_track],
        "prior_gap": [prior_gap(means, log_sigma) for means, log_sigma in posteriors.values()],
        "posterior_sd": [nan_mean(np.exp(log_sigma)) for _, log_sigma in posteriors.values()],
    }
    return _latent(values, posteriors)


def likelihood_measures(likelihoods: dict[str, tuple[float, float, float]]) -> dict[str, float]:
    """`latent/sigma`, `latent/elbo` and `latent/iw_bound`, by track and as the mean over tracks.

    Args:
        likelihoods: by track, the sigma of a Gaussian likelihood, and the two bounds of log p(x) in nats per window. A
            number that the likelihood does not have is NaN: a Gaussian density of cells that are on or off is not
            their probability, so it has no bounds. Tracks without a VAE are left out.
    """
    columns = np.array(list(likelihoods.values())).reshape(-1, 3).T
    return _latent(dict(zip(("sigma", "elbo", "iw_bound"), columns, strict=True)), likelihoods)


def noise_response_measures(
    decoded: np.ndarray, own: np.ndarray, noisy: Iterable[tuple[float, np.ndarray]], real: np.ndarray
) -> dict[str, float]:
    """How much decoded windows change with noise on their codes: 0 not at all, 1 as much as real windows differ.

    Mean Jaccard distance between a window decoded from its code and the window decoded from the code with noise / mean
    distance of real windows, of all tracks together. The distance of two silent windows is 0. It describes, so no
    direction is better. The decoder was trained to ignore noise of the posterior's own sd, so the code does not
    determine what such noise changes.

    Args:
        decoded: bool `(n, track, time, pitch)`, decoded from the posterior means.
        own: bool, the same shape, decoded with noise of each posterior's own sd: draws from the posteriors.
        noisy: for each sd, which is the same for all dimensions, what was decoded with noise of it; read one at a time.
        real: bool `(m, track, time, pitch)`, real windows of as many steps.

    Returns:
        `latent/noise_response` of `own`, and for each sd of `noisy` a key such as `latent/noise_response.at_0.5`; each
        at least 0. NaN if there are fewer than two real windows or only equal ones, and if nothing sounds with or
        without noise.
    """
    real_distance = mean_distance(real)

    def response(changed: np.ndarray) -> float:
        return float(ratio(noise_distances(np.stack([decoded, changed], axis=1)[:, :, None])[0], real_distance))

    at_sds = {f"latent/noise_response.at_{sd:g}": response(changed) for sd, changed in noisy}
    return {"latent/noise_response": response(own)} | at_sds


def next_window_measures(
    predicted: np.ndarray, last: np.ndarray, mean_window: np.ndarray, actual: np.ndarray
) -> dict[str, float]:
    """How well the next window is predicted, and how much better than by two simple guesses; higher is better.

    All are frame F1 (`reconstruction.frame_scores`), by track and as the mean over tracks:
        `next/next_f1`: of the predicted windows against the actual ones;
        `next/gain_over_repeat`: that minus the F1 of repeating the last window;
        `next/gain_over_average`: that minus the F1 of always predicting the average window. For each track it is made
            binary at the threshold that is best on `actual` itself, which favours this baseline over any model.

    A gain is NaN if one of its two scores is NaN, because a track is silent in both sets compared. Means are over the
    tracks that have a value.

    Args:
        predicted: bool `(n, track, time, pitch)`.
        last: bool, the same shape, the windows before.
        mean_window: `(track, time, pitch)`, the mean of the training windows, or another average.
        actual: bool `(n, track, time, pitch)`, the windows that came next.
    """
    own, repeat = frame_scores(predicted, actual).f1, frame_scores(last, actual).f1
    average = best_constant(mean_window, actual)
    return (
        _by_part("next/next_f1", own, TRACKS)
        | _by_part("next/gain_over_repeat", own - repeat, TRACKS)
        | _by_part("next/gain_over_average", own - average, TRACKS)
    )


def token_measures(nats_a_token: float, unigram_nats_a_token: float) -> dict[str, float]:
    """Perplexity of held-out tokens, that of the unigram, and the bits that a model saves over the unigram.

    With H the mean negative log-likelihood of a token in nats:
        `tokens/perplexity`: exp(H), in tokens, at least 1; lower is better;
        `tokens/unigram_perplexity`: the same for guessing by token frequency;
        `tokens/bits_over_unigram`: (H_unigram - H) / ln 2, in bits per token; higher is better, and 0 means that the
            model learned only frequencies.

    A perplexity above 1e30, infinity included, is returned as 1e30. The bits have the true difference; they are NaN if
    one side is infinite. If an argument is NaN, so are the values that depend on it.

    Args:
        nats_a_token: mean negative log-likelihood of a held-out token under the model, in nats.
        unigram_nats_a_token: the same under the frequencies of the training tokens.
    """
    saved = (unigram_nats_a_token - nats_a_token) / math.log(2)
    return {
        "tokens/perplexity": _perplexity(nats_a_token),
        "tokens/unigram_perplexity": _perplexity(unigram_nats_a_token),
        "tokens/bits_over_unigram": float(saved) if math.isfinite(saved) else float("nan"),
    }


def style_measures(
    generated: np.ndarray, targets: np.ndarray, songs: list[np.ndarray], resolution: int
) -> dict[str, float]:
    """Every measure of the group `style`: are continuations like their target, a song or a mixture of songs?

    Means over continuations of `style.similarity`, `style.specificity` and `style.retrieval`; higher is better for all
    three. Similarity alone says little, because any two songs have much in common, so read the specificity. NaN if
    there are no continuations; specificity and retrieval also if all songs are part of the target.

    Args:
        generated: bool `(n, windows, track, time, pitch)`: n continuations, each compared by all its windows together.
        targets: float `(n, len(songs))`, the weight of each song in each continuation's target; rows sum to 1.
        songs: bool `(m_i, track, time, pitch)` each, all windows of every song that could be a target.
        resolution: steps a beat.

    Raises:
        ValueError: `targets` has another shape.
    """
    if np.shape(targets) != (len(generated), len(songs)):
        raise ValueError(f"targets must be {(len(generated), len(songs))}; got {np.shape(targets)}.")
    likeness = song_likeness(list(generated), songs, resolution)
    return {
        "style/similarity": nan_mean(similarity(likeness, targets)),
        "style/specificity": nan_mean(specificity(likeness, targets)),
        "style/retrieval": nan_mean(retrieval(likeness, targets)),
    }


def set_measures(continuations: np.ndarray, reference: WindowSet, windows: int) -> dict[str, float]:
    """The measures of the group `set` that need only generated and held-out real windows.

    Means over pairs of real windows use as many reference windows as there are generated ones, or all if there are
    fewer.

    Args:
        continuations: bool `(start, variation, continuation, track, time, pitch)`.
        reference: real windows of held-out songs, with as many steps as generated ones. They also set the scale of the
            embedding, so use the same for everything that is to be compared.
        windows: how many windows of the first variations, spread evenly over them, are compared with the reference.
            These measures depend on the size of the set, so it must be the same for all sets that are compared. Only
            one variation of each start is used, because without noise the others are copies, which is no fault of the
            system.

    Returns:
        The plain name has the value of whole windows. Only `set/overlap_area` and `set/feature_kl` have the mean over
        features there, and keys such as `set/overlap_area.mean_pitch` for each feature.
        `set/noise_sensitivity.Bass` is the value of one track.
    """
    starts = np.repeat(np.arange(len(continuations)), math.prod(continuations.shape[1:3]))
    every = WindowSet(continuations.reshape(-1, *continuations.shape[3:]), starts, reference.resolution)
    real = reference.first(len(every.rolls))
    generated = WindowSet(*first_variations(continuations, windows), reference.resolution)
    noise_sensitivity = _noise(continuations, real)
    return (
        comparison_measures(generated, reference)
        | variety_measures(every, real)
        | _by_part("set/noise_sensitivity", noise_sensitivity[1:], TRACKS)
        | {"set/noise_sensitivity": float(noise_sensitivity[0])}
    )


def first_variations(continuations: np.ndarray, windows: int) -> tuple[np.ndarray, np.ndarray]:
    """At most `windows` windows of the first variations, `(n, track, time, pitch)`, spread evenly; and their starts."""
    first = continuations[:, 0].reshape(-1, *continuations.shape[3:])
    count = min(windows, len(first))
    spread = np.arange(count) * len(first) // max(1, count)
    return first[spread], spread // max(1, continuations.shape[2])


def training_measures(likeness: np.ndarray, least: float) -> dict[str, float]:
    """`set/training_similarity`, the mean likeness to the nearest training window, and `set/copied_rate`.

    Args:
        likeness: `(n,)` of generated windows, see `originality.TrainingWindows.likeness`.
        least: the likeness from which a window counts as copied, the baseline COPIED_FROM.
    """
    return {"set/training_similarity": nan_mean(likeness), "set/copied_rate": copied_rate(likeness, least)}


def descriptive_measures(windows: WindowSet) -> dict[str, float]:
    """Every measure of the group `music`."""
    return music_measures(windows.rolls, windows.resolution) | structure_measures(
        list(windows.pieces), windows.resolution
    )


def comparison_measures(generated: WindowSet, reference: WindowSet) -> dict[str, float]:
    """The measures of the group `set` that compare one set of windows with the reference, or count its duplicates."""
    scale = reference.embedding
    generated_vectors, real_vectors = scaled(generated.embedding, scale), scaled(scale, scale)
    # Precision, recall, density and coverage need sets of equal size.
    size = min(len(generated_vectors), len(real_vectors))
    neighbours = fidelity(generated_vectors[:size], real_vectors[:size])
    bins = bins_compared(generated_vectors, real_vectors, reference.bin_centres)
    overlaps = [
        distances_compared(generated.features[:, column], reference.features[:, column], feature)
        for column, feature in enumerate(FEATURES.values())
    ]
    return (
        {
            "set/frechet": frechet_distance(generated.embedding, scale, scale),
            "set/precision": neighbours.precision,
            "set/recall": neighbours.recall,
            "set/density": neighbours.density,
            "set/coverage": neighbours.coverage,
            "set/ndb": bins.different,
            "set/bins_jsd": bins.jsd,
            "set/duplicate_rate": generated.pairs.duplicate_rate,
            "set/distinct_windows": distinct_windows(generated.rolls),
        }
        | _by_part("set/overlap_area", np.array([overlap.area for overlap in overlaps]), tuple(FEATURES))
        | _by_part("set/feature_kl", np.array([overlap.kl for overlap in overlaps]), tuple(FEATURES))
    )


def variety_measures(windows: WindowSet, real: WindowSet) -> dict[str, float]:
    """The measures of the group `set` that compare the pairs of a set of windows with the pairs of real windows."""
    return {
        "set/diversity_ratio": float(ratio(windows.pairs.mean, real.pairs.mean)),
        "set/start_sensitivity": float(ratio(windows.pairs.dependence, real.pairs.mean)),
    }


def _noise(continuations: np.ndarray, real: WindowSet) -> np.ndarray:
    """`sets.noise_sensitivity`, `(1 + track,)`: of whole windows, then of each track. Quick if all values are NaN."""
    distances = noise_distances(continuations)
    if np.isnan(distances).all():
        return distances
    return ratio(distances, np.array([real.pairs.mean, *real.track_distances]))


def _latent(values: dict[str, Sequence[float]], tracks: Iterable[str]) -> dict[str, float]:
    """Each measure of the group `latent` by track and as the mean over the tracks given."""
    names = list(tracks)
    result: dict[str, float] = {}
    for measure, by_track in values.items():
        result |= _by_part(f"latent/{measure}", np.array(by_track), names)
    return result


def _perplexity(nats: float) -> float:
    """exp(nats), at most 1e30; NaN stays NaN."""
    return float("nan") if math.isnan(nats) else math.exp(min(nats, _MOST_NATS))


def _together(name: str, values: np.ndarray) -> dict[str, float]:
    """Values `(1 + track,)`: that of the pitched tracks together under `name`, then each track's under `name.track`."""
    by_track = {f"{name}.{track}": float(value) for track, value in zip(TRACKS, values[1:], strict=True)}
    return {name: float(values[0])} | by_track


def _by_part(name: str, values: np.ndarray, part_names: Sequence[str]) -> dict[str, float]:
    """The mean of the values that are not NaN under `name`, and each value under `name.part`."""
    by_part = {f"{name}.{part}": float(value) for part, value in zip(part_names, values, strict=True)}
    return {name: nan_mean(values)} | by_part
