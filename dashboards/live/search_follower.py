"""The documents of a search as they come: proposals, decisions at rungs, ends, and what they have come to so far."""

import time

from musiclab.storage.records import Records
from musiclab.storage.search_documents import Conclusion, End, Proposal, SearchFiles
from musiclab.storage.trial_documents import Failure


class SearchFollower:
    """A search in the folder of its edition; `poll` brings it up to date. Proposals and ends are read once.

    Attributes:
        proposals: by number.
        ends: by the number of their proposal.
        failures: why trials of proposals have failed, by number, with the end of the log.
        conclusion: what the search had come to when it had last spent its budget; None if it never has.
        version: changes with any of these.
    """

    def __init__(self, records: Records, folder: str) -> None:
        self._records, self._files = records, SearchFiles(records.storage, folder, notes_newer=True)
        self.proposals: dict[int, Proposal] = {}
        self.ends: dict[int, End] = {}
        self.failures: dict[int, Failure] = {}
        self.conclusion: Conclusion | None = None
        self.version, self._next = 0, 0
        self._ended_keys: set[str] = set()

    @property
    def damage(self) -> list[str]:
        """The names of its damaged files, which are left out."""
        return list(self._files.damage)

    @property
    def open(self) -> list[Proposal]:
        """The proposals that have not ended."""
        return [proposal for number, proposal in self.proposals.items() if number not in self.ends]

    @property
    def counted(self) -> dict[int, Proposal]:
        """The proposals that are part of the budget, by number."""
        return {number: proposal for number, proposal in self.proposals.items() if proposal.counts}

    @property
    def counted_ends(self) -> dict[int, End]:
        """How those have ended that have."""
        return {number: self.ends[number] for number in self.counted if number in self.ends}

    def has_ended(self, key: str) -> bool:
        """Whether the trial of that key was ended for a proposal."""
        return key in self._ended_keys

    def poll(self, until: float) -> bool:
        """Read what is new until then, by the monotonic clock; whether all was read."""
        while self._files.has_proposal(self._next):
            if time.monotonic() > until:
                return False
            if proposal := self._files.proposal(self._next):
                self.proposals[proposal.number] = proposal
            self._next += 1
            self.version += 1
        if len(self.proposals) > len(self.ends):
            for proposal in self.open:
                if time.monotonic() > until:
                    return False
                if end := self._files.end(proposal.number):
                    self.ends[end.number] = end
                    self._ended_keys.add(proposal.key)
                    if end.reason and (failure := self._records.failure(proposal.key)):
                        self.failures[end.number] = failure
                    self.version += 1
        conclusion = self._files.conclusion()
        if conclusion != self.conclusion:
            self.conclusion, self.version = conclusion, self.version + 1
        return True
