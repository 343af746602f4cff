"""All measures of one group together, as flat dicts from full name to float, ready for a record."""

import math
from collections.abc import Sequence

import numpy as np

from musiclab.data.songs import TRACKS
from musiclab.measures.bins import bins_compared, distinct_windows
from musiclab.measures.distributions import FEATURES, distances_compared
from musiclab.measures.embedding import TRACK_SD_FLOORS, frechet_distance
from musiclab.measures.fidelity import fidelity, scaled
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
from musiclab.measures.ranking import ranking
from musiclab.measures.reconstruction import best_constant, frame_scores
from musiclab.measures.rhythm import drum_pattern, groove_similarity, note_length, note_length_entropy, qualified_notes
from musiclab.measures.rolls import nan_mean, ratio
from musiclab.measures.structure import LAGS, self_similarity
from musiclab.measures.style import retrieval, similarity, song_likeness, specificity
from musiclab.measures.tonality import pitch_class_entropy, pitch_range, polyphony, scale_consistency
from musiclab.measures.variety import diversity_ratio, noise_distances, start_sensitivity
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
        by_part("music/empty_bars", empty_bars(rolls, resolution), TRACKS)
        | by_part("music/used_pitch_classes", used_pitch_classes(rolls, resolution), TRACKS)
        | by_part("music/tonal_distance", tonal_distance(rolls, resolution), pair_names)
        | by_part("music/harmony_gain", harmony_gain(rolls, resolution), pair_names)
        | by_part("music/note_density", note_density(rolls, resolution), TRACKS)
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


def cut_at_best(activations: np.ndarray, tuning: np.ndarray, tuning_actual: np.ndarray) -> np.ndarray:
    """Predicted windows, made binary at each track's threshold of the best frame F1 on other pairs of windows.

    Args:
        activations: of the predicted windows, `(n, track, time, pitch)`.
        tuning: of predicted windows of validation songs, `(m, track, time, pitch)`.
        tuning_actual: bool, the windows that came next there.

    Returns:
        bool, of the shape of `activations`; a track that is silent in `tuning_actual` is silent.
    """
    best = [ranking(tuning[:, track], tuning_actual[:, track]).best_threshold for track in range(tuning.shape[1])]
    result: np.ndarray = activations >= np.array(best)[:, None, None]
    return result


def next_window_measures(
    predicted: np.ndarray, last: np.ndarray, mean_window: np.ndarray, actual: np.ndarray
) -> dict[str, float]:
    """How well the next window is predicted, and how much better than by two simple guesses; higher is better.

    A prediction has one best guess a cell, and music has notes: so activations are not cut here by the rules that make
    music, but at the threshold of the best F1 on validation pairs, see `cut_at_best`.

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
        by_part("next/next_f1", own, TRACKS)
        | by_part("next/gain_over_repeat", own - repeat, TRACKS)
        | by_part("next/gain_over_average", own - average, TRACKS)
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
        `set/noise_sensitivity.Bass` and `set/frechet.Piano` are values of one track.
    """
    starts = np.repeat(np.arange(len(continuations)), math.prod(continuations.shape[1:3]))
    every = WindowSet(continuations.reshape(-1, *continuations.shape[3:]), starts, reference.resolution)
    real = reference.first(len(every.rolls))
    generated = WindowSet(*first_variations(continuations, windows), reference.resolution)
    noise = noise_sensitivity(continuations, real)
    return (
        comparison_measures(generated, reference)
        | variety_measures(every, real)
        | by_part("set/noise_sensitivity", noise[1:], TRACKS)
        | {"set/noise_sensitivity": float(noise[0])}
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
        | track_frechet(generated, reference)
        | by_part("set/overlap_area", np.array([overlap.area for overlap in overlaps]), tuple(FEATURES))
        | by_part("set/feature_kl", np.array([overlap.kl for overlap in overlaps]), tuple(FEATURES))
    )


def track_frechet(generated: WindowSet, reference: WindowSet) -> dict[str, float]:
    """`set/frechet.Piano` and its like: the Frechet distance of each track alone, whatever the other tracks play.

    It is what a system that plays one instrument is judged by: its whole windows are mostly as far from real ones as
    silence is.
    """
    return {
        f"set/frechet.{track}": frechet_distance(vectors, real, real, TRACK_SD_FLOORS)
        for track, vectors, real in zip(
            TRACKS, generated.track_embeddings.swapaxes(0, 1), reference.track_embeddings.swapaxes(0, 1), strict=True
        )
    }


def variety_measures(windows: WindowSet, real: WindowSet) -> dict[str, float]:
    """The measures of the group `set` that compare the pairs of a set of windows with the pairs of real windows."""
    return {
        "set/diversity_ratio": diversity_ratio(windows.pairs, real.pairs),
        "set/start_sensitivity": start_sensitivity(windows.pairs, real.pairs),
    }


def noise_sensitivity(continuations: np.ndarray, real: WindowSet) -> np.ndarray:
    """How much noise alone changes what follows a start: 0 not at all, 1 as much as real windows differ.

    Mean distance of windows that continue the same start at the same place and differ only in their noise / mean
    distance of real windows. All are Jaccard distances, averaged over pairs. There is a value of whole windows and one
    of each track with its own cells alone. A pair of windows in which the track is silent has distance 0 in both means.

    It describes, so no direction is better. At 0 the sampler always returns the same. Far above the variety of real
    music, noise drowns the start. The values by track show which tracks follow the noise.

    Args:
        continuations: bool `(start, variation, continuation, track, time, pitch)`.
        real: real windows of as many steps.

    Returns:
        `(1 + track,)`: the value of whole windows, then of each track, each at least 0. NaN if there are fewer than
        two variations, if there are no real windows or only equal ones, and if nothing sounds in any continuation,
        because a silent track neither follows the noise nor resists it.

    Source: ours.
    """
    distances = noise_distances(continuations)
    if np.isnan(distances).all():  # the distances of real windows would be computed for nothing
        return distances
    return ratio(distances, np.array([real.pairs.mean, *real.track_distances]))


def _perplexity(nats: float) -> float:
    """exp(nats), at most 1e30; NaN stays NaN."""
    return float("nan") if math.isnan(nats) else math.exp(min(nats, _MOST_NATS))


def _together(name: str, values: np.ndarray) -> dict[str, float]:
    """Values `(1 + track,)`: that of the pitched tracks together under `name`, then each track's under `name.track`."""
    by_track = {f"{name}.{track}": float(value) for track, value in zip(TRACKS, values[1:], strict=True)}
    return {name: float(values[0])} | by_track


def by_part(name: str, values: np.ndarray, part_names: Sequence[str]) -> dict[str, float]:
    """The mean of the values that are not NaN under `name`, and each value under `name.part`."""
    by_part = {f"{name}.{part}": float(value) for part, value in zip(part_names, values, strict=True)}
    return {name: nan_mean(values)} | by_part
