"""Measures beside their baselines, in sentences."""

from musiclab.analysis.answer import Answer
from musiclab.analysis.statistics import ALPHA
from musiclab.measures.registry import MEASURES, Measure
from musiclab.report.sentences.phrases import with_means


def beside_baselines(answer: Answer) -> list[str]:
    """For each measure that is read against a baseline, which variants are above it and which are below."""
    return [_beside(answer, measure) for measure in MEASURES if answer.above_zero.get(measure.full_name)]


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
