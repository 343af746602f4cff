"""What listeners say of an edition: the results of its listening tests, and measures beside them, read once."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from musiclab.analysis.ears import BesideEars, HeardStudy, beside_ears, heard_study
from musiclab.analysis.preferences import Preferences, preferences
from musiclab.analysis.ratings import RatingResults, rating_results
from musiclab.design.listening import PAIRS, RATINGS
from musiclab.design.trials import TrialSpec
from musiclab.storage.ballots import Ballots, SessionBallots, listening_folder
from musiclab.storage.files import Storage
from musiclab.storage.trial_documents import TrialRecord


@dataclass(frozen=True)
class ListeningResults:
    """The listening tests of an edition that were fixed.

    Attributes:
        pairs: what listeners prefer; None if no test of pairs was fixed.
        ratings: how they rate single pieces; None if no such test was fixed.
        sessions: all sessions that have begun, by protocol, whether they count or not.
        heard: the votes that `beside_ears` pools over studies; None if nobody's count.
        beside_ears: each measure beside these votes.
        damage: what is wrong with each damaged file, by name.
    """

    pairs: Preferences | None
    ratings: RatingResults | None
    sessions: dict[str, tuple[SessionBallots, ...]]
    heard: HeardStudy | None = None
    beside_ears: dict[str, BesideEars] = field(default_factory=dict)
    damage: dict[str, str] = field(default_factory=dict)

    @property
    def tests(self) -> dict[str, Preferences | RatingResults]:
        """The results of each test that was fixed, by protocol."""
        by_protocol: dict[str, Preferences | RatingResults | None] = {PAIRS: self.pairs, RATINGS: self.ratings}
        return {protocol: found for protocol, found in by_protocol.items() if found}

    @property
    def has_ballots(self) -> bool:
        """Whether anything was answered."""
        return any(session.ballots for session in self._all())

    @property
    def simulated(self) -> int:
        """How many sessions say that no person answered."""
        return sum(session.session.simulated for session in self._all())

    @property
    def people(self) -> int:
        """How many sessions are of people."""
        return sum(not session.session.simulated for session in self._all())

    def _all(self) -> Iterable[SessionBallots]:
        return (session for sessions in self.sessions.values() for session in sessions)


def listening_results(
    storage: Storage, folder: str, trials: list[TrialSpec], records: dict[str, TrialRecord]
) -> ListeningResults | None:
    """The results of the listening tests of the edition in `folder`; None if none was fixed."""
    if not storage.names(f"{folder}/listening"):
        return None
    tests = {protocol: Ballots(storage, listening_folder(folder, protocol)) for protocol in (PAIRS, RATINGS)}
    plans = {protocol: plan for protocol, ballots in tests.items() if (plan := ballots.plan())}
    sessions = {protocol: tuple(tests[protocol].sessions()) for protocol in plans}
    pairs = preferences(plans[PAIRS], sessions[PAIRS]) if PAIRS in plans else None
    heard = heard_study(pairs, trials, records) if pairs else None
    return ListeningResults(
        pairs=pairs,
        ratings=rating_results(plans[RATINGS], sessions[RATINGS]) if RATINGS in plans else None,
        sessions=sessions,
        heard=heard,
        beside_ears=beside_ears([heard]) if heard else {},
        damage={name: reason for ballots in tests.values() for name, reason in ballots.damage.items()},
    )
