"""The page of a study's report: one HTML file that needs nothing else, put together from the other modules' parts."""

import itertools
import re
from typing import Any

from markupsafe import Markup

from musiclab.analysis.results import Results
from musiclab.design.listening import SCALES
from musiclab.measures.baselines import RANDOM, SHUFFLED
from musiclab.report.formatting import moment, shortened
from musiclab.report.html import tables, trial_tables
from musiclab.report.html.by_ear import ear_section
from musiclab.report.html.listening import LISTENING_CSS, LISTENING_JS, listening
from musiclab.report.html.plots import swatch
from musiclab.report.html.search import search_section
from musiclab.report.html.search_marks import mark_swatch
from musiclab.report.html.sections import (
    curve_plots,
    distribution_plots,
    fewer,
    legend,
    objective_plot,
    response_plots,
)
from musiclab.report.html.templates import template
from musiclab.report.sentences import (
    beside_baselines,
    captions,
    distance_from_real,
    evidence,
    evidence_mark,
    headline,
    how_sure,
    lacking,
    searched,
    single_effects,
)
from musiclab.wording import counted

_LONGEST_HEADING = 200
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def page(results: Results) -> str:
    """The whole page as HTML; the same results give the same page."""
    # Half characters, from file names of another encoding, cannot be written. HTML has no control characters.
    return _UNWRITABLE.sub("\ufffd", _page(results))


def _page(results: Results) -> str:
    answer, keys = results.answer, legend(results)
    outlined, swatches = fewer(results, keys), itertools.count()
    question, explained = _question(results.plan.question)
    curves, more_curves = curve_plots(results, keys)
    verdicts = tables.verdict_rows(results)
    effects, responses = _effects(results), response_plots(results)
    return template("report.html.j2").render(
        counted=counted,
        evidence=evidence,
        evidence_mark=evidence_mark,
        results=results,
        plan=results.plan,
        answer=answer,
        question=question,
        explained=explained,
        facts=_facts(results),
        sentence=headline(answer, results.search),
        searched=searched(answer, results.search),
        search=search_section(results),
        by_ear=ear_section(results),
        scales=SCALES,
        captions=captions,
        mark_swatch=lambda kind: mark_swatch(kind, f"mark-{next(swatches)}"),
        distance=distance_from_real(answer),
        lacking=lacking(answer),
        single_effects=single_effects(answer),
        beside_baselines=beside_baselines(answer),
        sure=how_sure(answer),
        objective_plot=objective_plot(results),
        fields=tables.variant_fields(results),
        verdicts=verdicts,
        lacks=tables.lacks(verdicts),
        effects=effects,
        responses=responses,
        has_effects=bool(responses or any(effects.values())),
        measures=tables.measure_tables(answer),
        has_baselines=any(name.endswith((SHUFFLED, RANDOM)) for name in answer.baselines),
        names=list(answer.measures),
        groups=tables.GROUPS,
        keys=keys,
        swatch=lambda style: swatch(style, f"swatch-{next(swatches)}"),
        curves=curves,
        more_curves=more_curves,
        outlined=outlined,
        distributions=distribution_plots(results, outlined),
        listening=listening(results),
        # These are this package's own, so they are not escaped.
        listening_style=Markup(LISTENING_CSS),
        listening_script=Markup(LISTENING_JS),
        cost=trial_tables.cost(results),
        unfinished=trial_tables.unfinished(results),
        reproduction=trial_tables.reproduction(results),
        base=results.plan.base,
    )


def _question(text: str) -> tuple[str, list[str]]:
    """The question itself for a heading, and the paragraphs that explain it."""
    paragraphs = [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text) if paragraph.strip()]
    question = re.match(r"(.+?\?)(?:\s|$)", paragraphs[0]) if paragraphs else None
    if question and len(question[1]) <= _LONGEST_HEADING:
        rest = paragraphs[0][question.end() :].strip()
        return question[1], [paragraph for paragraph in (rest, *paragraphs[1:]) if paragraph]
    if paragraphs and len(paragraphs[0]) <= _LONGEST_HEADING:
        return paragraphs[0], paragraphs[1:]
    return shortened(text, _LONGEST_HEADING), paragraphs


def _facts(results: Results) -> list[str]:
    """What the study is, in a line: name, scale, data, size, when."""
    plan, search = results.plan, results.search
    extent = f"{counted(len(results.answer.measures), 'variant')} on {counted(plan.blocks, 'block')}"
    if search:
        proposals, confirmed = counted(len(search.counted), "proposal"), len(search.confirmed)
        on_blocks = f"{confirmed} confirmed on {counted(plan.blocks, 'block')}" if confirmed else "none confirmed yet"
        extent = f"{proposals}, {on_blocks}"
    return [
        plan.study,
        f"{plan.scale} scale",
        *([f"{plan.form} form"] if plan.form else []),
        str(plan.base.get("data", "")),
        extent,
        moment(plan.began),
    ]


def _effects(results: Results) -> dict[str, Any]:
    """What the section on single fields shows in tables."""
    answer = results.answer
    return {
        "main": tables.main_effects(answer),
        "interactions": tables.interactions(answer),
        "trends": tables.trends(answer),
        "map": tables.heat_map(results),
    }
