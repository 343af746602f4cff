"""The section on what listeners say: strengths between floor and ceiling, verdicts, ratings, measures beside ears."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from musiclab.analysis.ears import BesideEars, beside_ears
from musiclab.analysis.intervals import Interval
from musiclab.analysis.listening import ListeningResults
from musiclab.analysis.preferences import Preferences
from musiclab.analysis.ratings import RatedByEar, RatingResults
from musiclab.analysis.results import Results
from musiclab.design.listening import REAL, SCALES, SHUFFLED, VARIANT, ListeningTest
from musiclab.measures.registry import find_measure
from musiclab.report.formatting import MARKS, p_html
from musiclab.report.html.axes import Reference
from musiclab.report.html.plots import Row, shares_plot
from musiclab.report.html.sections import Plot
from musiclab.report.html.tables import DIRECTIONS, Spread
from musiclab.report.sentences import by_ear as sentences
from musiclab.report.sentences import captions
from musiclab.report.sentences.missing import damaged
from musiclab.report.sentences.phrases import p_phrase
from musiclab.wording import counted, rounded

_ENDS: dict[str, str] = {REAL: "the ceiling", SHUFFLED: "the floor"}
_DASHES: dict[str, tuple[int, ...]] = {REAL: (), SHUFFLED: (6, 3)}


@dataclass(frozen=True)
class HeardRow:
    """A condition: `kind` is that of a verdict or of the condition; a text is empty if the condition has none."""

    name: str
    note: str
    share: Spread
    won: str
    against: Spread
    direct: str
    p: str
    verdict: str
    mark: str
    listeners: str
    blocks: str


@dataclass(frozen=True)
class RatedCell:
    """A condition's mean on a scale, and how it compares with its control there."""

    mean: Spread
    verdict: str
    mark: str
    detail: str


@dataclass(frozen=True)
class RatedRow:
    """A condition's ratings in the order of the scales."""

    name: str
    note: str
    cells: tuple[RatedCell, ...]


@dataclass(frozen=True)
class MeasureRow:
    """A measure beside ears, as text."""

    name: str
    title: str
    direction: str
    picked: Spread
    votes: int
    rank: Spread
    pairs: int
    studies: int


@dataclass(frozen=True)
class HeardTest:
    """A listening test: its sentences, and its plot and tables if anybody counts."""

    verdicts: str
    attended: list[str]
    sure: str
    plot: Plot | None
    strengths: list[HeardRow]
    ratings: list[RatedRow]


@dataclass(frozen=True)
class EarSection:
    """All parts of the section; `alert` is what must be read first, `nobody` stands alone if no test has begun."""

    nobody: str
    alert: list[str]
    tests: dict[str, HeardTest]
    trusted: list[str]
    measures: list[MeasureRow]


@dataclass(frozen=True)
class PooledEars:
    """Measures beside ears over several studies: what to read first, what was pooled, and the table."""

    alert: str
    pooled: str
    trusted: list[str]
    measures: list[MeasureRow]


def ear_section(results: Results) -> EarSection:
    """The section of a study, which says so if nobody has listened."""
    listening = results.listening
    if listening is None or not (any(listening.sessions.values()) or listening.damage):
        return EarSection(sentences.nobody(results.plan.study), [], {}, [], [])
    return EarSection(
        nobody="",
        alert=[*sentences.simulated(listening), *damaged(listening.damage)],
        tests={
            protocol: _heard_test(found) for protocol, found in listening.tests.items() if listening.sessions[protocol]
        },
        trusted=sentences.trusted(listening.beside_ears),
        measures=measure_rows(listening.beside_ears),
    )


def pooled_ears(studies: Sequence[Results]) -> PooledEars | None:
    """Measures beside ears over all studies whose pairs were heard; None if there is none.

    Studies that only simulated listeners have heard are left out unless there are no others.
    """
    heard = [(study.plan.study, study.listening) for study in studies if study.listening and study.listening.heard]
    by_people = [(name, listening) for name, listening in heard if not _is_simulated(listening)]
    chosen = by_people or heard
    beside = beside_ears([listening.heard for _, listening in chosen if listening.heard])
    if not beside:
        return None
    return PooledEars(
        alert=sentences.pooled_simulated(
            [name for name, listening in heard if _is_simulated(listening)], bool(by_people)
        ),
        pooled=sentences.pooled([name for name, _ in chosen]),
        trusted=sentences.trusted(beside),
        measures=measure_rows(beside),
    )


def measure_rows(beside: Mapping[str, BesideEars]) -> list[MeasureRow]:
    """A row a measure, those first that pick the winner most often; a measure that no vote can judge has none."""
    known = [(name, each) for name, each in beside.items() if not math.isnan(each.picked.mean)]
    rows = []
    for name, each in sorted(known, key=lambda pair: -pair[1].picked.mean):
        measure = find_measure(name)
        rows.append(
            MeasureRow(
                name=name,
                title=measure.title,
                direction=DIRECTIONS[measure.better],
                picked=Spread.of_share(each.picked),
                votes=each.picked.n,
                rank=Spread.of(each.rank, sign=True),
                pairs=each.rank.n,
                studies=each.studies,
            )
        )
    return rows


