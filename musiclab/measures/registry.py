"""Every measure by name, with its unit and the direction that is better."""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from musiclab.errors import UserError


@dataclass(frozen=True)
class Measure:
    """What a number under a measure's name means.

    A value for one track, pair or feature has the full name and a suffix: `music/empty_bars.Piano`,
    `music/tonal_distance.Piano-Guitar`. The plain full name is then the mean over those that have a value, but for
    `set/noise_sensitivity`, where it is the value of whole windows, as it is for most measures of sets, and for what
    is measured of the pitched tracks together (pitch, note lengths, groove and self-similarity), drums apart.
    `latent/noise_response` is of whole windows too, and has a value for noise of other sds, which follow `at_`:
    `latent/noise_response.at_0.5`.

    Attributes:
        name: unique among all measures, so that it can be used without its group.
        group: `music`, `set`, or, for those that only some systems have, `latent`, `next`, `tokens` or `style`.
        unit: of the value.
        better: `lower`, `higher`, `real` (closest to the value of real music), or `neither`: it describes.
        title: one line for a table or a chart.
        above_zero: what it takes for the value to be above 0, where that is a question of its own; else empty.
        needs: what it is worked out from beside the generated windows and held-out real ones, which there always are:
            what the system `provides` (its latents, predicted pairs, tokens), or a condition that it depends on.
    """

    name: str
    group: Literal["music", "latent", "next", "tokens", "style", "set"]
    unit: str
    better: Literal["lower", "higher", "real", "neither"]
    title: str
    above_zero: str = ""
    needs: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """The key of its value in results and in MLflow: group/name."""
        return f"{self.group}/{self.name}"


def _group(group: str, needs: tuple[str, ...], *rows: tuple[str, ...]) -> tuple[Measure, ...]:
    """Measures of one group and need, a row each: name, unit, better, title and, where it has one, above_zero."""
    return tuple(Measure(name, group, *rest, needs=needs) for name, *rest in rows)


