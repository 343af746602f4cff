"""The page of a study's report: one HTML file that needs nothing else, from what the other modules make."""

import itertools
import re
from typing import Any

from markupsafe import Markup

from musiclab.analysis.results import Results
from musiclab.analysis.statistics import smallest_p
from musiclab.measures.baselines import RANDOM, SHUFFLED
from musiclab.report.formatting import moment, number, shortened
from musiclab.report.html import tables
from musiclab.report.html.listening import LISTENING_CSS, LISTENING_JS, listening
from musiclab.report.html.plots import swatch
from musiclab.report.html.sections import (
    curve_plots,
    distribution_plots,
    fewer,
    legend,
    objective_plot,
    response_plots,
)
from musiclab.report.html.templates import template
from musiclab.report.sentences import beside_baselines, evidence, evidence_mark, lacking, sentence, single_effects
from musiclab.wording import counted

_LONGEST_HEADING = 200
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def page(results: Results) -> str:
    """The whole page as HTML; the same results give the same page."""
    # Half characters, as in file names of another encoding, cannot be written, and HTML has no control characters.
    return _UNWRITABLE.sub("\ufffd", _page(results))


def _page(results: Results) -> str:
    answer, keys = results.answer, legend(results)
    outlined, swatches = fewer(results, keys), itertools.count()
    question, explained = _question(results.plan.question)
    curves, more_curves = curve_plots(results, keys)
    verdicts = tables.verdict_rows(results)
    effects, responses, distributions = (
        _effects(results),
        response_plots(results),
        distribution_plots(results, outlined),
    )
    return template("report.html.j2").render(
        evidence=evidence,
        evidence_mark=evidence_mark,
        results=results,
        plan=results.plan,
        answer=answer,
        question=question,
        explained=explained,
        facts=_facts(results),
        said=sentence(answer),
        lacking=lacking(answer),
        single_effects=single_effects(answer),
        beside_baselines=beside_baselines(answer),
        sure=_sure(results),
        objective_plot=objective_plot(results),
        fields=tables.variant_fields(results),
        verdicts=verdicts,
        lacks=tables.lacks(verdicts),
        effects=effects,
        responses=responses,
        has_effects=bool(responses or any(effects.values())),
        measures=tables.measure_tables(answer),
        ceilings=any(name.endswith((SHUFFLED, RANDOM)) for name in answer.baselines),
        names=list(answer.measures),
        groups=tables.GROUPS,
        keys=keys,
        swatch=lambda style: swatch(style, f"swatch-{next(swatches)}"),
        curves=curves,
        more_curves=more_curves,
        outlined=outlined,
        distributions=distributions,
        listening=listening(results),
        # They are this package's own, and have to stay what they are.
        listening_style=Markup(LISTENING_CSS),
        listening_script=Markup(LISTENING_JS),
        cost=tables.cost(results),
        unfinished=tables.unfinished(results),
        reproduction=tables.reproduction(results),
        base=results.plan.base,
    )


def _question(text: str) -> tuple[str, list[str]]:
    """The question itself for a heading, and the paragraphs that explain it."""
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]
    asked = re.match(r"(.+?\?)(?:\s|$)", paragraphs[0]) if paragraphs else None
    if asked and len(asked[1]) <= _LONGEST_HEADING:
        return asked[1], [part for part in (paragraphs[0][asked.end() :].strip(), *paragraphs[1:]) if part]
    if paragraphs and len(paragraphs[0]) <= _LONGEST_HEADING:
        return paragraphs[0], paragraphs[1:]
    return shortened(text, _LONGEST_HEADING), paragraphs


def _facts(results: Results) -> list[str]:
    """What the study is, in a line: name, scale, data, size, when."""
    plan, variants = results.plan, len(results.answer.measures)
    return [
        plan.study,
        f"{plan.scale} scale",
        str(plan.base.get("data", "")),
        f"{counted(variants, 'variant')} on {counted(plan.blocks, 'block')}",
        moment(plan.began),
    ]


def _sure(results: Results) -> str:
    """How sure the answer is: blocks, tests, and what they can show."""
    answer = results.answer
    pairs = [compared.difference.n for compared in answer.comparisons.values() if compared.difference.n]
    if not pairs:
        return "Nothing could be compared yet."
    fewest, most = min(pairs), max(pairs)
    blocks = counted(most, "paired block") if fewest == most else f"{fewest} to {counted(most, 'paired block')}"
    test = "sign flips valid however often one looks" if answer.criteria.sequential else "two-sided sign flips"
    said = (
        f"{blocks} a comparison; {test}, corrected by Holm over "
        f"{counted(len(pairs), 'comparison')} at 5 %; intervals are 95 %, bootstrapped over blocks (BCa), "
        "too narrow where blocks are few; no verdict rests on them."
    )
    if not answer.criteria.sequential:
        said += f" The smallest p that so many blocks can give is {number(smallest_p(fewest, len(pairs)))}."
    if answer.criteria.margin is not None:
        said += f" Differences of at most {number(answer.criteria.margin)} {answer.objective.unit} count as none."
    return said


def _effects(results: Results) -> dict[str, Any]:
    """The section on single fields and their company."""
    answer = results.answer
    return {
        "main": tables.main_effects(answer),
        "interactions": tables.interactions(answer),
        "trends": tables.trends(answer),
        "map": tables.heat_map(results),
    }
