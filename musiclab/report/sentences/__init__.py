"""All sentences that people read about a study's results, by subject. No other module builds sentences."""

from musiclab.report.sentences.answer import describe, how_sure, sentence, underpowered, verdict, verdict_detail
from musiclab.report.sentences.baselines import beside_baselines, distance_from_real
from musiclab.report.sentences.claims import evidence, evidence_mark, expectation
from musiclab.report.sentences.effects import confounded, single_effects
from musiclab.report.sentences.missing import lacking

__all__ = [
    "beside_baselines",
    "confounded",
    "describe",
    "distance_from_real",
    "evidence",
    "evidence_mark",
    "expectation",
    "how_sure",
    "lacking",
    "sentence",
    "single_effects",
    "underpowered",
    "verdict",
    "verdict_detail",
]
