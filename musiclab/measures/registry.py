"""Every measure by name, with its unit and the direction that is better."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple, get_args

from musiclab.errors import UserError

Better = Literal["lower", "higher", "real", "neither"]
Group = Literal["music", "latent", "next", "tokens", "style", "set", "own"]
OWN: Literal["own"] = "own"


@dataclass(frozen=True)
class Measure:
    """What a number under a measure's name means.

    The value of one track, pair of tracks or feature has the full name and a suffix: `music/empty_bars.Piano`,
    `music/tonal_distance.Piano-Guitar`. Without a suffix the full name stands for one of these:

    - the value of whole windows, for most measures of sets, such as `set/frechet` and `set/noise_sensitivity`;
    - the value of the pitched tracks together, without drums, for pitch, note lengths, groove and self-similarity;
    - the mean over the tracks, pairs or features that have a value, for all other measures.

    `latent/noise_response` is a value of whole windows too. Its suffixes name the sd of the noise:
    `latent/noise_response.at_0.5`.

    Attributes:
        name: unique among all measures, so that it can be used without its group.
        group: `music` or `set`, which every system has; `latent`, `next`, `tokens` or `style`, which only some have;
            `own`, which a study brings.
        unit: of the value.
        better: `lower`, `higher`, `real` (closest to the value of real music), or `neither` (the measure describes).
        title: one line for a table or a chart.
        above_zero: what a system does better than if the value is above 0; empty if 0 means nothing special.
        needs: what the measure needs besides generated and held-out real windows, which every system has. Each entry
            names either something that the system provides (`latents`, `tokens`, or `pairs`: predicted next windows)
            or a condition that it generates from (`start`, `piano`, `target`, `noise`). A system that lacks one of
            them has no value of this measure.
        place: file and function of a measure that a study brings, for sentences.
    """

    name: str
    group: Group
    unit: str
    better: Better
    title: str
    above_zero: str = ""
    needs: tuple[str, ...] = ()
    place: str = ""

    @property
    def full_name(self) -> str:
        """The key of its value in results and in MLflow: group/name."""
        return f"{self.group}/{self.name}"

    @property
    def sign(self) -> Literal[1, -1]:
        """1 if a higher score is better, -1 if a lower one is, so that the best score has the largest `sign * score`.

        The score of a measure whose better is `real` is its distance to the value of real music, so that lower is
        better.
        """
        return 1 if self.better == "higher" else -1


class _Row(NamedTuple):
    """What is particular to one measure of a group; the fields are those of `Measure`."""

    name: str
    unit: str
    better: Better
    title: str
    above_zero: str = ""


def _group(group: Group, needs: tuple[str, ...], *rows: _Row) -> tuple[Measure, ...]:
    """The measures of one group that have the same needs."""
    return tuple(
        Measure(
            name=row.name,
            group=group,
            unit=row.unit,
            better=row.better,
            title=row.title,
            above_zero=row.above_zero,
            needs=needs,
        )
        for row in rows
    )


MEASURES: tuple[Measure, ...] = (
    *_group(
        "latent", ("latents",),
        _Row("frame_f1", "share", "higher", "F1 of reconstructed cells"),
        _Row("frame_precision", "share", "higher", "Share of reconstructed cells that are right"),
        _Row("frame_recall", "share", "higher", "Share of cells that are reconstructed"),
        _Row("best_frame_f1", "share", "higher", "F1 of cells at the threshold that is best on test songs"),
        _Row("frame_auprc", "share", "higher", "Area under the precision-recall curve of cells"),
        _Row("density_ratio", "ratio", "real", "Cells reconstructed per cell of the input"),
        _Row("onset_f1", "share", "higher", "F1 of reconstructed onsets"),
        _Row("onset_precision", "share", "higher", "Share of reconstructed onsets that are right"),
        _Row("onset_recall", "share", "higher", "Share of onsets that are reconstructed"),
        _Row("mse", "squared activation", "lower", "Squared error of the decoder's output per cell"),
        _Row("sigma", "activation", "neither", "Learned sd of the Gaussian likelihood (compare with mse)"),
        _Row("elbo", "nats/window", "higher", "Evidence lower bound (of a Bernoulli likelihood only)"),
        _Row("iw_bound", "nats/window", "higher", "Importance-weighted bound, 128 draws (Bernoulli only)"),
        _Row("kl", "nats/window", "neither", "KL divergence from the prior, all dimensions (0 is collapse)"),
        _Row("active_units", "dimensions", "neither", "Latent dimensions in use"),
        _Row("collapsed", "share", "neither", "Share of latent dimensions that carry nothing"),
        _Row("posterior_sd", "latent units", "neither", "Mean sd of the posterior (compare with noise_sd)"),
        _Row("prior_gap", "nats", "lower", "Distance of all codes together from the prior"),
        _Row("noise_response", "ratio", "neither", "Change of decoded windows under noise of the posterior's sd"),
    ),
    *_group(
        "next", ("pairs",),
        _Row("next_f1", "share", "higher", "F1 of the next window's cells, predicted without noise"),
        _Row("gain_over_repeat", "F1", "higher", "F1 gained over repeating the last window",
             "repeating the last window"),
        _Row("gain_over_average", "F1", "higher", "F1 gained over the average window", "the average window"),
    ),
    *_group(
        "tokens", ("tokens",),
        _Row("perplexity", "tokens", "lower", "Perplexity of held-out tokens"),
        _Row("unigram_perplexity", "tokens", "neither", "Perplexity of guessing by token frequency"),
        _Row("bits_over_unigram", "bits/token", "higher", "Bits per token saved over the unigram", "the unigram"),
    ),
    *_group(
        "style", ("target",),
        _Row("similarity", "cosine", "higher", "Likeness to the target song in harmony and rhythm"),
        _Row("specificity", "cosine", "higher", "Likeness to the target minus that to other songs",
             "likeness to other songs"),
        _Row("retrieval", "share", "higher", "Share whose most similar song is the target"),
    ),
    *_group(
        "music", (),
        _Row("empty_bars", "share", "real", "Share of empty bars"),
        _Row("used_pitch_classes", "pitch classes/bar", "real", "Pitch classes in a bar with notes"),
        _Row("pitch_class_entropy", "bits", "real", "Entropy of pitch classes"),
        _Row("scale_consistency", "share", "real", "Share of notes in the best-fitting scale"),
        _Row("pitch_range", "semitones", "real", "From the lowest to the highest pitch"),
        _Row("polyphony", "pitches/step", "real", "Pitches at a step with notes"),
        _Row("note_density", "onsets/beat", "real", "Onsets per beat"),
        _Row("note_length", "beats", "real", "Mean length of a note"),
        _Row("note_length_entropy", "bits", "real", "Entropy of note lengths (0: all equal)"),
        _Row("qualified_notes", "share", "real", "Share of notes of at least a 32nd (12 steps/beat or more)"),
        _Row("drum_pattern", "share", "real", "Share of drum hits on eighths (4 steps/beat or more)"),
        _Row("groove_similarity", "cosine", "real", "Likeness of the onsets of neighbouring bars"),
        _Row("tonal_distance", "Harte distance", "real", "Harmonic distance between two tracks"),
        _Row("harmony_gain", "Harte distance", "real", "How much closer tracks are than tracks of other windows",
             "tracks put together by chance"),
        _Row("self_similarity_1", "Jaccard", "real", "Likeness of a bar to the next"),
        _Row("self_similarity_2", "Jaccard", "real", "Likeness of a bar to the one 2 bars later"),
        _Row("self_similarity_4", "Jaccard", "real", "Likeness of a bar to the one 4 bars later"),
        _Row("self_similarity_8", "Jaccard", "real", "Likeness of a bar to the one 8 bars later"),
    ),
    *_group(
        "set", (),
        _Row("frechet", "squared sds", "lower", "Frechet distance to real windows in musical features"),
        _Row("precision", "share", "higher", "Share of windows that lie among real ones"),
        _Row("recall", "share", "higher", "Share of real windows that lie among generated ones"),
        _Row("density", "ratio", "higher", "How densely real windows surround generated ones"),
        _Row("coverage", "share", "higher", "Share of real windows with a generated one nearby"),
        _Row("overlap_area", "share", "higher", "Overlap of real-to-real and generated-to-real feature distances"),
        _Row("feature_kl", "nats", "lower", "KL divergence between the same distances"),
        _Row("ndb", "share", "lower", "Share of bins whose size differs from real music"),
        _Row("bins_jsd", "bits", "lower", "Jensen-Shannon divergence of the bins' sizes"),
        _Row("diversity_ratio", "ratio", "real", "Variety of the windows (real ones: 1)"),
        _Row("duplicate_rate", "share", "lower", "Share of windows that repeat another one"),
        _Row("distinct_windows", "windows", "real", "Estimated number of different windows (birthday test)"),
        _Row("training_similarity", "share", "real", "Likeness to the nearest training window, in any key"),
        _Row("copied_rate", "share", "lower",
             "Share of windows as near to a training one as the nearest 1 % of real ones"),
    ),
    *_group(
        "set", ("start",),
        _Row("start_sensitivity", "ratio", "real", "Dependence on the start window (0: none)"),
    ),
    *_group(
        "set", ("piano",),
        _Row("piano_sensitivity", "ratio", "neither", "Dependence of other tracks on the piano (0: none)"),
    ),
    *_group(
        "set", ("target",),
        _Row("target_sensitivity", "ratio", "neither", "Dependence on the target song (0: none)"),
    ),
    *_group(
        "set", ("noise",),
        _Row("noise_sensitivity", "ratio", "neither", "Variety from noise alone after one start (0: none)"),
    ),
)  # fmt: skip


def find_measure(name: str, own: Iterable[Measure] = ()) -> Measure:
    """The measure of that name, with its group (`set/frechet`) or without (`frechet`).

    Args:
        name: of the measure. No code is looked up for it.
        own: those that a study brings.

    Raises:
        UserError: there is no such measure; the message suggests the nearest name and lists all.
    """
    measures = (*MEASURES, *own)
    for measure in measures:
        if name in (measure.name, measure.full_name):
            return measure
    by_spelling = {spelling: measure for measure in measures for spelling in (measure.name, measure.full_name)}
    nearest = get_close_matches(name, by_spelling, n=1)
    suggestion = f" (nearest: {by_spelling[nearest[0]].full_name})" if nearest else ""
    known = ", ".join(measure.full_name for measure in measures)
    raise UserError(f"A measure must have a known name; got {name!r}{suggestion}. Known measures: {known}.")


def wrong_words(unit: Any, better: Any, title: Any) -> list[str]:
    """What is wrong with the words of a measure that is not musiclab's, a clause each."""
    wrong = []
    for what, text, most in (("unit", unit, 40), ("title", title, 100)):
        if not isinstance(text, str) or not text.strip() or not text.isprintable() or len(text) > most:
            wrong.append(f"must have a {what} of 1 to {most} letters; got {text!r}")
    if better not in get_args(Better):
        choices = ", ".join(map(repr, get_args(Better)))
        wrong.append(f"must have better as one of {choices}; got {better!r}")
    return wrong


def own_measure(value: dict[str, Any]) -> Measure:
    """A measure of a study's own, as its plan describes it.

    Raises:
        ValueError: if that makes no sense.
    """
    name, unit, better, title, place = (value.get(field) for field in ("name", "unit", "better", "title", "place"))
    if not isinstance(name, str) or not re.fullmatch(r"\w+", name, re.ASCII):
        raise ValueError(f"a measure's name must be letters, digits and '_'; got {name!r}")
    if wrong := wrong_words(unit, better, title):
        raise ValueError(f"the measure {name} {wrong[0]}")
    if not isinstance(place, str) or not place.isprintable():
        raise ValueError(f"the place of the measure {name} must be one line; got {place!r}")
    return Measure(name, OWN, str(unit), better, str(title), place=place)  # type: ignore[arg-type]  # `better` is one of them


def described(measure: Measure) -> dict[str, Any]:
    """What a plan holds of a measure, so that whoever reads it needs no code."""
    return {name: getattr(measure, name) for name in ("name", "unit", "better", "title", "place")}
