"""The table of an answer in plain text, for a terminal and for MLflow."""

import math
import textwrap
from collections.abc import Callable
from itertools import zip_longest

from musiclab.analysis.answer import Answer
from musiclab.analysis.comparisons import Comparison
from musiclab.analysis.search import SearchResults
from musiclab.measures.baselines import FLOOR, RANDOM, SHUFFLED
from musiclab.measures.registry import OWN, Measure
from musiclab.report.formatting import UNBOUNDED, bounds_text, mean_text, p_text
from musiclab.report.sentences import captions, verdict_detail
from musiclab.report.sentences.search import values_phrase
from musiclab.wording import counted, rounded

_COLUMNS = 6  # variants side by side; the others follow below, because terminals are narrow
_DETAIL_WIDTH = 20  # letters of a line below a verdict
_BASELINES = tuple(suffix.removeprefix(".") for suffix in (SHUFFLED, RANDOM))
_Table = tuple[list[list[str]], int]  # rows of cells, and how many of the rows are the head
# The measures beside the objective: the same few in every study, so that one learns to read them, and so that none is
# chosen because it came out well.
_HEADLINES = (
    "latent/frame_f1", "latent/kl", "latent/active_units", "latent/posterior_sd",
    "next/next_f1", "next/gain_over_repeat", "tokens/perplexity", "tokens/bits_over_unigram",
    "style/similarity", "style/specificity", "style/retrieval",
    "music/empty_bars", "music/used_pitch_classes", "music/scale_consistency", "music/note_density",
    "music/note_length", "music/tonal_distance", "music/harmony_gain",
    "set/frechet", "set/precision", "set/recall", "set/diversity_ratio", "set/duplicate_rate", "set/copied_rate",
    "set/start_sensitivity", "set/noise_sensitivity",
)  # fmt: skip


def table(answer: Answer, spell: Callable[[str], str] = str) -> str:
    """Measures x variants: the mean, under it its 95 % interval; the objective first, its comparisons below it.

    If there is a margin, the 90 % interval of a difference belongs to the test of equivalence.

    Controls bear a star. If the aim is to be like real music, differences are those of the distances to its value.
    Three columns say what other music scores:

    - "real v. real": real music against other real music of the same held-out songs; if the aim is to be like real
      music, its value and then how far apart two sets of it are; for reconstruction, a guess of other music.
    - "shuffled": real music whose tracks come from different songs.
    - "random": random notes.

    Of the measures beside the objective the table has the headlines and the study's own. A last line says how many more
    there are. `spell` writes a cell with the signs that a terminal has.
    """
    others = [measure for measure in answer.criteria.measures if measure != answer.objective]
    headlines = [measure for measure in others if measure.full_name in _HEADLINES or measure.group == OWN]
    same = _same_for_all(answer, headlines)
    measures = [answer.objective, *(measure for measure in headlines if measure not in same)]
    tables = [_table_of(answer, names, measures) for names in _groups(answer)]
    if same:
        tables.append(_table_of_same(answer, same))
    blocks = [_aligned([[spell(cell) for cell in row] for row in rows], height) for rows, height in tables]
    if any(UNBOUNDED in block for block in blocks):
        blocks.append(spell(captions.UNBOUNDED))
    shown = {measure.full_name for measure in (answer.objective, *headlines)}
    measured = {name for intervals in answer.measures.values() for name, interval in intervals.items() if interval.n}
    if more := measured - shown:
        blocks.append(f"{counted(len(more), 'more measure')}: see report.html and results.csv.")
    return "\n\n".join(blocks)


def search_table(answer: Answer, search: SearchResults | None, spell: Callable[[str], str] = str) -> str:
    """What a search has confirmed: places and scores in the search beside those on fresh blocks; empty if nothing.

    "overstated" is by how much the search made it look better than it is. Scores are of the objective; of several,
    each of them follows.
    """
    variants = [each for each in (search.control, *search.confirmed) if each] if search else []
    if search is None or not search.confirmed:
        return ""
    rows = [["", "place", "objective", "searched", "confirmed", "", "overstated", "verdict", "values"]]
    for variant in variants:
        compared = answer.comparisons.get(variant.name)
        for objective in search.objectives:
            mean, is_first = variant.means[objective.full_name], objective == search.objective
            cells = [rounded(variant.searched[objective.full_name]), rounded(mean.mean), bounds_text(mean)]
            cells.append(rounded(variant.overstated(objective)))
            place = "-" if variant.place is None else str(variant.place)
            head = [variant.name, place] if is_first else ["", ""]
            tail = [compared.verdict if compared else "", values_phrase(variant.values)] if is_first else ["", ""]
            rows.append([*head, objective.name, *cells, *tail])
    return _aligned([[spell(cell) for cell in row] for row in rows], 1)


def _groups(answer: Answer) -> list[list[str]]:
    """Groups of variants, each with its control, that fit side by side."""
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
    """Measures that the compared fields cannot change, such as the networks' own if only generation differs."""
    first, *others = answer.measures.values()
    return [
        measure
        for measure in measures
        if others
        and (interval := first.get(measure.full_name))
        and interval.n
        and all(intervals.get(measure.full_name) == interval for intervals in others)
    ]


