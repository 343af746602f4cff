"""The overview: several studies on one page, and what they say about the article's claims."""

from pathlib import PurePosixPath
from urllib.parse import quote

from musiclab.analysis.results import Results
from musiclab.report.html.templates import template
from musiclab.report.sentences import describe, evidence, evidence_mark
from musiclab.wording import counted


def overview(studies: list[Results]) -> str:
    """The page as HTML: a row a claim, with what was measured of each thing expected, and a row a study.

    It lies in the storage itself, from where its links lead to the reports of that storage; those of another are named
    by their path.
    """
    here = studies[0].storage.root
    rows = [
        {
            "results": study,
            "name": study.plan.study,
            "link": _link(study, here),
            "question": study.plan.question.splitlines()[0],
            "answer": describe(study.answer)[0],
            "measured_at": measured_at(study),
            "done": len(study.records),
            "planned": len(study.trial_specs),
        }
        for study in studies
    ]
    claims = [(row, judgement) for row in rows for judgement in row["results"].judgements]
    claims.sort(key=lambda each: (len(each[1].claim.id), each[1].claim.id))
    return template("overview.html.j2").render(
        studies=rows, claims=claims, evidence=evidence, evidence_mark=evidence_mark
    )


def measured_at(study: Results) -> str:
    """At what scale, on which data and on how many blocks, for people."""
    plan = study.plan
    data = str(plan.base.get("data", ""))
    kind, colon, place = data.partition(":")
    return f"{plan.scale} scale, {kind}{colon}{PurePosixPath(place).name}, {counted(plan.blocks, 'block')}"


def _link(study: Results, here: str) -> str:
    path = f"{study.folder}/report.html"
    return quote(path if study.storage.root == here else study.storage.path(path), safe="/:")
