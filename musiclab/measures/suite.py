"""All measures of one kind at once, as flat dicts from full name to float, ready for a record."""

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

# A perplexity is printed up to 1e30: infinity is no number of a record, and two of the largest float have no mean.
_MOST_NATS = 30 * math.log(10)


def music_measures(rolls: np.ndarray, resolution: int) -> dict[str, float]:
    """Every measure of the group `music` that windows are enough for; those of whole pieces are `structure_measures`.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        resolution: steps a beat.

    Returns:
        Keys such as `music/empty_bars`, `music/empty_bars.Piano`, `music/tonal_distance.Piano-Guitar`. Values are NaN
        where a measure says so (a silent track has no pitch classes). Under the plain name of what `music.py` measures
        stands the mean of the values that are not; under that of the others the value of all pitched tracks together.
    """
    both = [pair_name(pair) for pair in PITCHED_PAIRS]
    return (
        _by_part("music/empty_bars", empty_bars(rolls, resolution), TRACKS)
        | _by_part("music/used_pitch_classes", used_pitch_classes(rolls, resolution), TRACKS)
        | _by_part("music/tonal_distance", tonal_distance(rolls, resolution), both)
        | _by_part("music/harmony_gain", harmony_gain(rolls, resolution), both)
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
    """The measures of the group `music` that take whole pieces: how much a bar is like those some bars on.

    Args:
        pieces: bool `(track, time, pitch)` each, of any length, from a bar line on: all windows that continue one start
            joined, or a whole song.
        resolution: steps a beat.

    Returns:
        Keys such as `music/self_similarity_4` of the pitched tracks together, `music/self_similarity_4.Drums` of each
        track; NaN where no piece has bars so far apart that sound.
    """
    result = {}
    for lag, values in zip(LAGS, self_similarity(pieces, resolution), strict=True):
        result |= _together(f"music/self_similarity_{lag}", values)
    return result


def reconstruction_measures(predicted: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    """Frame and onset precision, recall and F1, and the ratio of densities: one value a track, the mean, plain.

    `latent/density_ratio` = cells predicted / cells there; best at 1, which says nothing of where they are; NaN for a
    track that is silent in `actual`.

    Args:
        predicted: bool `(n, track, time, pitch)`, what was decoded.
        actual: bool, the same shape, what was encoded.

    Returns:
        Keys such as `latent/frame_f1`, `latent/onset_recall.Bass`; NaN rules at `reconstruction.Scores`.
    """
    density = ratio(predicted.sum(axis=(0, 2, 3)), actual.sum(axis=(0, 2, 3)))
    result = _by_part("latent/density_ratio", density, TRACKS)
    for kind, scores in (("frame", frame_scores(predicted, actual)), ("onset", onset_scores(predicted, actual))):
        result |= _by_part(f"latent/{kind}_f1", scores.f1, TRACKS)
        result |= _by_part(f"latent/{kind}_precision", scores.precision, TRACKS)
        result |= _by_part(f"latent/{kind}_recall", scores.recall, TRACKS)
    return result


def activation_measures(activations: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    """Of a decoder's output before any threshold, one value a track and their mean under the plain name.

    `latent/frame_auprc` and `latent/best_frame_f1`: `Ranking.average_precision` and `best_f1` of all a track's cells.
    The second is taken at the threshold that is best on these very windows: an upper bound for `latent/frame_f1`.
    `latent/mse`: mean of (activation - cell)^2, lower is better; of a Gaussian likelihood read it beside its sigma, and
    of a Bernoulli one it is the Brier score. So sparse are rolls that silence has a small error too: the share of cells
    that are on. NaN where an activation is infinite.

    Args:
        activations: float `(n, track, time, pitch)`; -inf for a track that has no decoder and never sounds.
        actual: bool, the same shape, what was encoded.
    """
    tracks = [(activations[:, track], actual[:, track]) for track in range(len(TRACKS))]
    rankings = [ranking(*track) for track in tracks]
    # One track at a time: what is made in between is a fifth of the whole.
    mse = np.array([float(ratio(np.square(made - real).sum(dtype=np.float64), real.size)) for made, real in tracks])
    return (
        _by_part("latent/frame_auprc", np.array([each.average_precision for each in rankings]), TRACKS)
        | _by_part("latent/best_frame_f1", np.array([each.best_f1 for each in rankings]), TRACKS)
        | _by_part("latent/mse", np.where(np.isinf(mse), np.nan, mse), TRACKS)
    )


def posterior_measures(posteriors: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """What the measures of `latent` say of posteriors, one value a track and their mean under the plain name.

    `latent/active_units`, `latent/collapsed`, `latent/prior_gap`; `latent/kl`, summed over dimensions; and
    `latent/posterior_sd`, the mean of sigma over windows and dimensions, in latent units: what noise is measured by.

    Args:
        posteriors: by track, means `(n, K)` and log-sigmas `(n, K)`, `(n, 1)` or `(n,)`; tracks without a VAE left out.
    """
    kl = [kl_per_dimension(*posterior) for posterior in posteriors.values()]
    values = {
        "active_units": [active_units(means) for means, _ in posteriors.values()],
        "kl": [each.sum() for each in kl],
        "collapsed": [collapsed(each) for each in kl],
        "prior_gap": [prior_gap(*posterior) for posterior in posteriors.values()],
        "posterior_sd": [nan_mean(np.exp(log_sigma)) for _, log_sigma in posteriors.values()],
    }
    return _latent(values, posteriors)


def likelihood_measures(likelihoods: dict[str, tuple[float, float, float]]) -> dict[str, float]:
    """`latent/sigma`, `latent/elbo` and `latent/iw_bound`, one value a track and their mean under the plain name.

    Args:
        likelihoods: by track, a Gaussian's sigma, and the two bounds of log p(x) in nats a window; NaN for what the
            likelihood does not have. A Gaussian density on cells that are on or off is no probability of them, so it
            has no bounds. Tracks without a VAE are left out.
    """
    columns = np.array(list(likelihoods.values())).reshape(-1, 3).T
    return _latent(dict(zip(("sigma", "elbo", "iw_bound"), columns, strict=True)), likelihoods)


def noise_response_measures(
    decoded: np.ndarray, own: np.ndarray, noisy: Iterable[tuple[float, np.ndarray]], real: np.ndarray
) -> dict[str, float]:
    """How much what is decoded changes with noise on its code: 0 not at all, 1 as much as real windows differ.

    Mean Jaccard distance between a window decoded from its code and the same with noise / mean distance of real
    windows, of all tracks together; two silent windows are at 0. It describes and has no better direction. Noise of the
    posterior's own sd is what the decoder was trained to see past: what it changes, the code does not tell.

    Args:
        decoded: bool `(n, track, time, pitch)`, from the posterior means.
        own: bool, the same shape, with noise of each posterior's own sd: draws from the posteriors.
        noisy: sds, the same for all dimensions, and what was decoded with noise of each; taken one at a time.
        real: bool `(m, track, time, pitch)`, real windows of as many steps.

    Returns:
        `latent/noise_response` of `own`, and for each other sd a key such as `latent/noise_response.at_0.5`; each at
        least 0. NaN for fewer than two real windows or only equal ones, and where nothing sounds with or without noise.
    """
    scale = mean_distance(real)

    def response(other: np.ndarray) -> float:
        return float(ratio(noise_distances(np.stack([decoded, other], axis=1)[:, :, None])[0], scale))

    at_sds = {f"latent/noise_response.at_{sd:g}": response(other) for sd, other in noisy}
    return {"latent/noise_response": response(own)} | at_sds


def next_window_measures(
    predicted: np.ndarray, last: np.ndarray, mean_window: np.ndarray, actual: np.ndarray
) -> dict[str, float]:
    """How well the next window is predicted, alone and above two ways to guess it; higher is better.

    Frame F1 (`reconstruction.frame_scores`), one value a track and the mean under the plain name:
        `next/next_f1`: of the predicted windows against the actual ones;
        `next/gain_over_repeat`: that minus the F1 of repeating the last window;
        `next/gain_over_average`: that minus the F1 of always saying the average window, made binary at the threshold
            which is best on `actual` itself, for each track: a baseline's best chance, which no model gets.

    A gain is NaN where one of its two scores is: a track that is silent in both sets compared. So means are over those
    tracks of each measure that have a value.

    Args:
        predicted: bool `(n, track, time, pitch)`.
        last: bool, the same shape, the windows before.
        mean_window: `(track, time, pitch)`, the mean of the training windows (or what else stands for the average).
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
    """Perplexity of held-out tokens, that of the unigram, and the bits that a model saves over it.

    With H in nats: `tokens/perplexity` = exp(H), in tokens, lower is better, 1 at least; `tokens/unigram_perplexity`
    likewise for guessing by how frequent tokens are; `tokens/bits_over_unigram` = (H_unigram - H) / ln 2, in bits a
    token, higher is better, 0 for a model that learned no more than frequencies.

    A perplexity is at most 1e30, which stands for all above it, infinity too; the bits tell the true difference, and
    are NaN where one side is infinite. NaN in, NaN out.

    Args:
        nats_a_token: mean negative log-likelihood of a held-out token under the model.
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
    """Every measure of the group `style`: are continuations like the song or songs that they were to be like?

    Means over continuations of `style.similarity`, `specificity` and `retrieval`; higher is better for all three.
    Similarity alone says little, for any two songs are alike in much: read the specificity. NaN for no continuations,
    and for the last two where no song is outside the target.

    Args:
        generated: bool `(n, windows, track, time, pitch)`, n continuations, each judged by all its windows together.
        targets: float `(n, len(songs))`, the weight of each song in each continuation's target, rows summing to 1.
        songs: bool `(m_i, track, time, pitch)` each, all windows of every song that might be meant, targets among them.
        resolution: steps a beat.
    """
    if np.shape(targets) != (len(generated), len(songs)):
        raise ValueError(f"targets must be {(len(generated), len(songs))}, not {np.shape(targets)}")
    likeness = song_likeness(list(generated), songs, resolution)
    return {
        "style/similarity": nan_mean(similarity(likeness, targets)),
        "style/specificity": nan_mean(specificity(likeness, targets)),
        "style/retrieval": nan_mean(retrieval(likeness, targets)),
    }


def set_measures(continuations: np.ndarray, reference: WindowSet, windows: int) -> dict[str, float]:
    """The measures of the group `set` that take generated and held-out real windows, and nothing else.

    Means of pairs of real windows are of as many reference windows as there are generated ones, if there are.

    Args:
        continuations: bool `(start, variation, continuation, track, time, pitch)`.
        reference: real windows of held-out songs, as many steps as generated ones. They also set the scale of the
            embedding, so keep them the same for everything that is to be compared.
        windows: how many windows of the first variations, spread evenly over them, are compared with the reference;
            these measures change as sets get smaller, so take as many as those that they are compared with have. They
            are of one variation of each start: without noise the others are copies, and no fault of the system.

    Returns:
        Of whole windows under the plain name, as all measures of this group, and not the mean of the parts:
        `set/noise_sensitivity.Bass` is of one track, `set/overlap_area.mean_pitch` of one feature, of which the plain
        name has the mean.
    """
    starts = np.repeat(np.arange(len(continuations)), math.prod(continuations.shape[1:3]))
    every = WindowSet(continuations.reshape(-1, *continuations.shape[3:]), starts, reference.resolution)
    real = reference.first(len(every.rolls))
    made = WindowSet(*first_variations(continuations, windows), reference.resolution)
    by_noise, *by_noise_and_track = _noise(continuations, real)
    return (
        comparison_measures(made, reference)
        | variety_measures(every, real)
        | _by_part("set/noise_sensitivity", by_noise_and_track, TRACKS)
        | {"set/noise_sensitivity": float(by_noise)}
    )


def first_variations(continuations: np.ndarray, windows: int) -> tuple[np.ndarray, np.ndarray]:
    """At most `windows` windows `(n, track, time, pitch)` of the first variations, spread evenly, and their starts."""
    first = continuations[:, 0].reshape(-1, *continuations.shape[3:])
    count = min(windows, len(first))
    spread = np.arange(count) * len(first) // max(1, count)
    return first[spread], spread // max(1, continuations.shape[2])


def training_measures(likeness: np.ndarray, least: float) -> dict[str, float]:
    """`set/training_similarity`, the mean of the likeness to the nearest training window, and `set/copied_rate`.

    Args:
        likeness: `(n,)` of generated windows, see `originality.TrainingWindows.likeness`.
        least: the likeness from which on a window counts as copied, COPIED_FROM of the scale.
    """
    return {"set/training_similarity": nan_mean(likeness), "set/copied_rate": copied_rate(likeness, least)}


def descriptive_measures(windows: WindowSet) -> dict[str, float]:
    """Every measure of the group `music`."""
    return music_measures(windows.rolls, windows.resolution) | structure_measures(
        list(windows.pieces), windows.resolution
    )


def comparison_measures(made: WindowSet, reference: WindowSet) -> dict[str, float]:
    """The measures of the group `set` that compare one set of windows with the reference, or count its duplicates."""
    scale = reference.embedding
    ours, theirs = scaled(made.embedding, scale), scaled(scale, scale)
    # As many of one as of the other, as precision and its like take.
    size = min(len(ours), len(theirs))
    near, binned = fidelity(ours[:size], theirs[:size]), bins_compared(ours, theirs, reference.bin_centres)
    overlaps = [
        distances_compared(made.features[:, place], reference.features[:, place], feature)
        for place, feature in enumerate(FEATURES.values())
    ]
    return (
        {
            "set/frechet": frechet_distance(made.embedding, scale, scale),
            "set/precision": near.precision,
            "set/recall": near.recall,
            "set/density": near.density,
            "set/coverage": near.coverage,
            "set/ndb": binned.different,
            "set/bins_jsd": binned.jsd,
            "set/duplicate_rate": made.pairs.duplicate_rate,
            "set/distinct_windows": distinct_windows(made.rolls),
        }
        | _by_part("set/overlap_area", np.array([each.area for each in overlaps]), tuple(FEATURES))
        | _by_part("set/feature_kl", np.array([each.kl for each in overlaps]), tuple(FEATURES))
    )


def variety_measures(made: WindowSet, real: WindowSet) -> dict[str, float]:
    """The measures of the group `set` that are of all pairs of windows, in relation to real ones."""
    return {
        "set/diversity_ratio": float(ratio(made.pairs.mean, real.pairs.mean)),
        "set/start_sensitivity": float(ratio(made.pairs.dependence, real.pairs.mean)),
    }


def _noise(continuations: np.ndarray, real: WindowSet) -> np.ndarray:
    """`noise_sensitivity` of whole windows, then of each track; what costs is left out where it is NaN anyway."""
    distances = noise_distances(continuations)
    if np.isnan(distances).all():
        return distances
    return ratio(distances, np.array([real.pairs.mean, *real.track_distances]))


def _latent(values: dict[str, Sequence[float]], tracks: Iterable[str]) -> dict[str, float]:
    """Each measure of the group `latent` by track and as the mean over the tracks given."""
    names = list(tracks)
    parts = [_by_part(f"latent/{name}", np.array(of_tracks), names) for name, of_tracks in values.items()]
    return {key: value for part in parts for key, value in part.items()}


def _perplexity(nats: float) -> float:
    """exp(nats), at most 1e30; NaN stays NaN."""
    return float("nan") if math.isnan(nats) else math.exp(min(nats, _MOST_NATS))


def _together(name: str, values: np.ndarray) -> dict[str, float]:
    """Values `(1 + track,)`: that of the pitched tracks together under `name`, then each track's under `name.track`."""
    return {name: float(values[0])} | {f"{name}.{track}": float(v) for track, v in zip(TRACKS, values[1:], strict=True)}


def _by_part(name: str, values: np.ndarray, parts: list[str] | tuple[str, ...]) -> dict[str, float]:
    """The mean of the values that are not NaN under `name`, and each value under `name.part`."""
    by_part = {f"{name}.{part}": float(value) for part, value in zip(parts, values, strict=True)}
    return {name: nan_mean(values)} | by_part
