"""All sentences that people read about a study's results, by subject. No other module builds sentences."""

from musiclab.report.sentences.answer import how_sure, sentence, underpowered, verdict, verdict_detail
from musiclab.report.sentences.baselines import beside_baselines, distance_from_real
from musiclab.report.sentences.by_ear import judged_by_ear
from musiclab.report.sentences.claims import evidence, evidence_mark, expectation
from musiclab.report.sentences.effects import confounded, single_effects
from musiclab.report.sentences.missing import lacking
from musiclab.report.sentences.search import headline, searched
from musiclab.report.sentences.whole import describe

__all__ = [
    "beside_baselines",
    "confounded",
    "describe",
    "distance_from_real",
    "evidence",
    "evidence_mark",
    "expectation",
    "headline",
    "how_sure",
    "judged_by_ear",
    "lacking",
    "searched",
    "sentence",
    "single_effects",
    "underpowered",
    "verdict",
    "verdict_detail",
]
