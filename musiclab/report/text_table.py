"""The table of an answer, as a terminal and MLflow show it."""

import math
from collections.abc import Callable

from musiclab.analysis.answer import Answer
from musiclab.measures.baselines import FLOOR, RANDOM, SHUFFLED
from musiclab.measures.registry import MEASURES, Measure
from musiclab.report.formatting import bounds_text, mean_text, p_text
from musiclab.report.sentences import verdict_detail
from musiclab.wording import counted, rounded

_COLUMNS = 6  # variants beside one another; more go below, or no terminal would show them
_SCALES = tuple(suffix.removeprefix(".") for suffix in (SHUFFLED, RANDOM))
# What a table shows beside the objective: the same few in every study, so that one learns to read them, and none chosen
# for having come out well.
_HEADLINES = (
    "latent/frame_f1", "latent/kl", "latent/active_units", "latent/posterior_sd",
    "next/next_f1", "next/gain_over_repeat", "tokens/perplexity", "tokens/bits_over_unigram",
    "style/similarity", "style/specificity", "style/retrieval",
    "music/empty_bars", "music/used_pitch_classes", "music/scale_consistency", "music/note_density",
    "music/note_length", "music/tonal_distance", "music/harmony_gain",
    "set/frechet", "set/precision", "set/recall", "set/diversity_ratio", "set/duplicate_rate", "set/copied_rate",
    "set/start_sensitivity", "set/noise_sensitivity",
)  # fmt: skip


def table(answer: Answer) -> str:
    """Measures x variants: the mean, under it its 95 % interval; the objective first, with its comparisons below it.

    Controls bear a star; where the aim is to be like real music, differences are those of the distances to its value.
    The column "real v. real" says what real music scores against other real music of the same held-out songs: its value
    where that is the aim, then how far apart the two are; for reconstruction, what a guess of other music would score.
    "shuffled" and "random" are what tracks put together from different songs score, and random notes. Of the measures
    beside the objective it has the headlines; a last line says how many more there are.
    """
    headlines = [m for m in MEASURES if m.full_name in _HEADLINES and m != answer.objective]
    same = _same_for_all(answer, headlines)
    measures = [answer.objective, *(measure for measure in headlines if measure not in same)]
    parts = [_part(answer, names, measures) for names in _groups(answer)]
    if same:
        first = next(iter(answer.measures))
        rows = [["", "better", *_scale_names(answer), "all variants"]]
        for measure in same:
            rows += _rows(answer, measure, [first])
        parts.append(_aligned(rows))
    shown = {measure.full_name for measure in (answer.objective, *headlines)}
    more = {name for of in answer.measures.values() for name, interval in of.items() if interval.n} - shown
    if more:
        parts.append(f"{counted(len(more), 'more measure')}: see report.html and results.csv.")
    return "\n\n".join(parts)


def _groups(answer: Answer) -> list[list[str]]:
    """The variants that stand beside one another, so few that they fit, each with its control."""
    groups = []
    for control in dict.fromkeys(answer.controls.values()):
        names = [name for name in answer.controls if answer.controls[name] == control]
        if len(names) <= _COLUMNS:
            groups.append(names)
            continue
        others = [name for name in names if name != control]
        groups += [[control, *others[at : at + _COLUMNS - 1]] for at in range(0, len(others), _COLUMNS - 1)]
    return groups


def _same_for_all(answer: Answer, measures: list[Measure]) -> list[Measure]:
    """What the compared fields cannot touch, such as the networks' own measures where only generation differs."""
    first, *others = answer.measures.values()
    return [
        measure
        for measure in measures
        if others
        and (interval := first.get(measure.full_name))
        and interval.n
        and all(of.get(measure.full_name) == interval for of in others)
    ]


def _part(answer: Answer, names: list[str], measures: list[Measure]) -> str:
    """The table of some variants; a long name takes a line for each of its fields."""
    words = [(f"{name}*" if answer.controls[name] == name else name).split(", ") for name in names]
    height = max(map(len, words))
    stacked = [[""] * (height - len(word)) + word for word in words]
    scales = _scale_names(answer)
    blank = [""] * (1 + len(scales))
    rows = [["", *blank, *line] for line in zip(*stacked, strict=True)]
    rows[-1][1 : 2 + len(scales)] = ["better", *scales]
    for measure in measures:
        if any(
            measure.full_name in answer.measures[name] and answer.measures[name][measure.full_name].n for name in names
        ):
            rows += _rows(answer, measure, names)
        if measure == answer.objective:
            rows += [[label, *blank, *values] for label, *values in _compared(answer, names)]
    blocks = [max((i.n for i in answer.measures[name].values()), default=0) for name in names]
    rows.append(["blocks", *blank, *map(str, blocks)])
    for label, of in (("trials missing", answer.missing), ("trials failed", answer.failed)):
        if any(of.values()):
            rows.append([label, *blank, *(str(of[name]) for name in names)])
    return _aligned(rows, height)


def _compared(answer: Answer, names: list[str]) -> list[list[str]]:
    """What stands below the objective: its differences to the control, what they come to, and the verdict."""
    compared = [answer.comparisons.get(name) for name in names]
    if not any(compared):
        return []
    difference = "  distance to real, less *" if answer.objective.better == "real" else "  difference to *"
    rows = [
        [difference, *(mean_text(c.difference) if c else "*" for c in compared)],
        ["", *(bounds_text(c.difference) if c else "" for c in compared)],
        ["  p (Holm)", *(p_text(c.p_holm) if c else "" for c in compared)],
    ]
    if answer.criteria.margin is not None:
        rows.append(
            [f"  p (within {answer.criteria.margin:g})", *(p_text(c.p_equivalent) if c else "" for c in compared)]
        )
    better = "P(nearer to real)" if answer.objective.better == "real" else "P(better)"
    return [
        *rows,
        [f"  {better}", *(mean_text(c.improvement) if c else "" for c in compared)],
        ["", *(bounds_text(c.improvement) if c else "" for c in compared)],
        ["  verdict", *(c.verdict if c else "" for c in compared)],
        ["", *(verdict_detail(answer, name) if c else "" for name, c in zip(names, compared, strict=True))],
    ]


def _rows(answer: Answer, measure: Measure, names: list[str]) -> list[list[str]]:
    intervals = [answer.measures[name].get(measure.full_name) for name in names]
    scale = _scale(answer, measure.full_name)
    return [
        [measure.full_name, measure.better, *scale, *map(mean_text, intervals)],
        ["", "", *[""] * len(scale), *map(bounds_text, intervals)],
    ]


def _scale_names(answer: Answer) -> list[str]:
    """The columns of what other music scores, as far as the study has it."""
    return ["real v. real", *(of for of in _SCALES if any(name.endswith(f".{of}") for name in answer.baselines))]


def _scale(answer: Answer, full: str) -> list[str]:
    """What other music scores on a measure, a text for each of `_scale_names`."""
    return [
        real_score(answer, full),
        *(rounded(answer.baselines.get(f"{full}.{of}", math.nan)) for of in _scale_names(answer)[1:]),
    ]  # fmt: skip


def real_score(answer: Answer, full: str, written: Callable[[float], str] = rounded) -> str:
    """What real music scores: its value where that is the aim, and the floor, other real music's distance from it."""
    floor = written(answer.baselines.get(full + FLOOR, math.nan))
    return f"{written(answer.baselines[full])} ± {floor}" if full in answer.baselines else floor


def _aligned(rows: list[list[str]], height: int = 1) -> str:
    """Rows as lines of equal columns, with a rule below the first `height`, without empty ones."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines[:height], "-" * max(map(len, lines)), *filter(None, lines[height:])])
