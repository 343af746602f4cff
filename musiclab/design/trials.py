"""The planner: cells, their keys and stages, and which may run now; pure, it reads and starts nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from musiclab.fields import Fields, known_fields
from musiclab.hashing import content_hash
from musiclab.training.runtime import Runtime
from musiclab.training.streams import Block

if TYPE_CHECKING:  # a system brings torch with it, which whoever only reads plans does without
    from musiclab.systems.base import System


# The name under which a space has systems among its fields.
SYSTEM = "system"


@dataclass(frozen=True)
class Variant:
    """One configuration of a study: its system, the swept fields' values, the config they make, the store it needs.

    The config is plain values here; a trial makes the system's typed one of them again.
    """

    system: str
    values: dict[str, Any]
    config: dict[str, Any]
    data: str

    @property
    def name(self) -> str:
        """How people see it: `latent_dim=16`, or `note_rnn, layers=2` where systems are compared."""
        words = [str(value) if field == SYSTEM else f"{field}={value}" for field, value in self.values.items()]
        return ", ".join(words) or self.system


@dataclass(frozen=True)
class TrialSpec:
    """One variant on one block, to be one trial; `stages` are its stages' keys in order, the last is its own key.

    `runtime` is what its plan asks for to run it on; None of a trial that an earlier version planned.
    """

    variant: Variant
    block: Block
    stages: dict[str, str]
    runtime: Runtime | None = None

    @property
    def key(self) -> str:
        """The trial's key: the hash of its last stage, which rests on all the others."""
        return list(self.stages.values())[-1]

    def to_json(self) -> dict[str, Any]:
        """As it travels to a worker and into a plan; `from_json` makes it again."""
        return asdict(self) | {"stages": list(self.stages.items())}  # pairs: JSON that sorts keys would lose the order

    @classmethod
    def from_json(cls, value: object) -> "TrialSpec":
        """The trial that `to_json` was called on; ValueError if it makes no sense.

        Fields that this version does not know are ignored.
        """
        fields = Fields(value)
        variant = Fields(fields.take("variant", dict))
        stages = [(name, key) for name, key in fields.take("stages", list)]
        if not stages or not all(isinstance(text, str) for pair in stages for text in pair):
            raise ValueError("stages must be pairs of a name and a key")
        return cls(
            variant=Variant(
                system=variant.take("system", str),
                values=variant.table("values", object),
                config=variant.table("config", object),
                data=variant.take("data", str),
            ),
            block=block_from_json(fields.take("block", dict)),
            stages=dict(stages),
            runtime=runtime_from_json(fields.take_or("runtime", dict, None)),
        )


def block_from_json(value: object) -> Block:
    """The block with these fields; those that this version does not know are ignored."""
    fields = Fields(value)
    return Block(seed=fields.take("seed", int), index=fields.take("index", int))


def runtime_from_json(value: Mapping[str, Any] | None) -> Runtime | None:
    """The runtime with these fields; None if there are none, as earlier versions wrote it."""
    return Runtime(**known_fields(Runtime, value)) if value else None


def trial_specs(
    systems: dict[str, "System"], variants: Iterable[Variant], blocks: Iterable[Block], runtime: Runtime
) -> list[TrialSpec]:
    """Every variant on every block, block by block, so that a study cut short has whole blocks to compare."""
    typed = [(variant, systems[variant.system].config(**variant.config)) for variant in variants]
    return [
        TrialSpec(variant, block, systems[variant.system].stage_keys(config, block, variant.data, runtime), runtime)
        for block in blocks
        for variant, config in typed
    ]


def edition(study: str, objective: str, controls: Iterable[TrialSpec]) -> str:
    """Name of what makes trials comparable: all that is in the controls' keys, so that variants and blocks may grow.

    `controls` are the controls' cells on the first block; a key stands for system, fixed fields, data, seed and code.
    """
    return content_hash([study, objective, *([control.variant.name, control.key] for control in controls)], 12)
