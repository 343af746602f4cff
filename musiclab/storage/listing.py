"""A listing of a storage: which trials and stages have left something, asked for once instead of once a trial."""

from functools import cached_property

from musiclab.storage.files import Storage


class Listing:
    """What a storage holds at one moment, listed once for all who look then, and only if one of them has to know."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @cached_property
    def trials(self) -> frozenset[str]:
        """The keys of the trials that have left something: samples, a record or a failure."""
        return frozenset(self._storage.names("trials"))

    @cached_property
    def stages(self) -> frozenset[str]:
        """The keys of the stages that have begun."""
        return frozenset(self._storage.names("stages"))
