"""What musiclab gives to code of users, with revisions that enter their keys in place of the text of its modules.

So musiclab may be moved, typed and reworded without training a user's system again. As with stages, the lock holds the
code of each revision, and golden runs of a tiny system, measure and source hold what it computes, see
`musiclab.code_lock`.
"""

import functools
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from musiclab.code_lock import LOCK, StageCode, behind_door, closure, code_hash, module_file


@dataclass(frozen=True)
class Interface:
    """What one kind of users' code is written with.

    Attributes:
        name: in the lock. It has a hyphen, as no system and no measure has.
        revision: raised whenever the same code of a user's comes to compute something else by it.
        modules: those that give its names, and those that decide what becomes of the user's code.
    """

    name: str
    revision: int
    modules: tuple[str, ...]

    @property
    def code(self) -> StageCode:
        """Its revision, and the hash of all that it runs."""
        return StageCode(self.name, self.revision, code_hash(*self.modules))

    @property
    def covered(self) -> set[str]:
        """The modules that it runs."""
        return set[str]().union(*map(closure, self.modules))


INTERFACES = (
    Interface(
        "own-system",
        1,
        (
            "musiclab.systems.base",
            "musiclab.systems.config",
            "musiclab.systems.function",
            "musiclab.training.batches",
            "musiclab.training.epoch",
            "musiclab.training.fit",
            "musiclab.training.weights",
        ),
    ),
    Interface("own-measure", 1, ("musiclab.measures.declaring", "musiclab.measures.own")),
    Interface(
        "own-source",
        1,
        ("musiclab.data.songs", "musiclab.data.source", "musiclab.data.own_songs", "musiclab.data.store"),
    ),
)


def taken_of_musiclab(
    imports: Iterable[tuple[str, ...]], bases: Collection[str], measuring: bool = True
) -> tuple[tuple[StageCode, ...], dict[str, Path]]:
    """What of musiclab enters the keys of a user's code: interfaces, and the files of all else.

    Names that a package of musiclab gives (`from musiclab.systems import System`) count by their interface. What is
    taken from elsewhere in musiclab, or belongs to no interface, counts by its text, with all that it imports and no
    interface runs.

    Args:
        imports: what the user's modules import of musiclab, see `code_lock.imported`.
        bases: modules of classes of musiclab that the user's class is made from.
        measuring: as for `closure`.
    """
    public, private = set(bases), set[str]()
    for candidates in imports:
        module = next((name for name in candidates if module_file(LOCK.parent, name)), "")
        if len(candidates) > 2:  # a name that a package gives
            public.add(module)
        elif module and module != "musiclab":  # the front door asks questions
            private.add(module)
            public |= {*behind_door(module)}  # if it is such a package itself
    interfaces = tuple(each for each in INTERFACES if public.intersection(each.modules))
    covered = _covered(interfaces)
    files: dict[str, Path] = {}
    for module in private | public.difference(*(each.modules for each in interfaces)):
        found = closure(module, measuring)
        files |= {name: path for name, path in found.items() if name not in covered or name == module}
    return tuple(each.code for each in interfaces), {name: files[name] for name in sorted(files.keys() - {"musiclab"})}


@functools.cache
def _covered(interfaces: tuple[Interface, ...]) -> frozenset[str]:
    return frozenset[str]().union(*(each.covered for each in interfaces))
