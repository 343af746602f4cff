"""Records, costs and plans made by hand, with what a test does not care about filled in."""

from collections.abc import Sequence
from typing import Any

from musiclab.design.claims import Claim
from musiclab.storage.plans import StudyPlan
from musiclab.storage.trial_documents import TrialCost, TrialData, TrialRecord
from musiclab.training.streams import Block


def made_record(
    measures: dict[str, float], baselines: dict[str, float] | None = None, key: str = "k", **fields: Any
) -> TrialRecord:
    """A finished trial's record that has these measures."""
    others = {
        "system": "vae_nn",
        "config": {},
        "block": Block(0, 0),
        "stages": {"measure": key},
        "data": TrialData(fingerprint="d"),
    }
    return TrialRecord(key=key, measures=measures, baselines=baselines or {}, **(others | fields))


def made_cost(**fields: Any) -> TrialCost:
    """What a finished trial cost."""
    return TrialCost(**({"began": 1.0, "ended": 2.0} | fields))


def made_plan(claims: Sequence[dict[str, Any]] = (), **fields: Any) -> StudyPlan:
    """The plan of a study without trials; claims as they stand in JSON."""
    others = {
        "study": "made",
        "question": "Which is best?",
        "edition": "e",
        "base": {"beta": 1.0, "data": "chorales", "seed": 0},
        "controls": {},
        "objective": "set/frechet",
        "blocks": 1,
        "trial_specs": (),
        "began": 1_700_000_000.0,
        "command": ("studies/made.py",),
        "environment": {"musiclab": "0", "python": "3.11", "platform": "p", "commit": "c0ffee"},
    }
    return StudyPlan(claims=tuple(map(Claim.from_json, claims)), **(others | fields))
