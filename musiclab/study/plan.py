"""The planner: cells, their keys and stages, and which may run now; pure, it reads and starts nothing."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from musiclab.hashing import content_hash
from musiclab.training.streams import Block

if TYPE_CHECKING:  # a system brings torch with it, which whoever only reads plans does without
    from musiclab.systems.base import System


@dataclass(frozen=True)
class Variant:
    """One configuration of a study: the swept fields' values, the whole config they make, the window store it needs.

    The config is plain values here; a trial makes the system's typed one of them again.
    """

    values: dict[str, Any]
    config: dict[str, Any]
    data: str

    @property
    def name(self) -> str:
        """How people see it: `latent_dim=16`."""
        return ", ".join(f"{field}={value}" for field, value in self.values.items())


@dataclass(frozen=True)
class Cell:
    """One variant on one block, to be one trial; `stages` are its stages' keys in order, the last is its own key."""

    variant: Variant
    block: Block
    stages: dict[str, str]

    @property
    def key(self) -> str:
        """The trial's key: the hash of its last stage, which rests on all the others."""
        return list(self.stages.values())[-1]

    def to_json(self) -> dict[str, Any]:
        """As it travels to a worker and into a plan; `from_json` makes it again."""
        return asdict(self) | {"stages": list(self.stages.items())}  # pairs: JSON that sorts keys would lose the order

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Cell":
        """The cell that `to_json` took."""
        return cls(Variant(**value["variant"]), Block(**value["block"]), dict(value["stages"]))


def cells(system: "System", variants: Iterable[Variant], blocks: Iterable[Block]) -> list[Cell]:
    """Every variant on every block, block by block, so that a study cut short has whole blocks to compare."""
    typed = [(variant, system.config(**variant.config)) for variant in variants]
    return [
        Cell(variant, block, system.stage_keys(config, block, variant.data))
        for block in blocks
        for variant, config in typed
    ]


def edition(study: str, objective: str, control: Cell) -> str:
    """Name of what makes trials comparable: all that is in the control's key, so that variants and blocks may grow.

    `control` is the control's cell on the first block; its key stands for system, fixed fields, data, seed and code.
    """
    return content_hash([study, objective, control.variant.name, control.key], 12)


@dataclass
class Queue:
    """Hands out cells so that no two running ones would make the same stage, and no worker waits for another.

    A cell is ready when every stage that it lacks is being made by nobody. `finished` tells which stages exist; it is
    asked again only after a cell has ended, which alone can change it. This is also where a search that does not know
    its cells in advance would add them.
    """

    waiting: list[Cell]
    finished: Callable[[str], bool]
    running: dict[str, Cell] = field(default_factory=dict)
    _finished: dict[str, bool] = field(default_factory=dict)

    def next(self) -> Cell | None:
        """A cell that is ready, now running; None where each one left waits for a stage that is being made."""
        making = {key for cell in self.running.values() for key in self._missing(cell)}
        for cell in self.waiting:
            if making.isdisjoint(self._missing(cell)):
                self.waiting.remove(cell)
                self.running[cell.key] = cell
                return cell
        return None

    def done(self, key: str) -> Cell:
        """The cell of that key has ended, well or not; what it left behind is asked for anew."""
        self._finished = {stage: True for stage, there in self._finished.items() if there}
        return self.running.pop(key)

    def __bool__(self) -> bool:
        """Whether there is a cell that has not been handed out."""
        return bool(self.waiting)

    def _missing(self, cell: Cell) -> set[str]:
        for key in cell.stages.values():
            if key not in self._finished:
                self._finished[key] = self.finished(key)
        return {key for key in cell.stages.values() if not self._finished[key]}


def sharing(todo: list[Cell], finished: Callable[[str], bool]) -> dict[str, tuple[int, int]]:
    """For each stage: how often it must be done and how many of `todo` need it, what is finished not counted."""
    counts = {}
    for stage in todo[0].stages if todo else ():
        keys = [cell.stages[stage] for cell in todo]
        counts[stage] = (len({key for key in keys if not finished(key)}), len(keys))
    return counts