MEASURES: tuple[Measure, ...] = (
    *_group(
        "latent", ("latents",),
        ("frame_f1", "share", "higher", "F1 of reconstructed cells"),
        ("frame_precision", "share", "higher", "Share of reconstructed cells that are right"),
        ("frame_recall", "share", "higher", "Share of cells that are reconstructed"),
        ("best_frame_f1", "share", "higher", "F1 of cells at the threshold that is best on test songs"),
        ("frame_auprc", "share", "higher", "Area under precision and recall of cells"),
        ("density_ratio", "ratio", "real", "Cells reconstructed for each one there is"),
        ("onset_f1", "share", "higher", "F1 of reconstructed onsets"),
        ("onset_precision", "share", "higher", "Share of reconstructed onsets that are right"),
        ("onset_recall", "share", "higher", "Share of onsets that are reconstructed"),
        ("mse", "squared activation", "lower", "Squared error of the decoder's output, a cell"),
        ("sigma", "activation", "neither", "The Gaussian likelihood's learned sd, to read mse beside"),
        ("elbo", "nats/window", "higher", "Evidence lower bound (of a Bernoulli likelihood only)"),
        ("iw_bound", "nats/window", "higher", "Importance-weighted bound, 128 draws (Bernoulli only)"),
        ("kl", "nats/window", "neither", "KL divergence from the prior, all dimensions (0 is collapse)"),
        ("active_units", "dimensions", "neither", "Latent dimensions in use"),
        ("collapsed", "share", "neither", "Share of latent dimensions that carry nothing"),
        ("posterior_sd", "latent units", "neither", "Mean sd of the posterior, to read noise_sd beside"),
        ("prior_gap", "nats", "lower", "How far all codes together are from the prior"),
        ("noise_response", "ratio", "neither", "Change of what is decoded, by noise of the posterior's own sd"),
    ),
    *_group(
        "next", ("pairs",),
        ("next_f1", "share", "higher", "F1 of the next window's cells, predicted without noise"),
        ("gain_over_repeat", "F1", "higher", "F1 above that of repeating the last window", "repeating the last window"),
        ("gain_over_average", "F1", "higher", "F1 above that of the average window", "the average window"),
    ),
    *_group(
        "tokens", ("tokens",),
        ("perplexity", "tokens", "lower", "Perplexity of held-out tokens"),
        ("unigram_perplexity", "tokens", "neither", "Perplexity of guessing by how frequent tokens are"),
        ("bits_over_unigram", "bits/token", "higher", "Bits saved over the unigram", "the unigram"),
    ),
    *_group(
        "style", ("target",),
        ("similarity", "cosine", "higher", "Likeness to the target song in harmony and rhythm"),
        ("specificity", "cosine", "higher", "Likeness to the target above that to others", "likeness to other songs"),
        ("retrieval", "share", "higher", "Share whose target is the most alike of all songs"),
    ),
    *_group(
        "music", (),
        ("empty_bars", "share", "real", "Share of empty bars"),
        ("used_pitch_classes", "pitch classes/bar", "real", "Pitch classes used in a bar that sounds"),
        ("pitch_class_entropy", "bits", "real", "Entropy of pitch classes"),
        ("scale_consistency", "share", "real", "Share of notes in the best fitting scale"),
        ("pitch_range", "semitones", "real", "From the lowest to the highest pitch"),
        ("polyphony", "pitches/step", "real", "Pitches at a step that sounds"),
        ("note_density", "onsets/beat", "real", "Onsets a beat"),
        ("note_length", "beats", "real", "Mean length of a note"),
        ("note_length_entropy", "bits", "real", "Entropy of note lengths (0: all equal)"),
        ("qualified_notes", "share", "real", "Share of notes of a 32nd at least (from 12 steps a beat on)"),
        ("drum_pattern", "share", "real", "Share of drum hits on eighths (from 4 steps a beat on)"),
        ("groove_similarity", "cosine", "real", "Likeness of neighbouring bars' onsets"),
        ("tonal_distance", "Harte distance", "real", "Harmonic distance between two tracks"),
        ("harmony_gain", "Harte distance", "real", "How much closer tracks are than if exchanged between windows",
         "tracks put together by chance"),
        ("self_similarity_1", "Jaccard", "real", "Likeness of a bar to the next one"),
        ("self_similarity_2", "Jaccard", "real", "Likeness of a bar to that 2 bars on"),
        ("self_similarity_4", "Jaccard", "real", "Likeness of a bar to that 4 bars on"),
        ("self_similarity_8", "Jaccard", "real", "Likeness of a bar to that 8 bars on"),
    ),
    *_group(
        "set", (),
        ("frechet", "squared sds", "lower", "Frechet distance to real windows in musical features"),
        ("precision", "share", "higher", "Share of windows that lie among real ones"),
        ("recall", "share", "higher", "Share of real windows that lie among generated ones"),
        ("density", "ratio", "higher", "How densely real windows surround generated ones"),
        ("coverage", "share", "higher", "Share of real windows with a generated one near by"),
        ("overlap_area", "share", "higher", "Overlap of feature distances within real and to generated windows"),
        ("feature_kl", "nats", "lower", "KL divergence of the same distances"),
        ("ndb", "share", "lower", "Share of bins whose size differs from real music's"),
        ("bins_jsd", "bits", "lower", "Jensen-Shannon divergence of the bins' sizes"),
        ("diversity_ratio", "ratio", "real", "Variety of the windows, real ones being 1"),
        ("duplicate_rate", "share", "lower", "Share of windows that repeat another one"),
        ("distinct_windows", "windows", "real", "How many windows there seem to be to draw from (birthday test)"),
        ("training_similarity", "share", "real", "Likeness to the nearest training window, in any key"),
        ("copied_rate", "share", "lower", "Share of windows as near to a training one as the nearest 1 % of real ones"),
    ),
    *_group("set", ("start",), ("start_sensitivity", "ratio", "real", "Dependence on the start window (0 is none)")),
    *_group(
        "set", ("piano",), ("piano_sensitivity", "ratio", "neither", "Dependence of the others on the piano (0: none)")
    ),
    *_group("set", ("target",), ("target_sensitivity", "ratio", "neither", "Dependence on the target song (0: none)")),
    *_group(
        "set", ("noise",), ("noise_sensitivity", "ratio", "neither", "Variety by noise alone after one start (0: none)")
    ),
)  # fmt: skip


def find_measure(name: str) -> Measure:
    """The measure of that name, with its group (`set/frechet`) or without (`frechet`).

    Raises:
        UserError: there is none; the sentence suggests the nearest name and lists all.
    """
    for measure in MEASURES:
        if name in (measure.name, measure.full_name):
            return measure
    by_spelling = {spelling: measure for measure in MEASURES for spelling in (measure.name, measure.full_name)}
    nearest = get_close_matches(name, by_spelling, n=1)
    suggestion = f" (nearest: {by_spelling[nearest[0]].full_name})" if nearest else ""
    names = ", ".join(measure.full_name for measure in MEASURES)
    raise UserError(f"There is no measure {name!r}{suggestion}; there are {names}.")
