"""Every measure by name, with its unit and the direction that is better."""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from musiclab.errors import UserError


@dataclass(frozen=True)
class Measure:
    """What a number under a measure's name means.

    A value for one track or pair has the full name and a suffix: `music/empty_bars.Piano`,
    `music/tonal_distance.Piano-Guitar`. The plain full name is then the mean over those that have a value, but for
    `set/noise_sensitivity`, where it is the value of whole windows, as it is for all measures of sets.

    Attributes:
        name: unique among all measures, so that it can be used without its group.
        group: `music`, `set`, or, for those that only some systems have, `latent`, `next`, `tokens` or `style`.
        unit: of the value.
        better: `lower`, `higher`, `real` (closest to the value of real music), or `neither`: it describes.
        title: one line for a table or a chart.
        above_zero: what it takes for the value to be above 0, where that is a question of its own; else empty.
    """

    name: str
    group: Literal["music", "latent", "next", "tokens", "style", "set"]
    unit: str
    better: Literal["lower", "higher", "real", "neither"]
    title: str
    above_zero: str = ""

    @property
    def full_name(self) -> str:
        """The key of its value in results and in MLflow: group/name."""
        return f"{self.group}/{self.name}"


MEASURES = (
    Measure("frame_f1", "latent", "share", "higher", "F1 of reconstructed cells"),
    Measure("frame_precision", "latent", "share", "higher", "Share of reconstructed cells that are right"),
    Measure("frame_recall", "latent", "share", "higher", "Share of cells that are reconstructed"),
    Measure("onset_f1", "latent", "share", "higher", "F1 of reconstructed onsets"),
    Measure("onset_precision", "latent", "share", "higher", "Share of reconstructed onsets that are right"),
    Measure("onset_recall", "latent", "share", "higher", "Share of onsets that are reconstructed"),
    Measure("active_units", "latent", "dimensions", "neither", "Latent dimensions in use"),
    Measure("kl", "latent", "nats/window", "neither", "KL divergence from the prior, all dimensions (0 is collapse)"),
    Measure("posterior_sd", "latent", "latent units", "neither", "Mean sd of the posterior, to read noise_sd beside"),
    Measure("next_f1", "next", "share", "higher", "F1 of the next window's cells, predicted without noise"),
    Measure(
        "gain_over_repeat",
        "next",
        "F1",
        "higher",
        "F1 above that of repeating the last window",
        "repeating the last window",
    ),
    Measure("gain_over_average", "next", "F1", "higher", "F1 above that of the average window", "the average window"),
    Measure("perplexity", "tokens", "tokens", "lower", "Perplexity of held-out tokens"),
    Measure("unigram_perplexity", "tokens", "tokens", "neither", "Perplexity of guessing by how frequent tokens are"),
    Measure("bits_over_unigram", "tokens", "bits/token", "higher", "Bits saved over the unigram", "the unigram"),
    Measure("similarity", "style", "cosine", "higher", "Likeness to the target song in harmony and rhythm"),
    Measure(
        "specificity",
        "style",
        "cosine",
        "higher",
        "Likeness to the target above that to other songs",
        "likeness to other songs",
    ),
    Measure("retrieval", "style", "share", "higher", "Share whose target is the most alike of all songs"),
    Measure("empty_bars", "music", "share", "real", "Share of empty bars"),
    Measure("used_pitch_classes", "music", "pitch classes/bar", "real", "Pitch classes used in a bar that sounds"),
    Measure("tonal_distance", "music", "Harte distance", "real", "Harmonic distance between two tracks"),
    Measure("note_density", "music", "onsets/beat", "real", "Onsets a beat"),
    Measure(
        "harmony_gain",
        "music",
        "Harte distance",
        "real",
        "How much closer tracks are than if exchanged between windows",
        "tracks put together by chance",
    ),
    Measure("frechet", "set", "squared sds", "lower", "Frechet distance to real windows in musical features"),
    Measure("diversity_ratio", "set", "ratio", "real", "Variety of the windows, real ones being 1"),
    Measure("duplicate_rate", "set", "share", "lower", "Share of windows that repeat another one"),
    Measure("start_sensitivity", "set", "ratio", "real", "Dependence on the start window (0 is none)"),
    Measure("noise_sensitivity", "set", "ratio", "neither", "Variety by noise alone after one start (0 is none)"),
)


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
