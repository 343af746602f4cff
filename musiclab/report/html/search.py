"""The section on a search: what it tried and found, its ranking beside the confirmed one, and what it cost."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from markupsafe import Markup

from musiclab.analysis.results import Results
from musiclab.analysis.search import Confirmed, SearchResults, Tried
from musiclab.measures.registry import Measure
from musiclab.report.formatting import MARKS, NONE, number, signed_html, value_text, verdict_html
from musiclab.report.html.listening import Shown, shown
from musiclab.report.html.search_marks import FieldAxis, Points, field_axis, jitter, thinned
from musiclab.report.html.search_plots import (
    Scored,
    Trace,
    front_plot,
    history_plot,
    pair_plot,
    parallel_plot,
    rungs_plot,
    slice_plot,
)
from musiclab.report.html.tables import Spread
from musiclab.report.samples import sample_of
from musiclab.report.sentences import captions
from musiclab.report.sentences.search import STATES, score_name, values_phrase
from musiclab.storage.records import Records
from musiclab.wording import duration

_MOST_SLICES = 12
_MOST_LINES = 80  # in parallel coordinates, of those that are not among the best
_MOST_BEST = 20
_MOST_NUMBERED = 8
_CROWD = 50  # proposals, of which one state may be drawn with fewer marks
_MOST_RUNGS = 25  # lines of each state
_MOST_HEARD = 8
_LARGEST_HEARD = 2_500_000  # bytes of a front's drawings and sounds
_WITHOUT_SCORE = tuple(state for state in STATES if state != "finished")


@dataclass(frozen=True)
class SearchPlot:
    """An SVG with its heading, the note below it, and its marks with what they mean."""

    heading: str
    svg: Markup
    note: str
    marks: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Ranked:
    """A row of the ranking: numbers as text, `scores` a triple an objective: searched, confirmed, overstated."""

    name: str
    values: str
    place: str
    confirmed_place: str
    scores: tuple[tuple[str, Spread, str], ...]
    verdict: str
    mark: str


@dataclass(frozen=True)
class Heard:
    """A member of a front that can be heard: its number, values and scores as text, and its sample."""

    number: int
    values: str
    scores: tuple[str, ...]
    cell: Shown


@dataclass(frozen=True)
class FieldShare:
    """How important a field was: a share from 0 to 1, and of how many proposals it was a part."""

    name: str
    share: float
    applies: int


@dataclass(frozen=True)
class SearchSection:
    """All parts of the section; a part that a search has nothing for is empty or None."""

    history: SearchPlot | None
    parallel: SearchPlot | None
    slices: list[SearchPlot]
    more_slices: int
    pair: SearchPlot | None
    rungs: SearchPlot | None
    fronts: list[SearchPlot]
    heard: list[Heard]
    shares: list[FieldShare]
    few: str
    objectives: list[str]
    ranking: list[Ranked]
    cost: list[tuple[str, str]]


def search_section(results: Results) -> SearchSection | None:
    """The section of a study; None if it is no search."""
    search = results.search
    if search is None:
        return None
    finished = _finished(search)
    axes = {name: field_axis(dimension) for name, dimension in search.space.items()}
    heard = _heard(results, search)
    order = [*search.importance, *(name for name in axes if name not in search.importance)]
    fields = [name for name in order if name in axes and any(name in each.values for each in finished)]
    return SearchSection(
        history=history_figure(search) if search.tried else None,
        parallel=_parallel(search, axes) if len(finished) > 1 else None,
        slices=[_slice(search, name, axes[name], place) for place, name in enumerate(fields[:_MOST_SLICES])],
        more_slices=max(0, len(fields) - _MOST_SLICES),
        pair=_pair(search, axes, (fields[0], fields[1])) if len(fields) > 1 and len(finished) > 2 else None,
        rungs=rungs_figure(search),
        fronts=[front_figure(search, other, heard) for other in search.objectives[1:]] if search.front else [],
        heard=heard,
        shares=[
            FieldShare(name, share, sum(name in each.values for each in finished))
            for name, share in search.importance.items()
        ],
        few=captions.few_for_importance(len(finished)),
        objectives=[score_name(objective) for objective in search.objectives],
        ranking=_ranking(results, search),
        cost=_cost(search),
    )


def _finished(search: SearchResults) -> list[Tried]:
    """The proposals that have a score of the objective."""
    return [each for each in search.tried if math.isfinite(each.score(search.objective))]


def _numbered(search: SearchResults) -> dict[int, Confirmed]:
    """The confirmed proposals, as many as a plot can number."""
    return {each.number: each for each in search.confirmed[:_MOST_NUMBERED] if each.number is not None}


def _heading(search: SearchResults, by: str) -> str:
    return f"{score_name(search.objective)} {by}"


def history_figure(search: SearchResults) -> SearchPlot:
    objective, numbered = search.objective, _numbered(search)
    finished = _finished(search)
    points = {each.number: (float(each.number), each.score(objective)) for each in finished}
    by_state = {state: [each.number for each in search.tried if each.state == state] for state in _WITHOUT_SCORE}
    lanes = {state: (STATES[state], numbers) for state, numbers in by_state.items() if numbers}
    last = max(each.number for each in search.tried)
    best = [(float(each), score) for each, score in search.history]
    plot = history_plot(
        Scored({"finished": list(points.values())}, {each: points[each] for each in numbered if each in points}),
        best,
        lanes,
        last,
        _heading(search, "by proposal"),
        captions.history(len(finished), [(each, number(score)) for each, score in search.history]),
    )
    marks = [
        ("best", "best so far"),
        ("finished", "finished"),
        *((state, words) for state, (words, _) in lanes.items()),
    ]
    note = f"{captions.HISTORY} {captions.CROWDED}" if len(search.tried) > _CROWD else captions.HISTORY
    return SearchPlot(_heading(search, "by proposal"), plot, note, (*marks, *_confirmed_mark(search)))


def _confirmed_mark(search: SearchResults) -> tuple[tuple[str, str], ...]:
    return (("confirmed", captions.CHOSEN),) if search.confirmed else ()


def _parallel(search: SearchResults, axes: dict[str, FieldAxis]) -> SearchPlot:
    objective, numbered = search.objective, _numbered(search)
    ranked = sorted(_finished(search), key=lambda each: objective.sign * each.score(objective), reverse=True)
    most = min(_MOST_BEST, max(1, len(ranked) // 10))
    best = [each for each in ranked[:most] if each.number not in numbered]
    others = thinned(ranked[most:], _MOST_LINES)
    groups = {
        "others": _traces(search, axes, (each for each in others if each.number not in numbered)),
        "best": _traces(search, axes, best),
        "confirmed": _traces(search, axes, (each for each in ranked if each.number in numbered)),
    }
    shown = [each.score for traces in groups.values() for each in traces]
    plot = parallel_plot(
        axes, groups, (score_name(objective), shown), captions.PARALLEL_TITLE,
        captions.parallel(
            [(each.number, values_phrase(each.values), number(each.score(objective))) for each in ranked[:5]]
        ),
    )  # fmt: skip
    return SearchPlot(captions.PARALLEL_TITLE, plot, captions.parallel_note(most, len(others), len(ranked)))


def _traces(search: SearchResults, axes: dict[str, FieldAxis], tried: Iterable[Tried]) -> list[Trace]:
    return [
        Trace(
            each.number,
            tuple(
                axis.place(each.values[name], jitter(each.number)) if name in each.values else None
                for name, axis in axes.items()
            ),
            each.score(search.objective),
        )
        for each in tried
    ]


def _slice(search: SearchResults, name: str, axis: FieldAxis, place: int) -> SearchPlot:
    objective, numbered = search.objective, _numbered(search)
    finished = _finished(search)
    points = {
        each.number: (axis.place(each.values[name], jitter(each.number)), each.score(objective))
        for each in finished
        if name in each.values
    }
    scored = Scored({"finished": list(points.values())}, {each: points[each] for each in numbered if each in points})
    heading = f"{name}, in {len(points)} of {len(finished)}" if len(points) < len(finished) else name
    scores = [each.score(objective) for each in finished]
    leader = search.first
    value = value_text(leader.values[name]) if leader and name in leader.values else NONE
    plot = slice_plot(axis, scored, scores, f"slice-{place}", heading, captions.slice_of(name, len(points), value))
    return SearchPlot(heading, plot, "")


def _pair(search: SearchResults, axes: dict[str, FieldAxis], names: tuple[str, str]) -> SearchPlot:
    across, up = (axes[name] for name in names)
    finished, numbered = _finished(search), _numbered(search)
    order = sorted(finished, key=lambda each: search.objective.sign * each.score(search.objective))
    shares = {each.number: rank / max(1, len(order) - 1) for rank, each in enumerate(order)}
    places: dict[str, dict[int, tuple[float, float]]] = {}
    for each in search.tried:
        if all(name in each.values for name in names):
            # Jitter of its own for each side, or dots of two fields without order would lie on a line.
            at = (
                across.place(each.values[names[0]], jitter(each.number)),
                up.place(each.values[names[1]], jitter(7 * each.number + 3)),
            )
            places.setdefault(each.state, {})[each.number] = at
    goodness = [(*at, shares[each]) for each, at in places.get("finished", {}).items() if each in shares]
    kinds = [state for state in STATES if state in places]
    marks: dict[str, Points] = {state: list(places[state].values()) for state in kinds}
    every = {each: at for by_number in places.values() for each, at in by_number.items()}
    scored = Scored(marks, {each: every[each] for each in numbered if each in every})
    heading = f"{names[0]} and {names[1]}"
    plot = pair_plot(across, up, scored, goodness, names, heading, captions.pair(names, len(goodness)))
    legend = tuple((state, STATES[state]) for state in kinds)
    return SearchPlot(heading, plot, captions.PAIR, (*legend, *_confirmed_mark(search)))


def rungs_figure(search: SearchResults) -> SearchPlot | None:
    """None if no trial has come to a rung, or if there is none."""
    if not search.rungs:
        return None
    lines: dict[str, list[list[float]]] = {}
    for each in search.tried:
        values = [value for value in each.end.rungs if math.isfinite(value)] if each.end else []
        if values:
            lines.setdefault(each.state, []).append(values)
    if not lines:
        return None
    counts = {state: len(of_state) for state, of_state in lines.items()}
    lines = {state: thinned(sorted(lines[state]), _MOST_RUNGS) for state in STATES if state in lines}
    names = [f"{Fraction(share).limit_denominator(100)} of the training" for share in search.rungs]
    plot = rungs_plot(
        names, lines, captions.RUNGS_TITLE, captions.rungs([(STATES[each], counts[each]) for each in lines])
    )
    thin = any(count > _MOST_RUNGS for count in counts.values())
    note = f"{captions.RUNGS} {captions.thinned(_MOST_RUNGS)}" if thin else captions.RUNGS
    return SearchPlot(captions.RUNGS_TITLE, plot, note, tuple((state, STATES[state]) for state in lines))


def front_figure(search: SearchResults, other: Measure, heard: list[Heard]) -> SearchPlot:
    objectives = (search.objective, other)
    points = {each.number: (each.score(objectives[0]), each.score(objectives[1])) for each in _finished(search)}
    points = {each: point for each, point in points.items() if all(map(math.isfinite, point))}
    members = {each: points[each] for each in search.front}
    names = (score_name(objectives[0]), score_name(objectives[1]))
    heading = f"{names[1]} by {names[0]}"
    plot = front_plot(
        [point for each, point in points.items() if each not in members],
        members,
        {each: points[each] for each in _numbered(search) if each in points},
        [each.number for each in heard],
        (_with_aim(objectives[0]), _with_aim(objectives[1])),
        f"front-{search.objectives.index(other)}",
        heading,
        captions.front(len(members), len(points)),
    )
    marks = (("finished", "finished"), ("front", captions.FRONT_MEMBER), *_confirmed_mark(search))
    return SearchPlot(heading, plot, captions.FRONT_HEARD if heard else captions.FRONT, marks)


def _with_aim(objective: Measure) -> str:
    """What a score is of, and which way is better: a distance to real music is better if it is lower."""
    return f"{score_name(objective)}, {captions.aim('higher' if objective.better == 'higher' else 'lower')}"


def _heard(results: Results, search: SearchResults) -> list[Heard]:
    """Members of the front with a sample, evenly spread over it, as many as fit on the page."""
    records, by_number = Records(results.storage), {each.number: each for each in search.tried}
    heard: list[Heard] = []
    left = _LARGEST_HEARD
    for each in (by_number[member] for member in thinned(search.front, _MOST_HEARD)):
        record = records.get(each.proposal.key)
        sample = sample_of(records, record, 1) if record else ""
        if isinstance(sample, str):
            continue
        cell = shown(f"proposal {each.number}, start 1", sample)
        if cell.size > left:
            break
        left -= cell.size
        scores = tuple(number(each.score(objective)) for objective in search.objectives)
        heard.append(Heard(each.number, values_phrase(each.values), scores, cell))
    return heard


def _ranking(results: Results, search: SearchResults) -> list[Ranked]:
    """The control, then what was confirmed in the order of the confirmed means."""
    objective, answer = search.objective, results.answer
    sign, name = objective.sign, objective.full_name
    present = sorted(
        (each for each in search.confirmed if math.isfinite(each.means[name].mean)),
        key=lambda each: sign * each.means[name].mean,
        reverse=True,
    )
    places = {each.name: str(place) for place, each in enumerate(present, 1)}
    rest = [each for each in search.confirmed if each.name not in places]
    rows = []
    for each in [*([search.control] if search.control else []), *present, *rest]:
        conclusion = verdict_html(answer.comparisons.get(each.name))
        rows.append(
            Ranked(
                name=each.name,
                values=values_phrase(each.values),
                place=NONE if each.place is None else str(each.place),
                confirmed_place=places.get(each.name, ""),
                scores=tuple(
                    (
                        number(each.searched[measure.full_name]),
                        Spread.of(each.means[measure.full_name]),
                        signed_html(each.overstated(measure)),
                    )
                    for measure in search.objectives
                ),
                verdict=conclusion,
                mark=MARKS[conclusion],
            )
        )
    return rows if search.confirmed else []


def _cost(search: SearchResults) -> list[tuple[str, str]]:
    cost = search.cost
    spent = [
        f"{STATES[state]}: {_time(seconds)}" for state, seconds in cost.seconds.items() if seconds or state == "pruned"
    ]
    rows: list[tuple[str, Any]] = [
        ("trials", f"{cost.trials:,} have ended, {_time(cost.total)} of workers' time"),
        ("of that", "; ".join(spent) or NONE),
        ("a finished one", f"{_time(cost.mean)} on average"),
    ]
    if search.rungs:
        rows.append(("none ended early", f"about {_time(cost.full)}, {captions.FULL_TRIALS}"))
    rows.append(("a full grid", f"{cost.grid_trials:,} trials, about {_time(cost.grid)}; {captions.FULL_GRID}"))
    return rows


def _time(seconds: float) -> str:
    return NONE if math.isnan(seconds) else duration(seconds)
