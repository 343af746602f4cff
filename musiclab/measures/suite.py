"""All measures of one kind at once, as flat dicts from full name to float, ready for a record."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from musiclab.data.songs import TRACKS
from musiclab.measures.latent import active_units, kl_per_dimension
from musiclab.measures.music import (
    PITCHED_PAIRS,
    empty_bars,
    harmony_gain,
    note_density,
    pair_name,
    tonal_distance,
    used_pitch_classes,
)
from musiclab.measures.reconstruction import best_constant, frame_scores, onset_scores
from musiclab.measures.rolls import nan_mean, ratio
from musiclab.measures.sets import (
    Pairs,
    duplicate_rate,
    embed,
    frechet_distance,
    noise_distances,
    pairs,
    track_distances,
)
from musiclab.measures.style import retrieval, similarity, song_likeness, specificity

# Ends the key of what real music scores against real music.
FLOOR = ".floor"
# A perplexity is printed up to 1e30: infinity is no number of a record, and two of the largest float have no mean.
_MOST_NATS = 30 * math.log(10)


@dataclass(frozen=True)
class RealWindows:
    """Real windows that others are compared with; what several measures need of them is worked out once.

    Attributes:
        rolls: bool `(n, track, time, pitch)`.
        songs: `(n,)`, which song each window is of; any values that compare equal.
        resolution: steps a beat.
    """

    rolls: np.ndarray
    songs: np.ndarray
    resolution: int

    @cached_property
    def embedding(self) -> np.ndarray:
        """`sets.embed` of the windows."""
        return embed(self.rolls, self.resolution)

    @cached_property
    def pairs(self) -> Pairs:
        """`sets.pairs` of the windows, in groups by song."""
        return pairs(self.rolls, self.songs)

    @cached_property
    def track_distances(self) -> np.ndarray:
        """`sets.track_distances` of the windows."""
        return track_distances(self.rolls)


def music_measures(rolls: np.ndarray, resolution: int) -> dict[str, float]:
    """Every measure of the group `music`: one value a track or pair, and their mean under the plain name.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        resolution: steps a beat.

    Returns:
        Keys such as `music/empty_bars`, `music/empty_bars.Piano`, `music/tonal_distance.Piano-Guitar`. Values are NaN
        where a measure says so (a silent track has no pitch classes); means are over the values that are not.
    """
    both = [pair_name(pair) for pair in PITCHED_PAIRS]
    return (
        _by_part("music/empty_bars", empty_bars(rolls, resolution), TRACKS)
        | _by_part("music/used_pitch_classes", used_pitch_classes(rolls, resolution), TRACKS)
        | _by_part("music/tonal_distance", tonal_distance(rolls, resolution), both)
        | _by_part("music/harmony_gain", harmony_gain(rolls, resolution), both)
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


def set_measures(continuations: np.ndarray, reference: RealWindows, frechet_windows: int) -> dict[str, float]:
    """Every measure of the group `set`: generated windows against held-out real ones.

    Args:
        continuations: bool `(start, variation, continuation, track, time, pitch)`.
        reference: real windows of held-out songs, as many steps as generated ones. They also set the scale of the
            Frechet distance, so keep them the same for everything that is to be compared.
        frechet_windows: how many windows of the first variations, spread evenly over them, the Frechet distance takes;
            it grows as sets get smaller, so take as many as those that it is compared with have. It and the duplicates
            are of one variation of each start: without noise the others are copies, and no fault of the system.
    """
    generated = continuations.reshape(-1, *continuations.shape[3:])
    starts = np.repeat(np.arange(len(continuations)), math.prod(continuations.shape[1:3]))
    first = continuations[:, 0].reshape(-1, *continuations.shape[3:])
    spread = np.arange(frechet_windows) * len(first) // max(1, frechet_windows)
    theirs = pairs(generated, starts)
    by_noise, *by_noise_and_track = _noise(continuations, reference)
    values = {
        "set/frechet": frechet_distance(
            embed(first[spread], reference.resolution), reference.embedding, reference.embedding
        ),
        "set/diversity_ratio": float(ratio(theirs.mean, reference.pairs.mean)),
        "set/duplicate_rate": theirs.duplicate_rate if len(first) == len(generated) else duplicate_rate(first),
        "set/start_sensitivity": float(ratio(theirs.dependence, reference.pairs.mean)),
    }
    # Of whole windows under the plain name, as the other measures of this group are, and not the mean of the tracks.
    return (
        values
        | _by_part("set/noise_sensitivity", by_noise_and_track, TRACKS)
        | {"set/noise_sensitivity": float(by_noise)}
    )


def _noise(continuations: np.ndarray, reference: RealWindows) -> np.ndarray:
    """`sets.noise_sensitivity` of whole windows, then of each track; what costs is left out where it is NaN anyway."""
    distances = noise_distances(continuations)
    if np.isnan(distances).all():
        return distances
    return ratio(distances, np.array([reference.pairs.mean, *reference.track_distances]))


def scale_measures(other: RealWindows, reference: RealWindows, rng: np.random.Generator) -> dict[str, float]:
    """What real music scores against real music: windows of two disjoint sets of held-out songs, compared.

    Keys and their meaning:
        `music/...` and `set/start_sensitivity`: the value on the reference, which is the real value that
        `better="real"` asks for (windows of one song standing for those that continue one start window);
        the same with `.floor`: its absolute difference from the value on the other songs;
        `set/frechet.floor`: the distance between the two sets;
        `set/diversity_ratio`: 1, its real value by definition; with `.floor`, how far the quotient is from 1;
        `set/duplicate_rate.floor`: the rate of the other songs' windows, for real music repeats itself too (like with
            like only where as many windows are generated);
        `latent/frame_f1.floor` and its like: the score of taking, for each reference window, some window of the other
        songs, drawn evenly; what a decoder scores that ignores its code and plays other real music.

    Args:
        other: windows of other songs. As many as the generated windows, so that the distances compare.
        reference: those that generated windows are measured against.
        rng: draws the pairs.
    """
    resolution, scale = reference.resolution, reference.pairs.mean
    theirs, real = music_measures(other.rolls, resolution), music_measures(reference.rolls, resolution)
    theirs["set/start_sensitivity"] = float(ratio(other.pairs.dependence, scale))
    real["set/start_sensitivity"] = float(ratio(reference.pairs.dependence, scale))
    result = real | {name + FLOOR: abs(theirs[name] - real[name]) for name in real}
    result["set/frechet" + FLOOR] = frechet_distance(other.embedding, reference.embedding, reference.embedding)
    result["set/diversity_ratio"] = 1.0
    result["set/diversity_ratio" + FLOOR] = abs(float(ratio(other.pairs.mean, scale)) - 1)
    result["set/duplicate_rate" + FLOOR] = other.pairs.duplicate_rate
    if len(other.rolls):
        partners = other.rolls[rng.integers(len(other.rolls), size=len(reference.rolls))]
        chance = reconstruction_measures(partners, reference.rolls)
        result |= {name + FLOOR: value for name, value in chance.items()}
    return result


def _perplexity(nats: float) -> float:
    """exp(nats), at most 1e30; NaN stays NaN."""
    return float("nan") if math.isnan(nats) else math.exp(min(nats, _MOST_NATS))


def _by_part(name: str, values: np.ndarray, parts: list[str] | tuple[str, ...]) -> dict[str, float]:
    """The mean of the values that are not NaN under `name`, and each value under `name.part`."""
    by_part = {f"{name}.{part}": float(value) for part, value in zip(parts, values, strict=True)}
    return {name: nan_mean(values)} | by_part