def _is_simulated(listening: ListeningResults) -> bool:
    return listening.pairs is not None and listening.pairs.attendance.simulated


def _heard_test(found: Preferences | RatingResults) -> HeardTest:
    counts = bool(found.attendance.answers)
    pairs = found if isinstance(found, Preferences) and counts else None
    rated = found if isinstance(found, RatingResults) and counts else None
    return HeardTest(
        verdicts=sentences.verdicts(found),
        attended=sentences.attended(found),
        sure=sentences.how_sure(found) if counts else "",
        plot=_plot(pairs) if pairs else None,
        strengths=_strength_rows(pairs) if pairs else [],
        ratings=_rated_rows(rated) if rated else [],
    )


def _plot(found: Preferences) -> Plot:
    """Each variant's strength with its verdict, between floor and ceiling."""
    test = found.plan.test
    references = []
    for condition in test.conditions:
        share = _in_percent(found.strengths[condition.name].share)
        if condition.kind != VARIANT and not math.isnan(share.mean):
            band = None if math.isnan(share.low) else (share.low, share.high)
            references.append(Reference(condition.name, share.mean, _DASHES[condition.kind], band))
    groups = [[_row(found, name) for name in group] for group in _groups(test)]
    heading = "Share of votes won, %"
    return Plot(heading, shares_plot(groups, references, "by-ear", heading), captions.SHARES)


def _groups(test: ListeningTest) -> list[list[str]]:
    """The variants in the test's order, those of one control together."""
    names = [condition.name for condition in test.conditions if condition.kind == VARIANT]
    controls = dict.fromkeys(test.controls[name] for name in names)
    return [[name for name in names if test.controls[name] == control] for control in controls]


def _row(found: Preferences, name: str) -> Row:
    compared, strength = found.comparisons.get(name), found.strengths[name]
    verdict = compared.verdict if compared else "control"
    notes = [f"{MARKS[verdict]} {verdict}"]
    if compared and verdict in ("better", "worse"):
        notes.append(p_phrase(compared.p_holm))
    votes = counted(strength.votes, "vote")
    return Row(name, ", ".join(notes), {}, _in_percent(strength.share), compared is None, rests_on=votes)


def _strength_rows(found: Preferences) -> list[HeardRow]:
    test = found.plan.test
    ends = [condition for condition in test.conditions if condition.kind != VARIANT]
    rows = [_strength_row(found, name, "") for group in _groups(test) for name in group]
    return rows + [_strength_row(found, condition.name, _ENDS[condition.kind]) for condition in ends]


def _strength_row(found: Preferences, name: str, end: str) -> HeardRow:
    strength, compared = found.strengths[name], found.comparisons.get(name)
    verdict = compared.verdict if compared else "" if end else "control"
    return HeardRow(
        name=name,
        note=end,
        share=Spread.of_share(strength.share),
        won=_of(strength.won, strength.votes),
        against=Spread.of_share(compared.share) if compared else Spread("", "", 0),
        direct=_of(compared.won, compared.direct) if compared else "",
        p=p_html(compared.p_holm) if compared else "",
        verdict=verdict,
        mark=MARKS[verdict] if verdict else "",
        listeners=str(compared.listeners) if compared else "",
        blocks=str(compared.blocks) if compared else "",
    )


def _rated_rows(found: RatingResults) -> list[RatedRow]:
    test = found.plan.test
    notes = {condition.name: _ENDS[condition.kind] for condition in test.conditions if condition.kind != VARIANT}
    names = [name for group in _groups(test) for name in group] + [*notes]
    controls = {name: "★ control" for name in names if test.controls.get(name) == name}
    return [
        RatedRow(
            name=name,
            note=notes.get(name) or controls.get(name, ""),
            cells=tuple(
                _rated_cell(found.means[name][scale], found.comparisons.get(name, {}).get(scale)) for scale in SCALES
            ),
        )
        for name in names
    ]


def _rated_cell(mean: Interval, compared: RatedByEar | None) -> RatedCell:
    if compared is None:
        return RatedCell(Spread.of(mean), "", "", "")
    difference = Spread.of(compared.difference, sign=True)
    detail = f"{difference.mean} {difference.bounds}".strip()
    verdict, p = compared.verdict, p_phrase(compared.p_holm)
    return RatedCell(Spread.of(mean), verdict, MARKS[verdict], f"{detail}, {p}" if verdict != "not compared" else "")


def _of(won: float, votes: int) -> str:
    """`45.5 of 80`."""
    return f"{rounded(won)} of {votes}"


def _in_percent(interval: Interval) -> Interval:
    """The interval on the plot's axis."""
    return Interval(100 * interval.mean, 100 * interval.low, 100 * interval.high, interval.n)
