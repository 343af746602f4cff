"""Measures beside their baselines, in sentences."""

import math

from musiclab.analysis.answer import Answer
from musiclab.analysis.statistics import ALPHA
from musiclab.measures.baselines import FLOOR, RANDOM, SHUFFLED
from musiclab.measures.registry import Measure, find_measure
from musiclab.report.sentences.phrases import is_or_are, with_means
from musiclab.wording import rounded


def distance_from_real(answer: Answer) -> list[str]:
    """How far from real music the variants are, in words: by their Frechet distances, whatever the objective is.

    The words go by a variant's mean over blocks: at most other songs' value; else at most that of shuffled tracks; else
    up to the middle between other songs and random notes; else up to random notes. Empty if one of these three kinds of
    music has no value, or no variant has one.
    """
    name = find_measure("frechet").full_name
    floor, shuffled, random = (answer.baselines.get(name + suffix, math.nan) for suffix in (FLOOR, SHUFFLED, RANDOM))
    means = {variant: intervals[name] for variant, intervals in answer.measures.items() if name in intervals}
    means = {variant: interval for variant, interval in means.items() if not math.isnan(interval.mean)}
    if math.isnan(floor + shuffled + random) or not means:
        return []
    # Up to which mean a variant is so far from real music, nearest first.
    ends = {
        "as near to real music as other real songs": floor,
        "nearer to real music than songs with shuffled tracks": shuffled,
        "nearer to real music than to random notes": (floor + random) / 2,
        "nearer to random notes than to real music": random,
        "no nearer to real music than random notes": math.inf,
    }
    groups: dict[str, list[str]] = {words: [] for words in ends}
    for variant, interval in means.items():
        groups[next(words for words, end in ends.items() if interval.mean <= end)].append(variant)
    places = [f"{with_means(names, means)} {is_or_are(names)} {words}" for words, names in groups.items() if names]
    return [
        f"How far from real music, by frechet: other real songs lie at {rounded(floor)}, songs with shuffled tracks at "
        f"{rounded(shuffled)}, random notes at {rounded(random)}; {'; '.join(places)}."
    ]


def beside_baselines(answer: Answer) -> list[str]:
    """For each measure that is read against a baseline, which variants are above it and which are below."""
    return [
        _beside(answer, measure) for measure in answer.criteria.measures if answer.above_zero.get(measure.full_name)
    ]


def _beside(answer: Answer, measure: Measure) -> str:
    p_by_variant = answer.above_zero[measure.full_name]
    intervals = {name: answer.measures[name][measure.full_name] for name in p_by_variant}
    groups: dict[str, list[str]] = {"above": [], "below": [], "no difference shown": []}
    for name, p in p_by_variant.items():
        if p <= ALPHA and intervals[name].mean > 0:
            groups["above"].append(name)
        elif p <= ALPHA and intervals[name].mean < 0:
            groups["below"].append(name)
        else:
            groups["no difference shown"].append(name)
    phrases = [f"{result} for {with_means(names, intervals)}" for result, names in groups.items() if names]
    return f"{measure.full_name}, compared with {measure.above_zero}: {'; '.join(phrases)}."
