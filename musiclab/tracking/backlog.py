"""The backlog: how many points of trials the storage has and MLflow lacks, counted without asking MLflow."""

import contextlib
from collections.abc import Mapping
from typing import NamedTuple

from musiclab.storage.files import Storage
from musiclab.storage.listing import Listing
from musiclab.storage.records import Records
from musiclab.storage.search_documents import SearchFiles, SearchHistory
from musiclab.tracking.snapshot import Unreadable, stored_trial


class Sent(NamedTuple):
    """How many points MLflow has of a trial, and whether that is all that will ever come."""

    points: int
    is_all: bool


class Backlog:
    """Counts the points of the edition in `folder` that MLflow lacks.

    Args:
        storage: where the records are.
        folder: of the edition, in the storage.
        sent: what MLflow is known to have of each trial, by its key; it may grow meanwhile.
    """

    def __init__(self, storage: Storage, folder: str, sent: Mapping[str, Sent]) -> None:
        self._records, self._folder, self._sent = Records(storage), folder, sent
        self._history = SearchHistory(SearchFiles(storage, folder))
        self._final: dict[str, int] = {}  # the points of finished trials, which are read once

    def count(self) -> int:
        """Count them; trials that cannot be read, and the answers that MLflow shows, are left out.

        Raises:
            OSError: the storage cannot be read.
            NewerFormat: a newer version of musiclab has written something of the edition.
        """
        plan = self._records.plans.get(self._folder)
        stages = {spec.key: spec.stages for spec in plan.trial_specs} if plan else {}
        if plan and plan.is_search:
            self._history.update()
            for proposal in self._history.proposals.values():
                stages.setdefault(proposal.key, proposal.stages or {"measure": proposal.key})
        listing = Listing(self._records.storage)
        return sum(self._lacking(key, stages_of_trial, listing) for key, stages_of_trial in stages.items())

    def _lacking(self, key: str, stages: dict[str, str], listing: Listing) -> int:
        sent = self._sent.get(key, Sent(0, False))
        return 0 if sent.is_all else max(0, self._stored(key, stages, listing) - sent.points)

    def _stored(self, key: str, stages: dict[str, str], listing: Listing) -> int:
        if key not in self._final:
            trial = None
            with contextlib.suppress(Unreadable):
                trial = stored_trial(self._records, stages, over=False, listing=listing)
            if trial is None or trial.record is None:
                return len(trial.points) if trial else 0
            self._final[key] = len(trial.points)
        return self._final[key]
