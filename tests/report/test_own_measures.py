"""A study's own measures in its table, page, exports and claims, from the plan alone."""

import math
from pathlib import Path

from musiclab.measures.registry import Measure
from musiclab.report.html.page import page as page_of
from musiclab.report.sentences import lacking
from musiclab.report.text_table import table
from tests.support.made_results import made_study

HOSTILE = "<b>$\\frac{</b> {{ 7 * 7 }}"


def test_an_own_measure_is_shown_like_any_other(tmp_path: Path) -> None:
    leap = Measure("leap", "own", "<semitones>", "lower", HOSTILE, place=f"{HOSTILE}: leap")
    beside = Measure("beside", "own", "share", "real", "Beside it", place=f"{HOSTILE}: beside")
    never = Measure("never", "own", "share", "real", "Never", place="mine.py: never")
    claim = {
        "id": "C1", "says": "so",
        "expect": [{"measure": "leap", "of": {"latent_dim": "one"}, "relation": "below", "than": "random"}],
    }  # fmt: skip
    blocks = [{"own/leap": 2.0 + block / 10, "own/beside": 0.5} for block in range(8)]
    aimed = Measure("aimed", "own", "share", "lower", "Aimed", place="mine.py: aimed")
    nan = math.nan
    blocks = [values | {"own/never": nan, "own/aimed": 0.5} for values in blocks]
    # As of another system, whose records do not have what it cannot have a value of.
    others = [{"own/leap": 9.0 - block / 9, "own/beside": nan, "own/never": nan} for block in range(8)]
    results = made_study(
        tmp_path, {"one": blocks, "other": others},
        music={"own/leap.random": 12.0, "own/leap": 2.0, "own/beside": 0.25},
        objective="own/leap", measures=(leap, beside, never, aimed), claims=[claim],
    )  # fmt: skip
    assert results.answer.objective == leap
    said = lacking(results.answer)
    assert said == [
        f"{HOSTILE}: beside gave no value (NaN) for 8 of 16 finished trials.",
        "mine.py: never gave no value (NaN) for 16 of 16 finished trials and for real music, to which it should be "
        "near.",
    ]
    assert results.answer.comparisons["latent_dim=other"].verdict == "worse"
    assert [each.verdict for each in results.judgements] == ["supported"]
    text = table(results.answer)
    assert text.splitlines()[2].startswith("own/leap") and "own/beside" in text and "more measure" not in text
    page = page_of(results)
    assert "The study&#39;s own measures" in page and "Beside it" in page
    assert "<b>$" not in page and "<semitones>" not in page and "{{ 7 * 7 }}" in page
