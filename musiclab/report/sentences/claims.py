"""Claims in sentences: what each expects, and what was measured."""

from musiclab.analysis.claims import Evidence
from musiclab.analysis.statistics import ALPHA
from musiclab.design.claims import MUSIC, Expect, describe_fields
from musiclab.report.formatting import bounds_text
from musiclab.report.sentences.phrases import p_phrase
from musiclab.wording import counted, rounded


def expectation(expect: Expect) -> str:
    """What is expected: `frechet of latent_dim=8 above that of latent_dim=16`."""
    if isinstance(expect.than, dict):
        reference = f"that of {describe_fields(expect.than)}"
    elif isinstance(expect.than, str):
        reference = MUSIC[expect.than]
    else:
        reference = f"{expect.than:g}"
    return f"{expect.measure} of {describe_fields(expect.of)} {expect.relation} {reference}"


def evidence_mark(measured: Evidence) -> str:
    """Whether what a claim expects is so: `✓` shown, `✗` the opposite shown (before any correction), `?` neither."""
    return {1: "✓", -1: "✗", 0: "?"}[measured.sign if measured.p <= ALPHA else 0]


def evidence(measured: Evidence) -> str:
    """What a claim expects and what was measured."""
    difference = measured.difference
    if not difference.n:
        return f"{expectation(measured.expect)}: not measured"
    facts = [
        f"{rounded(measured.value)} against {rounded(measured.than)}",
        f"difference {rounded(difference.mean)} {bounds_text(difference)}".rstrip(),
        p_phrase(measured.p),
        counted(difference.n, "block"),
    ]
    return f"{expectation(measured.expect)}: {', '.join(facts)}"
