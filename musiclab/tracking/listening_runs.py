"""What MLflow shows of a study's listening tests: metrics and verdicts of its variants, and the ballots as one file."""

import json
from collections.abc import Callable
from typing import Any

from musiclab.analysis.intervals import Interval
from musiclab.analysis.listening import ListeningResults
from musiclab.analysis.preferences import Preferences
from musiclab.analysis.ratings import RatingResults
from musiclab.design.listening import PAIRS, RATINGS, VARIANT
from musiclab.hashing import content_hash
from musiclab.report.sentences import judged_by_ear
from musiclab.storage.ballots import SessionBallots
from musiclab.storage.files import HALF, Storage
from musiclab.tracking.mlflow_runs import Run, Runs

_STATE = "musiclab.heard"  # the tag with the state that the study's runs are in sync with
_BALLOTS = "ballots"
_FILE = "ballots.json"
_PREFIX = {PAIRS: "by_ear", RATINGS: "by_ear_ratings"}


def listening_state(storage: Storage, folder: str) -> str:
    """Tells the files of an edition's listening tests from any others; empty if nobody has begun.

    Names and sizes are enough, because no ballot, session or withdrawal changes unless it was damaged.
    """
    sizes = {
        name: info.size
        for name, info in storage.files(f"{folder}/listening").items()
        if "/sessions/" in name and not name.rpartition("/")[2].startswith(HALF)
    }
    return content_hash(sizes, 8) if sizes else ""


def is_heard_in_sync(study: Run, state: str) -> bool:
    """Whether the study's runs show all that was heard."""
    return study.tags.get(_STATE, "") == state and not study.has_lost(_BALLOTS, lambda: [_FILE])


def show_listening(
    runs: Runs,
    study: Run,
    variants: dict[str, Run],
    listening: ListeningResults,
    state: str,
    upload: Callable[[Run, str, dict[str, bytes]], bool],
) -> None:
    """Bring the runs up to date with what was heard; the note that they are comes last.

    The step of a metric is the number of answers that count, so that MLflow draws how it went. What is shown again
    because an answer was lost makes equal points.

    Args:
        runs: of the edition.
        study: its run, which gets the ballots, the floor, the ceiling and who was heard.
        variants: the runs of the variants, by name.
        listening: what was heard.
        state: of `listening_state`.
        upload: uploads files of a run as artifacts of a kind, and says whether MLflow has them.
    """
    if is_heard_in_sync(study, state):
        return
    for protocol, found in listening.tests.items():
        prefix, answers = _PREFIX[protocol], found.attendance.answers
        time = _last(listening.sessions[protocol], found.plan.began)
        for condition in found.plan.test.conditions:
            values = _values(found, condition.name)
            if condition.kind == VARIANT:
                run = variants.get(condition.name)
            else:
                run, values = study, {f"{condition.kind}.{name}": value for name, value in values.items()}
            if run:
                values = {f"{prefix}/{name}": value for name, value in values.items()}
                by = f"{prefix}/answers"
                runs.show(run, {by: float(answers)} | values, by, answers, time)
                runs.tag(run, _verdicts(found, condition.name, prefix))
        heard = found.attendance
        about = {"listeners": float(len(heard.counted)), "excluded": float(len(heard.excluded)),
                 "consistency": heard.consistency}  # fmt: skip
        runs.show(
            study, {f"{prefix}/{name}": value for name, value in about.items()}, f"{prefix}/answers", answers, time
        )
    if said := judged_by_ear(listening):
        runs.tag(study, {"musiclab.by_ear": " ".join(said)})
    if upload(study, _BALLOTS, {_FILE: ballots_json(listening)}):
        runs.tag(study, {_STATE: state})


def ballots_json(listening: ListeningResults) -> bytes:
    """All plans and ballots as JSON, but those of sessions that were withdrawn.

    A session's id lets whoever knows it go on with the session or withdraw it. So a listener is named by a hash of it.
    """
    tests = {}
    for protocol, found in listening.tests.items():
        sessions: list[dict[str, Any]] = []
        for each in listening.sessions[protocol]:
            ballots = [] if each.withdrawn else [ballot.to_json() for ballot in each.ballots.values()]
            listener = {"listener": content_hash(["listener", each.session.id]), "withdrawn": each.withdrawn}
            answers = {"ballots": [_without(ballot, "session") for ballot in ballots]}
            sessions.append(_without(each.session.to_json(), "id") | listener | answers)
        tests[protocol] = {
            "plan": found.plan.to_json(),
            "heard": [condition.name for condition in found.plan.test.conditions],
            "sessions": sessions,
        }
    return (json.dumps(tests, indent=1) + "\n").encode()


def _without(fields: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}


def _last(sessions: tuple[SessionBallots, ...], began: float) -> float:
    """When the last answer was given: the ballots' own time, so that what is sent twice is equal."""
    return max((ballot.time for each in sessions for ballot in each.ballots.values()), default=began)


def _values(found: Preferences | RatingResults, name: str) -> dict[str, float]:
    """What MLflow shows of a condition: its strength or ratings with their intervals, and how it compares."""
    values: dict[str, float] = {}
    if isinstance(found, Preferences):
        strength, compared = found.strengths[name], found.comparisons.get(name)
        values |= _interval("share", strength.share) | _interval("strength", strength.logit)
        values |= {"votes": float(strength.votes), "won": strength.won}
        if compared:
            values |= _interval("against_control", compared.share) | {"p_holm": compared.p_holm}
        return values
    for scale, mean in found.means[name].items():
        values |= _interval(scale, mean)
    for scale, rated in found.comparisons.get(name, {}).items():
        values |= _interval(f"{scale}.minus_control", rated.difference) | {f"{scale}.p_holm": rated.p_holm}
    return values


def _interval(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.mean, f"{name}.low": interval.low, f"{name}.high": interval.high}


def _verdicts(found: Preferences | RatingResults, name: str, prefix: str) -> dict[str, str]:
    """The verdicts on a condition in words, as tags; that listeners are simulated is part of the words."""
    mark = " (simulated listeners)" if found.attendance.simulated else ""
    if isinstance(found, Preferences):
        compared = found.comparisons.get(name)
        return {f"musiclab.{prefix}": f"{compared.verdict}{mark}"} if compared else {}
    return {
        f"musiclab.{prefix}.{scale}": f"{rated.verdict}{mark}"
        for scale, rated in found.comparisons.get(name, {}).items()
    }
