"""The overview: several studies on one page, with the verdicts on the article's claims."""

from pathlib import PurePosixPath
from urllib.parse import quote

from musiclab.analysis.results import Results
from musiclab.report.html.by_ear import pooled_ears
from musiclab.report.html.templates import template
from musiclab.report.sentences import (
    captions,
    distance_from_real,
    evidence,
    evidence_mark,
    headline,
    judged_by_ear,
    searched,
)
from musiclab.wording import counted


def overview(studies: list[Results]) -> str:
    """The page as HTML: a row a claim, with the measurement of each expectation, and a row a study.

    The page lies in the storage of the first study. Links to reports in that storage are relative, others are full
    paths.
    """
    here = studies[0].storage.root
    rows = [
        {
            "name": study.plan.study,
            "link": _link(study, here),
            "question": study.plan.question.splitlines()[0],
            "answer": [
                headline(study.answer, study.search),
                *searched(study.answer, study.search),
                *judged_by_ear(study.listening),
                *distance_from_real(study.answer),
            ],
            "measured_at": measured_at(study),
            "done": len(study.records),
            "planned": len(study.trial_specs),
        }
        for study in studies
    ]
    claims = [
        (row, claim_verdict) for row, study in zip(rows, studies, strict=True) for claim_verdict in study.judgements
    ]
    claims.sort(key=lambda row: row[1].claim.order)
    return template("overview.html.j2").render(
        studies=rows,
        claims=claims,
        evidence=evidence,
        evidence_mark=evidence_mark,
        by_ear=pooled_ears(studies),
        captions=captions,
    )


def measured_at(study: Results) -> str:
    """At what scale, on which data and on how many blocks: `demo scale, lpd5:songs, 10 blocks`."""
    plan = study.plan
    data = str(plan.base.get("data", ""))
    kind, colon, path = data.partition(":")
    form = f"{plan.form} form, " if plan.form else ""
    return f"{plan.scale} scale, {form}{kind}{colon}{PurePosixPath(path).name}, {counted(plan.blocks, 'block')}"


def _link(study: Results, here: str) -> str:
    path = f"{study.folder}/report.html"
    return quote(path if study.storage.root == here else study.storage.path(path), safe="/:")