def _table_of_same(answer: Answer, measures: list[Measure]) -> _Table:
    """The table of measures that have one value for all variants."""
    any_variant = next(iter(answer.measures))
    rows = [["", "better", *_baseline_names(answer), "all variants"]]
    for measure in measures:
        rows += _measure_rows(answer, measure, [any_variant])
    return rows, 1


def _table_of(answer: Answer, names: list[str], measures: list[Measure]) -> _Table:
    """The table of some variants; a long name takes a line for each of its fields."""
    fields_by_name = [(f"{name}*" if answer.controls[name] == name else name).split(", ") for name in names]
    height = max(map(len, fields_by_name))
    stacked = [[""] * (height - len(fields)) + fields for fields in fields_by_name]
    baselines = _baseline_names(answer)
    blank = [""] * (1 + len(baselines))
    rows = [["", *blank, *line] for line in zip(*stacked, strict=True)]
    rows[-1][1 : 2 + len(baselines)] = ["better", *baselines]
    for measure in measures:
        intervals = [answer.measures[name].get(measure.full_name) for name in names]
        if any(interval and interval.n for interval in intervals):
            rows += _measure_rows(answer, measure, names)
        if measure == answer.objective:
            rows += [[label, *blank, *values] for label, *values in _comparison_rows(answer, names)]
    blocks = [max((interval.n for interval in answer.measures[name].values()), default=0) for name in names]
    rows.append(["blocks", *blank, *map(str, blocks)])
    for label, trials in (("trials missing", answer.missing), ("trials failed", answer.failed)):
        if any(trials.values()):
            rows.append([label, *blank, *(str(trials[name]) for name in names)])
    return rows, height


def _comparison_rows(answer: Answer, names: list[str]) -> list[list[str]]:
    """The rows below the objective: its differences to the control, their tests, and the verdicts."""
    comparisons = [answer.comparisons.get(name) for name in names]
    if not any(comparisons):
        return []

    def row(label: str, text: Callable[[Comparison], str], of_control: str = "") -> list[str]:
        return [label, *(text(comparison) if comparison else of_control for comparison in comparisons)]

    to_real = answer.objective.better == "real"
    rows = [
        row(
            "  distance to real, minus *" if to_real else "  difference to *",
            lambda comparison: mean_text(comparison.difference),
            of_control="*",
        ),
        row("", lambda comparison: bounds_text(comparison.difference)),
        row("  p (Holm)", lambda comparison: p_text(comparison.p_holm)),
    ]
    if answer.criteria.margin is not None:
        rows.append(row("  90 % interval", lambda comparison: bounds_text(comparison.within)))
        rows.append(row(f"  p (within {answer.criteria.margin:g})", lambda comparison: p_text(comparison.p_equivalent)))
    rows += [
        row(
            "  P(nearer to real)" if to_real else "  P(better)",
            lambda comparison: mean_text(comparison.improvement),
        ),
        row("", lambda comparison: bounds_text(comparison.improvement)),
        row("  verdict", lambda comparison: comparison.verdict),
    ]
    details = [
        textwrap.wrap(verdict_detail(answer, name), _DETAIL_WIDTH) if comparison else []
        for name, comparison in zip(names, comparisons, strict=True)
    ]
    return rows + [["", *line] for line in zip_longest(*details, fillvalue="")]


def _measure_rows(answer: Answer, measure: Measure, names: list[str]) -> list[list[str]]:
    """A measure's row of means, and below it the row of their intervals."""
    intervals = [answer.measures[name].get(measure.full_name) for name in names]
    scores = _baseline_scores(answer, measure.full_name)
    return [
        [measure.full_name, measure.better, *scores, *map(mean_text, intervals)],
        ["", "", *[""] * len(scores), *map(bounds_text, intervals)],
    ]


def _baseline_names(answer: Answer) -> list[str]:
    """The columns of what other music scores, as far as the study has them."""
    present = [name for name in _BASELINES if any(full.endswith(f".{name}") for full in answer.baselines)]
    return ["real v. real", *present]


def _baseline_scores(answer: Answer, full_name: str) -> list[str]:
    """What other music scores on a measure: a text for each of `_baseline_names`."""
    _, *others = _baseline_names(answer)
    scores = [answer.baselines.get(f"{full_name}.{name}", math.nan) for name in others]
    return [real_score(answer, full_name), *map(rounded, scores)]


def real_score(answer: Answer, full_name: str, written: Callable[[float], str] = rounded) -> str:
    """What real music scores on a measure: `value ± floor` if the aim is to be like it, else the floor alone.

    The floor is the distance of other real music.
    """
    floor = written(answer.baselines.get(full_name + FLOOR, math.nan))
    return f"{written(answer.baselines[full_name])} ± {floor}" if full_name in answer.baselines else floor


def _aligned(rows: list[list[str]], height: int) -> str:
    """Rows as lines with aligned columns and a rule below the first `height` lines; empty lines are left out."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines[:height], "-" * max(map(len, lines)), *filter(None, lines[height:])])
