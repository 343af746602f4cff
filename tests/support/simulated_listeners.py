"""Simulated listeners over the results of a study; their sessions say `simulated`, as everything that shows them must.

A listener is a taste and a generator: the better condition wins more often, and no listener is like another.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from musiclab.analysis.results import Results
from musiclab.design.listening import CEILING, FLOOR, PAIRS, SCALES, Condition, ListeningTest, Place, Presentation
from musiclab.storage.ballot_documents import Answer, ListeningPlan, Session
from musiclab.storage.ballots import Ballots, listening_folder
from tests.support.made_listening import made_ballot
from tests.support.made_results import made_study

# By the value of the field: how good it sounds, in logits, and what its Frechet distance is. Both agree.
HEARD = {"16": (0.0, 4.0), "8": (2.0, 2.0), "32": (-0.1, 4.2)}


def made_music(folder: Path, blocks: int = 8, name: str = "made") -> Results:
    """A finished study of three variants, whose Frechet distance agrees with `HEARD` and whose precision does not."""
    rng = np.random.default_rng(0)
    values = {
        variant: [
            {
                "set/frechet": distance + 0.2 * rng.random(),
                "set/precision": 0.05 * distance + 0.01 * rng.random(),
                "music/empty_bars": rng.random(),
            }
            for _ in range(blocks)
        ]
        for variant, (_, distance) in HEARD.items()
    }
    music = {"set/frechet.floor": 0.5, "music/empty_bars": 0.2, "music/empty_bars.floor": 0.03}
    return made_study(folder, values, music=music, name=name)


def tastes(test: ListeningTest) -> list[float]:
    """How good each condition sounds, in logits: that of `HEARD`, else much better or worse than any."""
    by_name = {f"latent_dim={variant}": good for variant, (good, _) in HEARD.items()}
    by_name |= {CEILING.name: 3.0, FLOOR.name: -3.0}
    return [by_name.get(condition.name, 0.0) for condition in test.conditions]


def fixed_ballots(results: Results, protocol: str = PAIRS, **fields: Any) -> Ballots:
    """The ballots of a listening test over a study, which is fixed; nobody has answered yet."""
    names = [name for name, measures in results.answer.measures.items() if measures]
    places = tuple(Place(block, start) for block in range(results.plan.blocks) for start in (1, 2))
    given: dict[str, Any] = {
        "protocol": protocol,
        "question": "Which is better?",
        "conditions": (*map(Condition, names), CEILING, FLOOR),
        "controls": {name: results.answer.controls[name] for name in names},
        "places": places,
    }
    ballots = Ballots(results.storage, listening_folder(results.folder, protocol))
    test = ListeningTest(**(given | fields))
    ballots.put_plan(ListeningPlan(study=results.plan.study, edition=results.plan.edition, test=test, began=100.0))
    return ballots


def listen(
    ballots: Ballots,
    listeners: int,
    good: Mapping[int, float] | None = None,
    simulated: bool = True,
    most: int | None = None,
    answer: Callable[[Presentation], Answer] | None = None,
) -> list[Session]:
    """Let listeners answer everything, or the first `most`; `good` or `answer` change what they say."""
    plan = ballots.plan()
    assert plan
    logits = np.array(tastes(plan.test))
    for condition, value in (good or {}).items():
        logits[condition] = value
    sessions = []
    for _ in range(listeners):
        session = ballots.open_session(training="amateur", simulated=simulated)
        rng = np.random.default_rng(session.number)
        own = logits + rng.normal(0, 0.3, len(logits))
        for number, shown in enumerate(plan.session_plan(session.number)[:most]):
            said = answer(shown) if answer else _said(shown, own, rng)
            ballots.put(made_ballot(plan, session, number, said, time=200.0 + number))
        sessions.append(session)
    return sessions


def _said(shown: Presentation, good: np.ndarray, rng: np.random.Generator) -> Answer:
    if shown.second is None:
        rated = np.clip(np.round(3 + 0.6 * good[shown.first] + rng.normal(0, 0.5, len(SCALES))), 1, 5)
        return {scale: int(value) for scale, value in zip(SCALES, rated, strict=True)}
    margin = good[shown.first] - good[shown.second] + rng.logistic()
    if abs(margin) < 0.2:
        return "equal"
    much = abs(margin) > 2.5
    return f"{'a' if margin > 0 else 'b'}_{'much' if much else 'slightly'}"
